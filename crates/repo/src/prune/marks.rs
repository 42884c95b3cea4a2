//! Packs that wait for deletion: rustic's `packs_to_delete`.

use std::collections::{HashMap, HashSet};

use super::choose::StoredPacks;
use super::{PrunePlan, PruneWhen};
use crate::index::{Index, MarkedPack};
use crate::pack::PackedBlob;
use crate::used::{Elsewhere, UsedBlobs};
use crate::{Error, Id, Repository, Result};

/// All marks, by pack. Of several marks for one pack the latest counts, and the one that names blobs.
pub(super) struct Marks<'i> {
    by_pack: HashMap<Id, Mark<'i>>,
}

struct Mark<'i> {
    since: Option<jiff::Timestamp>,
    blobs: &'i [PackedBlob],
}

impl<'i> Marks<'i> {
    pub(super) fn new(marked: &'i [MarkedPack]) -> Marks<'i> {
        let mut by_pack: HashMap<Id, Mark<'i>> = HashMap::new();
        for MarkedPack { pack, .. } in marked {
            let since = pack.time.as_deref().and_then(|time| time.parse().ok());
            let mark = by_pack.entry(pack.id).or_insert(Mark { since, blobs: &pack.blobs });
            mark.since = mark.since.max(since);
            if mark.blobs.is_empty() {
                mark.blobs = &pack.blobs;
            }
        }
        Marks { by_pack }
    }

    /// Blobs that lie in marked packs only.
    pub(super) fn only_there(&self, index: &Index) -> Elsewhere {
        let blobs =
            self.by_pack.iter().flat_map(|(id, mark)| mark.blobs.iter().map(move |blob| (blob.blob, (*id, *blob))));
        blobs.filter(|(blob, _)| !index.contains(blob)).collect()
    }

    /// Completes the plan: which marked packs are used again, which go (if nobody else was at work when the plan was begun),
    /// and which marks mean nothing (any more).
    pub(super) fn decide(
        &self,
        repo: &Repository,
        when: PruneWhen,
        may_sweep: bool,
        used: &UsedBlobs,
        stored: &StoredPacks,
        plan: &mut PrunePlan,
    ) -> Result<()> {
        let index = repo.index()?;
        let unknown: HashSet<Id> = plan.unreferenced.iter().copied().collect();
        for (id, mark) in &self.by_pack {
            let is_needed = mark.blobs.iter().any(|entry| used.contains(&entry.blob) && !index.contains(&entry.blob));
            match (is_needed, stored.get(id)) {
                (true, None) => return Err(missing(id)),
                (true, Some(size)) => {
                    refuse_wrong_size(id, mark, *size)?;
                    plan.recover.push(*id);
                }
                // In the index again, or gone: the mark means nothing.
                (false, _) if !unknown.contains(id) => drop(plan.void_marks.insert(*id)),
                (false, _) => self.sweep_or_wait(repo, when, *id, mark, may_sweep, plan),
            }
        }
        plan.unreferenced.retain(|id| !self.by_pack.contains_key(id));
        plan.recover.sort_unstable();
        plan.sweep.sort_unstable();
        self.count(stored, plan);
        Ok(())
    }

    fn sweep_or_wait(
        &self,
        repo: &Repository,
        when: PruneWhen,
        id: Id,
        mark: &Mark,
        may_sweep: bool,
        plan: &mut PrunePlan,
    ) {
        match is_due(repo, when, mark) {
            false => {}
            true if may_sweep => plan.sweep.push(id),
            true => plan.held_back += 1,
        }
    }

    fn count(&self, stored: &StoredPacks, plan: &mut PrunePlan) {
        let going = plan.unreferenced.iter().chain(&plan.sweep);
        plan.stats.bytes.unreferenced = going.filter_map(|id| stored.get(id)).sum();
        plan.stats.packs.unreferenced = (plan.unreferenced.len() + plan.sweep.len()) as u64;
        plan.stats.finish();
    }
}

fn is_due(repo: &Repository, when: PruneWhen, mark: &Mark) -> bool {
    match (when, mark.since) {
        (PruneWhen::Now, _) => true,
        (PruneWhen::Delayed(_), None) => false,
        (PruneWhen::Delayed(delay), Some(since)) => {
            repo.clock().now().duration_since(since)
                >= jiff::SignedDuration::try_from(delay).unwrap_or(jiff::SignedDuration::MAX)
        }
    }
}

/// True if no lock but our own is in the repository, not even a stale or unreadable one. Should ours be refreshed this very
/// moment, its old file counts as another's, which is safe.
pub(super) fn nobody_else_is_at_work(repo: &Repository) -> Result<bool> {
    let locks = crate::lock::list(repo)?;
    let own = repo.own_lock();
    Ok(locks.iter().all(|lock| Some(lock.id) == own))
}

fn missing(id: &Id) -> Error {
    Error::Invalid(format!("pack {id} is missing from the repository, and snapshots need it: nothing was pruned"))
}

fn refuse_wrong_size(id: &Id, mark: &Mark, size: u64) -> Result<()> {
    let expected =
        crate::pack::header_size(mark.blobs) + mark.blobs.iter().map(|blob| u64::from(blob.length)).sum::<u64>();
    if size == expected {
        return Ok(());
    }
    Err(Error::Invalid(format!("pack {id} has {size} bytes but must have {expected} by the index: nothing was pruned")))
}
