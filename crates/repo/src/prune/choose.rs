//! Which packs stay, which are repacked, which go: restic's rules.

use std::collections::{HashMap, HashSet};

use backend::FileKind;

use super::survey::{PackKind, PackUse, Survey};
use super::{PackCopies, PruneOptions, PrunePlan, PruneStats};
use crate::pack::PackedBlob;
use crate::repository::PACK_SIZES;
use crate::used::UsedBlobs;
use crate::{BlobHandle, Error, Id, Repository, Result};

/// Fewer small packs than this are not worth merging; it also keeps a lone small pack from being repacked forever.
const FEWEST_SMALL: usize = 10;

/// Packs in storage and their sizes.
pub(super) type StoredPacks = HashMap<Id, u64>;

/// Lists the packs in storage.
pub(super) fn stored_packs(repo: &Repository) -> Result<StoredPacks> {
    Ok(repo.backend().list(FileKind::Pack)?.into_iter().map(|file| (file.id, file.size)).collect())
}

/// A pack that might be repacked.
struct Candidate {
    pack: PackUse,
    must_compress: bool,
}

/// Decides about every pack that the index or the storage knows; marks are decided about later.
pub(super) fn choose(
    repo: &Repository,
    options: &PruneOptions,
    survey: Survey,
    stored: &StoredPacks,
    used: &UsedBlobs,
) -> Result<PrunePlan> {
    let target = small_below(options, &survey.packs);
    let mut chooser = Chooser { options, repo, target, plan: empty_plan(options, survey.stats) };
    let candidates = chooser.sort_out(&survey.packs, stored)?;
    chooser.repack_worst(candidates);
    let known: HashSet<Id> = survey.packs.iter().map(|pack| pack.id).collect();
    let mut plan = chooser.plan;
    plan.unreferenced = stored.keys().filter(|id| !known.contains(id)).copied().collect();
    plan.unreferenced.sort_unstable();
    plan.copies = copies(repo, &plan, used)?;
    Ok(plan)
}

fn empty_plan(options: &PruneOptions, stats: PruneStats) -> PrunePlan {
    PrunePlan {
        stats,
        snapshots: 0,
        repack: Vec::new(),
        remove: Vec::new(),
        unreferenced: Vec::new(),
        missing: Vec::new(),
        recover: Vec::new(),
        sweep: Vec::new(),
        held_back: 0,
        when: options.when,
        repack_uncompressed: options.repack_uncompressed,
        copies: Vec::new(),
        void_marks: HashSet::new(),
        based_on: HashSet::new(),
    }
}

/// Packs below this many bytes are small: 80 % of the third percentile of all sizes (or of the smallest pack size), so that
/// only a small part of the repository can ever be.
fn small_below(options: &PruneOptions, packs: &[PackUse]) -> u64 {
    if let Some(size) = options.repack_smaller_than {
        return size;
    }
    let mut sizes: Vec<u64> = packs.iter().map(PackUse::size).collect();
    sizes.sort_unstable();
    let third_percentile = sizes.get(sizes.len() * 3 / 100).copied().unwrap_or(0);
    third_percentile.max(*PACK_SIZES.start()) * 4 / 5
}

struct Chooser<'a> {
    options: &'a PruneOptions,
    repo: &'a Repository,
    target: u64,
    plan: PrunePlan,
}

impl Chooser<'_> {
    /// Decides about the clear cases; returns the packs that might be repacked.
    fn sort_out(&mut self, packs: &[PackUse], stored: &StoredPacks) -> Result<Vec<Candidate>> {
        let mut candidates = Vec::new();
        let mut small = Vec::new();
        for pack in packs {
            if let Some(size) = self.present(pack, stored)? {
                self.sort_out_one(pack, size, &mut candidates, &mut small);
            }
        }
        match small.len() < FEWEST_SMALL {
            true => self.plan.stats.packs.keep += small.len() as u64,
            false => candidates.append(&mut small),
        }
        Ok(candidates)
    }

    /// The stored size of a pack; one that is missing but not needed is forgotten, any other that is not as the index says
    /// is an error.
    fn present(&mut self, pack: &PackUse, stored: &StoredPacks) -> Result<Option<u64>> {
        let is_needed = pack.used_blobs > 0;
        match stored.get(&pack.id) {
            Some(size) if is_needed && *size != pack.size() => Err(Error::Invalid(format!(
                "pack {} has {size} bytes but must have {} by the index: nothing was pruned",
                pack.id,
                pack.size()
            ))),
            Some(size) => Ok(Some(*size)),
            None if is_needed => Err(Error::Invalid(format!(
                "pack {} is missing from the repository, and snapshots need {} of its blobs: nothing was pruned",
                pack.id, pack.used_blobs
            ))),
            None => {
                self.plan.missing.push(pack.id);
                self.drop_blobs(pack);
                Ok(None)
            }
        }
    }

    fn drop_blobs(&mut self, pack: &PackUse) {
        self.plan.stats.blobs.remove += pack.unused_blobs;
        self.plan.stats.bytes.remove += pack.unused_bytes;
    }

    fn sort_out_one(&mut self, pack: &PackUse, size: u64, candidates: &mut Vec<Candidate>, small: &mut Vec<Candidate>) {
        self.count(pack);
        let is_tree = pack.kind == Some(PackKind::Tree);
        let wants_compression = self.repo.version() >= 2 && (is_tree || self.options.repack_uncompressed);
        let must_compress = wants_compression && pack.has_uncompressed;
        let is_clean = pack.unused_blobs == 0 && pack.kind != Some(PackKind::Mixed) && !must_compress;
        if pack.used_blobs == 0 {
            self.plan.remove.push(pack.id);
            self.plan.stats.packs.remove += 1;
            self.drop_blobs(pack);
        } else if self.options.repack_cacheable_only && pack.kind == Some(PackKind::Data) {
            self.plan.stats.packs.keep += 1;
        } else if !is_clean {
            candidates.push(Candidate { pack: *pack, must_compress });
        } else if size < self.target {
            small.push(Candidate { pack: *pack, must_compress });
        } else {
            self.plan.stats.packs.keep += 1;
        }
    }

    fn count(&mut self, pack: &PackUse) {
        let stats = &mut self.plan.stats;
        match (pack.used_blobs, pack.unused_blobs) {
            (0, _) => stats.packs.unused += 1,
            (_, 0) => stats.packs.used += 1,
            _ => stats.packs.partly_used += 1,
        }
        if pack.has_uncompressed && self.repo.version() >= 2 {
            stats.bytes.uncompressed += pack.size();
        }
    }

    /// Repacks where most is won, until what may stay unused is reached.
    fn repack_worst(&mut self, mut candidates: Vec<Candidate>) {
        let rank = |candidate: &Candidate| {
            let pack = &candidate.pack;
            let is_data = pack.kind == Some(PackKind::Data);
            let waste = pack.unused_bytes as f64 / pack.size().max(1) as f64;
            (is_data, pack.size() >= self.target, -waste)
        };
        candidates.sort_by(|a, b| rank(a).partial_cmp(&rank(b)).expect("sizes are numbers"));
        let max_unused = self.options.max_unused.beside(self.plan.stats.bytes.used);
        for candidate in candidates {
            match self.is_worth_repacking(&candidate, max_unused) {
                true => self.repack(&candidate.pack),
                false => self.plan.stats.packs.keep += 1,
            }
        }
    }

    fn is_worth_repacking(&self, candidate: &Candidate, max_unused: u64) -> bool {
        let pack = &candidate.pack;
        let repacked = self.plan.stats.bytes.repack + pack.size();
        if self.options.max_repack.is_some_and(|limit| repacked >= limit) {
            return false;
        }
        let always = pack.kind != Some(PackKind::Data) || candidate.must_compress;
        let is_small = pack.size() < self.target;
        always || is_small || self.plan.stats.remaining_unused() >= max_unused
    }

    fn repack(&mut self, pack: &PackUse) {
        let PruneStats { blobs, bytes, packs } = &mut self.plan.stats;
        self.plan.repack.push(pack.id);
        packs.repack += 1;
        blobs.repack += pack.used_blobs + pack.unused_blobs;
        bytes.repack += pack.size();
        blobs.repack_remove += pack.unused_blobs;
        bytes.repack_remove += pack.unused_bytes;
        if pack.has_uncompressed && self.repo.version() >= 2 {
            bytes.uncompressed -= pack.size();
        }
    }
}

/// What to copy out of the packs to repack: every used blob that no kept pack has, once.
fn copies(repo: &Repository, plan: &PrunePlan, used: &UsedBlobs) -> Result<Vec<PackCopies>> {
    if plan.repack.is_empty() {
        return Ok(Vec::new());
    }
    let index = repo.index()?;
    let repack: HashSet<Id> = plan.repack.iter().copied().collect();
    let gone: HashSet<Id> = plan.remove.iter().chain(&plan.missing).copied().collect();
    let mut wanted: HashSet<BlobHandle> = HashSet::new();
    index.for_each_pack(&mut |id, blobs| {
        if repack.contains(id) {
            wanted.extend(blobs.iter().map(|entry| entry.blob).filter(|blob| used.contains(blob)));
        }
    })?;
    index.for_each_pack(&mut |id, blobs| {
        if !repack.contains(id) && !gone.contains(id) {
            for entry in blobs {
                wanted.remove(&entry.blob);
            }
        }
    })?;
    let mut copies = Vec::with_capacity(repack.len());
    index.for_each_pack(&mut |id, blobs| {
        if repack.contains(id) {
            let blobs: Vec<PackedBlob> = blobs.iter().filter(|entry| wanted.remove(&entry.blob)).copied().collect();
            copies.push(PackCopies { pack: *id, blobs });
        }
    })?;
    Ok(copies)
}
