//! Runs: blobs that lie near to each other in one pack, read with one request into a buffer that is used again.

use backend::{FileKind, FileName, Part};

use crate::blob::BlobLocation;
use crate::compress::{Codec, Compression};
use crate::pack::PackedBlob;
use crate::{BlobHandle, Id, Repository, Result};

/// Bytes that are rather read in vain than asked for with another request.
const MAX_GAP: u32 = 256 << 10;

/// A run ends when it is this long; a single blob may be longer.
const MAX_RUN: u64 = 4 << 20;

/// Blobs of one pack, in ascending offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) pack: Id,
    pub(crate) blobs: Vec<PackedBlob>,
}

impl Run {
    fn new(pack: Id, first: PackedBlob) -> Run {
        Run { pack, blobs: vec![first] }
    }

    /// First byte and length of what has to be read.
    fn extent(&self) -> (u64, u64) {
        let start = self.blobs.first().map_or(0, |blob| u64::from(blob.offset));
        let end = self.blobs.iter().map(end).max().unwrap_or(start);
        (start, end - start)
    }
}

fn end(blob: &PackedBlob) -> u64 {
    u64::from(blob.offset) + u64::from(blob.length)
}

/// Sorts blobs by where they are and cuts them into runs.
pub(crate) fn runs(mut blobs: Vec<(Id, PackedBlob)>) -> Vec<Run> {
    blobs.sort_unstable_by_key(|(pack, blob)| (*pack, blob.offset));
    let mut runs: Vec<Run> = Vec::new();
    let mut end_of_last = 0;
    for (pack, blob) in blobs {
        match runs.last_mut().filter(|run| near(run, end_of_last, &pack, &blob)) {
            Some(run) => run.blobs.push(blob),
            None => runs.push(Run::new(pack, blob)),
        }
        end_of_last = end(&blob);
    }
    runs
}

fn near(run: &Run, end_of_last: u64, pack: &Id, next: &PackedBlob) -> bool {
    let start = u64::from(run.blobs[0].offset);
    let is_near = u64::from(next.offset) <= end_of_last + u64::from(MAX_GAP);
    run.pack == *pack && is_near && end(next) - start <= MAX_RUN
}

/// A blob of a run, decoded and checked against its name.
pub(crate) struct Opened<'b> {
    pub(crate) packed: &'b PackedBlob,
    /// As it lies in the pack; `None` where it had to be read elsewhere.
    pub(crate) sealed: Option<&'b [u8]>,
    pub(crate) plain: &'b [u8],
}

/// One thread's buffers for reading runs.
pub(crate) struct RunReader {
    stored: Vec<u8>,
    opened: Vec<u8>,
    plain: Vec<u8>,
    codec: Codec,
}

impl RunReader {
    pub(crate) fn new() -> RunReader {
        RunReader { stored: Vec::new(), opened: Vec::new(), plain: Vec::new(), codec: Codec::new(Compression::Auto) }
    }

    /// Reads a run and hands out its blobs, or why one cannot be had. Damage is believed only after the blob was read
    /// again by itself, from wherever else it lies.
    pub(crate) fn read(
        &mut self,
        repo: &Repository,
        run: &Run,
        each: &mut dyn FnMut(&BlobHandle, Result<Opened<'_>>) -> Result<()>,
    ) -> Result<()> {
        let (start, length) = run.extent();
        let part = Part::Range { offset: start, length };
        let outcome = repo.backend().read(&FileName::new(FileKind::Pack, run.pack), part, &mut self.stored);
        for packed in &run.blobs {
            repo.cancel().check()?;
            let at = (u64::from(packed.offset) - start) as usize;
            let sealed = self.stored.get(at..at + packed.length as usize).filter(|_| outcome.is_ok());
            let first = sealed.and_then(|sealed| {
                self.opened.clear();
                self.opened.extend_from_slice(sealed);
                let location = location(run.pack, packed);
                repo.decode_blob(&packed.blob, &location, &mut self.opened, &mut self.codec, &mut self.plain).ok()
            });
            match first {
                Some(plain) => each(&packed.blob, Ok(Opened { packed, sealed, plain }))?,
                None => match repo.read_blob(&packed.blob) {
                    Ok(plain) => each(&packed.blob, Ok(Opened { packed, sealed: None, plain: &plain }))?,
                    Err(error) => each(&packed.blob, Err(error))?,
                },
            }
        }
        Ok(())
    }
}

/// Where a pack's blob is.
pub(crate) fn location(pack: Id, packed: &PackedBlob) -> BlobLocation {
    let PackedBlob { offset, length, uncompressed_length, .. } = *packed;
    BlobLocation { pack, offset, length, uncompressed_length }
}

/// The blob that a location names.
pub(crate) fn packed(blob: BlobHandle, location: &BlobLocation) -> PackedBlob {
    let BlobLocation { offset, length, uncompressed_length, .. } = *location;
    PackedBlob { blob, offset, length, uncompressed_length }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobKind;

    fn blob(offset: u32, length: u32) -> PackedBlob {
        let blob = BlobHandle { kind: BlobKind::Data, id: Id::of(&offset.to_le_bytes()) };
        PackedBlob { blob, offset, length, uncompressed_length: None }
    }

    #[test]
    fn neighbours_are_read_together_and_far_ones_apart() {
        let pack = Id::of(b"pack");
        let found = runs(vec![(pack, blob(MAX_GAP * 2, 10)), (pack, blob(100, 50)), (pack, blob(0, 100))]);
        assert_eq!(found.iter().map(Run::extent).collect::<Vec<_>>(), [(0, 150), (u64::from(MAX_GAP) * 2, 10)]);
    }

    #[test]
    fn packs_are_not_mixed_and_runs_end() {
        let (a, b) = (Id::from_bytes([1; 32]), Id::from_bytes([2; 32]));
        let half = (MAX_RUN / 2) as u32;
        let blobs = vec![(b, blob(0, 10)), (a, blob(0, half)), (a, blob(half, half)), (a, blob(half * 2, 5))];
        assert_eq!(runs(blobs).iter().map(|run| run.blobs.len()).collect::<Vec<_>>(), [2, 1, 1]);
    }
}
