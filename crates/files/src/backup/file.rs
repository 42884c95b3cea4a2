//! Reading files. Small ones are read at once and cut, sealed and packed by the thread that read them.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use platform::{Dir, Stat, Subject};
use repo::BlobKind;
use repo::node::Node;

use super::directory::{Directory, FileJob};
use super::large::LargeFile;
use super::observer::{Finished, ItemError, ItemKind, ItemPath, Notice};
use super::queue::FilesTask;
use super::worker::{Worker, change, path_buf};
use super::{BackupError, Result};
use crate::path;

/// Files up to this size are read at once, into a buffer that each thread has.
const SMALL: usize = 2 << 20;

/// The paths of a task's directory.
struct Paths {
    disk: Arc<[u8]>,
    shown: Vec<u8>,
}

/// What came of a file.
enum Read {
    /// It is stored.
    Stored { node: Box<Node>, added: u64, added_packed: u64 },
    /// It goes on as a large file.
    Large,
}

impl Worker<'_> {
    pub(super) fn save_files(&mut self, task: FilesTask) -> Result<()> {
        let FilesTask { dir, place, path, jobs } = task;
        let paths = Paths { disk: path, shown: dir.shown_path() };
        for job in jobs {
            if self.run.queue.has_ended() {
                return Ok(());
            }
            self.save_file(&dir, &place, &paths, job)?;
        }
        Ok(())
    }

    fn save_file(&mut self, dir: &Arc<Directory>, place: &Dir, paths: &Paths, job: FileJob) -> Result<()> {
        let item = ItemPath { dir: &paths.shown, name: job.name() };
        self.run.observer.started(item);
        let path = || path::child(&paths.disk, job.file.to_bytes());
        match self.read_file(dir, place, paths, &job) {
            Ok(Ok(Read::Large)) => return Ok(()),
            Ok(Ok(Read::Stored { node, added, added_packed })) => {
                let change = dir.previous(job.slot, |previous| change(previous, &node));
                let finished = Finished { kind: ItemKind::File, change, size: node.size, added, added_packed };
                self.finished_at(item, finished);
                return self.settle(Arc::clone(dir), job.slot, Some(*node));
            }
            Ok(Err(fatal)) => return Err(fatal),
            Err(Trouble::Io(action, error)) => self.run.report_io(action, path(), error),
            Err(Trouble::ChangedType) => self.run.report(&ItemError::ChangedType { path: path_buf(path()) }),
        }
        self.settle(Arc::clone(dir), job.slot, None)
    }

    fn read_file(
        &mut self,
        dir: &Arc<Directory>,
        place: &Dir,
        paths: &Paths,
        job: &FileJob,
    ) -> std::result::Result<Result<Read>, Trouble> {
        let file = place.open_file(&job.file).map_err(|error| Trouble::Io("open", error))?;
        let stat = Stat::of_open(&file).map_err(|error| Trouble::Io("examine", error))?;
        if !stat.is_file() {
            return Err(Trouble::ChangedType);
        }
        let path = || path::child(&paths.disk, job.file.to_bytes());
        let mut node = self.maker.node(job.name(), &stat);
        self.attributes_of(Subject::open(&file), &mut node, path);
        let whole = stat.size <= SMALL as u64
            && read_whole(&file, stat.size as usize, &mut self.buffer).map_err(|error| Trouble::Io("read", error))?;
        if !whole {
            let large = LargeFile::from_file(Arc::clone(dir), job.slot, path(), file, &stat, node);
            self.run.queue.push_large(Arc::new(large));
            return Ok(Ok(Read::Large));
        }
        self.tell_if_changed(path, stat.size, self.buffer.len() as u64);
        Ok(self.save_content(node))
    }

    /// Saves what is in the buffer as the content of `node`.
    fn save_content(&mut self, mut node: Node) -> Result<Read> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut content = Vec::new();
        let (mut added, mut added_packed) = (0, 0);
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(self.run.cutter.cut(rest));
            let saved = self.save(BlobKind::Data, chunk)?;
            added += if saved.new { chunk.len() as u64 } else { 0 };
            added_packed += saved.stored;
            content.push(saved.id);
            rest = after;
        }
        self.run.observer.done(buffer.len() as u64);
        node.size = buffer.len() as u64;
        node.content = Some(content);
        self.buffer = buffer;
        Ok(Read::Stored { node: Box::new(node), added, added_packed })
    }

    pub(super) fn tell_if_changed(&self, path: impl Fn() -> Vec<u8>, expected: u64, read: u64) {
        if expected != read {
            self.run.changed_while_read.fetch_add(1, Ordering::Relaxed);
            self.notice(&Notice::ChangedWhileRead { path: path_buf(path()), expected, read });
        }
    }
}

/// Why a file cannot be read.
enum Trouble {
    Io(&'static str, io::Error),
    ChangedType,
}

/// Reads a file of about `size` bytes into `buffer`; false if it has grown beyond what is read at once.
fn read_whole(file: &File, size: usize, buffer: &mut Vec<u8>) -> io::Result<bool> {
    // One byte more than there should be: a shorter answer means the end was reached.
    let mut room = size + 1;
    let mut length = 0;
    loop {
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        let read = read_at(file, &mut buffer[length..room], length as u64)?;
        length += read;
        if read == 0 || length < room && length == size {
            buffer.truncate(length);
            return Ok(true);
        }
        if length == room {
            room = room.saturating_mul(2).min(SMALL + 1);
            if length == room {
                return Ok(false);
            }
        }
    }
}

/// Reads, again where a signal came between.
pub(super) fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(into, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

impl From<crate::source::SourceError> for BackupError {
    fn from(error: crate::source::SourceError) -> BackupError {
        BackupError::Source(error)
    }
}
