//! Copying what is used out of packs: every blob is decoded and hashed before it is stored again.
//!
//! A blob that may stay as it is keeps its sealed bytes: the key is the same, so nothing is gained by sealing it anew.

use std::sync::Arc;

use super::PackCopies;
use crate::progress::{Amount, Progress, Step};
use crate::runs::{self, Opened, RunReader};
use crate::workers::{self, Workers};
use crate::writer::{BlobWriter, Scratch};
use crate::{BlobKind, Repository, Result};

/// Copies all of them and makes them durable, index included.
pub(super) fn repack(
    repo: &Arc<Repository>,
    copies: Vec<PackCopies>,
    compress_all: bool,
    progress: &dyn Progress,
) -> Result<()> {
    if copies.is_empty() {
        return Ok(());
    }
    progress.begin(Step::RepackPacks, Amount { items: copies.len() as u64, bytes: bytes_of(&copies) });
    let writer = BlobWriter::new(repo);
    let copier = Copier { repo, writer: &writer, compress_all };
    let make = || (RunReader::new(), writer.scratch());
    workers::for_each(Workers::readers(repo), copies, make, |(reader, scratch), pack| {
        let bytes = pack.blobs.iter().map(|blob| u64::from(blob.length)).sum();
        copier.copy(pack, reader, scratch)?;
        progress.advance(Amount { items: 1, bytes });
        Ok(())
    })?;
    writer.flush()
}

fn bytes_of(copies: &[PackCopies]) -> u64 {
    copies.iter().flat_map(|pack| &pack.blobs).map(|blob| u64::from(blob.length)).sum()
}

struct Copier<'a> {
    repo: &'a Repository,
    writer: &'a BlobWriter,
    compress_all: bool,
}

impl Copier<'_> {
    fn copy(
        &self,
        PackCopies { pack, blobs }: PackCopies,
        reader: &mut RunReader,
        scratch: &mut Scratch,
    ) -> Result<()> {
        for run in runs::runs(blobs.into_iter().map(|blob| (pack, blob)).collect()) {
            reader.read(self.repo, &run, &mut |_, outcome| self.store(outcome?, scratch))?;
        }
        Ok(())
    }

    fn store(&self, opened: Opened<'_>, scratch: &mut Scratch) -> Result<()> {
        let blob = opened.packed.blob;
        let is_compressed = opened.packed.uncompressed_length.is_some();
        let must_compress = self.repo.version() >= 2 && (blob.kind == BlobKind::Tree || self.compress_all);
        match opened.sealed {
            Some(sealed) if is_compressed || !must_compress => {
                self.writer.store_sealed(&blob, sealed, opened.packed.uncompressed_length)
            }
            _ => self.writer.store_again(blob.kind, opened.plain, scratch).map(drop),
        }
    }
}
