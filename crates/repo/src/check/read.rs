//! Reading packs: the hash of the whole, every blob, the header, and the index against all of them.
//!
//! A pack is read in stretches that end between blobs, so memory is bounded by the largest blob and not by the pack.

use aws_lc_rs::digest::{Context, SHA256};
use backend::{FileKind, FileName, Part};
use parking_lot::Mutex;

use super::select::Selected;
use super::{CheckCounts, Problem};
use crate::compress::{Codec, Compression};
use crate::pack::{HeaderTail, PackedBlob, parse_header};
use crate::progress::{Amount, Progress, Step};
use crate::workers::{self, Workers};
use crate::{BlobHandle, Error, Id, Repository, Result};

/// Bytes after which a stretch ends with the blob that reaches beyond.
const STRETCH: u64 = 4 << 20;

/// Blobs whose places are in memory at a time: about 12 MB.
const BATCH_BLOBS: usize = 250_000;

/// The packs that are good, or those until an error ended the reading.
pub(super) type Verified = std::result::Result<Vec<Id>, (Vec<Id>, Error)>;

#[derive(Default)]
struct Found {
    good: Vec<Id>,
    problems: Vec<Problem>,
    bytes: u64,
    blobs: u64,
}

/// Reads packs, several at a time, in their order.
pub(super) fn read_packs(
    repo: &Repository,
    packs: Vec<Selected>,
    progress: &dyn Progress,
    counts: &mut CheckCounts,
) -> (Verified, Vec<Problem>) {
    let bytes = packs.iter().map(|pack| pack.size).sum();
    progress.begin(Step::ReadPacks, Amount { items: packs.len() as u64, bytes });
    let found = Mutex::new(Found::default());
    let verify = |reader: &mut PackReader, (pack, blobs): (Selected, Vec<PackedBlob>)| {
        let outcome = reader.verify_twice(repo, &pack, &blobs)?;
        found.lock().note(&pack, &blobs, outcome);
        progress.advance(Amount { items: 1, bytes: pack.size });
        Ok(())
    };
    let read_batch = |batch: &[Selected]| {
        let of_packs = blobs_of(repo, batch)?;
        workers::for_each(Workers::readers(repo), of_packs, PackReader::new, verify)
    };
    let outcome = batches(&packs).try_for_each(read_batch);
    let found = found.into_inner();
    counts.packs_read = (found.good.len() + found.problems.len()) as u64;
    counts.bytes_read = found.bytes;
    counts.blobs_verified = found.blobs;
    let verified = match outcome {
        Ok(()) => Ok(found.good),
        Err(error) => Err((found.good, error)),
    };
    (verified, found.problems)
}

impl Found {
    fn note(&mut self, pack: &Selected, blobs: &[PackedBlob], outcome: Option<Problem>) {
        self.bytes += pack.size;
        match outcome {
            None => {
                self.good.push(pack.id);
                self.blobs += blobs.len() as u64;
            }
            Some(problem) => {
                if let Problem::PackContent { blobs: bad, .. } = &problem {
                    self.blobs += (blobs.len() - bad.len().min(blobs.len())) as u64;
                }
                self.problems.push(problem);
            }
        }
    }
}

/// One thread's buffers.
struct PackReader {
    stretch: Vec<u8>,
    plain: Vec<u8>,
    codec: Codec,
}

/// What is wrong with a pack's content.
#[derive(Default)]
struct Damage {
    reasons: Vec<String>,
    blobs: Vec<BlobHandle>,
}

impl PackReader {
    fn new() -> PackReader {
        PackReader { stretch: Vec::new(), plain: Vec::new(), codec: Codec::new(Compression::Auto) }
    }

    /// Damage is believed when it is found twice.
    fn verify_twice(&mut self, repo: &Repository, pack: &Selected, blobs: &[PackedBlob]) -> Result<Option<Problem>> {
        let first = self.verify(repo, pack, blobs)?;
        let reasons = match first {
            Ok(damage) if damage.reasons.is_empty() => return Ok(None),
            Ok(damage) => damage.reasons,
            Err(error) => vec![error.to_string()],
        };
        Ok(Some(match self.verify(repo, pack, blobs)? {
            Ok(damage) if damage.reasons.is_empty() => Problem::Transient { pack: pack.id, reasons },
            Ok(Damage { reasons, blobs }) => Problem::PackContent { pack: pack.id, reasons, blobs },
            Err(error) => Problem::PackUnreadable { pack: pack.id, error },
        }))
    }

    /// The outer error ends the check; the inner one is the storage's.
    fn verify(
        &mut self,
        repo: &Repository,
        pack: &Selected,
        blobs: &[PackedBlob],
    ) -> Result<std::result::Result<Damage, backend::Error>> {
        let file = FileName::new(FileKind::Pack, pack.id);
        let size = match repo.backend().size(&file) {
            Ok(size) => size,
            Err(error) => return Ok(Err(error)),
        };
        let mut damage = Damage::default();
        if size != pack.size {
            damage.reasons.push(format!("it has {size} bytes, the index says {}", pack.size));
        }
        let mut hash = Context::new(&SHA256);
        for stretch in stretches(blobs, size) {
            repo.cancel().check()?;
            let part = Part::Range { offset: stretch.start, length: stretch.end - stretch.start };
            if let Err(error) = repo.backend().read(&file, part, &mut self.stretch) {
                return Ok(Err(error));
            }
            hash.update(&self.stretch);
            if stretch.end == size {
                self.check_header(repo, &stretch, size, blobs, &mut damage);
            }
            self.open_blobs(repo, pack.id, &stretch, &mut damage);
        }
        damage.blobs.extend(blobs.iter().filter(|entry| entry.end() > size).map(|entry| entry.blob));
        if hash.finish().as_ref() != pack.id.as_bytes() {
            damage.reasons.push("its content does not have the hash that its name says".into());
        }
        Ok(Ok(damage))
    }

    fn open_blobs(&mut self, repo: &Repository, pack: Id, stretch: &Stretch, damage: &mut Damage) {
        for entry in stretch.blobs {
            let at = (u64::from(entry.offset) - stretch.start) as usize;
            let Some(stored) = self.stretch.get_mut(at..at + entry.length as usize) else { continue };
            let location = crate::runs::location(pack, entry);
            let opened = repo.decode_blob(&entry.blob, &location, stored, &mut self.codec, &mut self.plain);
            if let Err(error) = opened {
                let reason = match error {
                    Error::DamagedBlob { reason, .. } => reason,
                    other => other.to_string(),
                };
                damage.reasons.push(format!("{:?} blob {}: {reason}", entry.blob.kind, entry.blob.id));
                damage.blobs.push(entry.blob);
            }
        }
    }

    /// Compares the header with the index. The last stretch holds at least as much of the pack's end as the index expects
    /// the header to be.
    fn check_header(&self, repo: &Repository, last: &Stretch, size: u64, blobs: &[PackedBlob], damage: &mut Damage) {
        let mut end = 0;
        if !blobs.iter().all(|entry| std::mem::replace(&mut end, entry.end()) == u64::from(entry.offset)) {
            damage.reasons.push("by the index its blobs overlap or leave gaps".into());
        }
        debug_assert_eq!(last.end, size);
        match parse_header(repo.key(), &self.stretch, size) {
            Ok(HeaderTail::Blobs(header)) if header == blobs => {}
            Ok(HeaderTail::Blobs(_)) => damage.reasons.push("its header names other blobs than the index".into()),
            Ok(HeaderTail::Needs(_)) => damage.reasons.push("its header is longer than the index makes it".into()),
            Err(reason) => damage.reasons.push(reason),
        }
    }
}

/// A part of a pack, and the blobs that lie in it completely.
struct Stretch<'b> {
    start: u64,
    end: u64,
    blobs: &'b [PackedBlob],
}

/// Cuts `size` bytes into stretches between blobs; the last one has everything from the last cut to the end. Blobs that
/// do not fit (overlapping, beyond the end) are cut around: they are opened where they lie in one stretch.
fn stretches(blobs: &[PackedBlob], size: u64) -> Vec<Stretch<'_>> {
    let mut stretches = Vec::new();
    let (mut start, mut first, mut end) = (0, 0, 0);
    for (at, entry) in blobs.iter().enumerate() {
        let follows = u64::from(entry.offset) >= end;
        if follows && end < size && end - start >= STRETCH {
            stretches.push(Stretch { start, end, blobs: &blobs[first..at] });
            (start, first) = (end, at);
        }
        end = end.max(entry.end());
    }
    stretches.push(Stretch { start, end: size, blobs: &blobs[first..] });
    stretches
}

/// Cuts the list so that the blobs of one batch fit into memory easily.
fn batches(packs: &[Selected]) -> impl Iterator<Item = &[Selected]> {
    let mut before = 0;
    packs.chunk_by(move |pack, _| {
        before += pack.blobs;
        let is_full = before >= BATCH_BLOBS;
        before = if is_full { 0 } else { before };
        !is_full
    })
}

/// The blobs of the packs to read, in the order of reading.
fn blobs_of(repo: &Repository, packs: &[Selected]) -> Result<Vec<(Selected, Vec<PackedBlob>)>> {
    let place: std::collections::HashMap<Id, usize> =
        packs.iter().enumerate().map(|(at, pack)| (pack.id, at)).collect();
    let mut blobs = vec![Vec::new(); packs.len()];
    repo.index()?.for_each_pack(&mut |id, entries| {
        if let Some(at) = place.get(id) {
            blobs[*at] = entries.to_vec();
        }
    })?;
    Ok(packs.iter().copied().zip(blobs).collect())
}
