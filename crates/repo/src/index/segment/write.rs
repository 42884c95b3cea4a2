//! Writing a cache file: rows in ascending order, each once, then the file gets its name.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use backend::Id;

use super::header::Header;
use super::{BLOCK, SUM, sum_of};
use crate::index::row::Row;

/// A cache file that is being written. Dropped unfinished, it is removed.
pub(in crate::index) struct SegmentWriter {
    directory: PathBuf,
    unfinished: PathBuf,
    out: Summed,
    repository: Id,
    covered: Vec<Id>,
    packs: usize,
    rows: usize,
    /// Rows of the bucket before each place.
    counts: Vec<u32>,
    header: Header,
}

impl SegmentWriter {
    /// Begins a file for index files `covered`, with `packs` ascending, and at most `rows` rows.
    pub(in crate::index) fn new(
        directory: &Path,
        repository: Id,
        mut covered: Vec<Id>,
        packs: &[Id],
        rows: usize,
    ) -> io::Result<SegmentWriter> {
        make_private_directory(directory)?;
        covered.sort_unstable();
        let unfinished = directory.join(format!("unfinished-{}-{:016x}", std::process::id(), rand::random::<u64>()));
        let header = Header::new(covered.len(), packs.len(), rows);
        let mut writer = SegmentWriter {
            directory: directory.to_owned(),
            out: Summed::new(File::create_new(&unfinished)?)?,
            unfinished,
            repository,
            packs: packs.len(),
            rows: 0,
            counts: vec![0; header.buckets() + 1],
            covered,
            header,
        };
        for id in writer.covered.iter().chain(packs) {
            writer.out.write(id.as_bytes())?;
        }
        Ok(writer)
    }

    /// Appends a row that is greater than the last one.
    pub(in crate::index) fn push(&mut self, row: Row) -> io::Result<()> {
        self.rows += 1;
        self.counts[self.header.bucket(row.id()) + 1] += 1;
        self.out.write(&row.to_bytes())
    }

    /// Gives the file its name and returns its path. Files of the same content have the same name, so that two processes
    /// may do this at once. It is not flushed to disk: what a power cut takes from it, the sums will show.
    pub(in crate::index) fn finish(mut self) -> io::Result<PathBuf> {
        let mut first = 0u32;
        for count in &self.counts {
            first += count;
            self.out.write(&first.to_le_bytes())?;
        }
        let header = Header { rows: self.rows, ..self.header };
        debug_assert_eq!(header.packs, self.packs);
        let sums = self.out.finish(|sums| header.write(&self.repository, sums))?;
        let path = self.directory.join(format!("{}.segment", Id::of(&sums)));
        std::fs::rename(&self.unfinished, &path)?;
        Ok(path)
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        // After `finish` there is nothing of that name; a leftover is harmless and removed by a later run.
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

/// A file whose blocks are summed as they are written; the first one is left for the header.
struct Summed {
    out: BufWriter<File>,
    block: Vec<u8>,
    sums: Vec<u8>,
}

impl Summed {
    fn new(mut file: File) -> io::Result<Summed> {
        file.seek(SeekFrom::Start(BLOCK as u64))?;
        let out = BufWriter::with_capacity(1 << 18, file);
        Ok(Summed { out, block: Vec::with_capacity(BLOCK), sums: vec![0; SUM] })
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.block.len()));
            self.block.extend_from_slice(now);
            if self.block.len() == BLOCK {
                self.end_block()?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn end_block(&mut self) -> io::Result<()> {
        self.sums.extend_from_slice(&sum_of(&self.block));
        self.out.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }

    /// Writes the sums and the header that `header` makes of them; returns the sums.
    fn finish(&mut self, header: impl FnOnce(&[u8]) -> [u8; BLOCK]) -> io::Result<Vec<u8>> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        self.out.write_all(&self.sums)?;
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&header(&self.sums))?;
        self.out.flush()?;
        Ok(std::mem::take(&mut self.sums))
    }
}

/// Makes a directory that only its owner may enter.
fn make_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory)
}
