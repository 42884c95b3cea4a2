//! Files that several threads write at once, kept open as long as there are not too many.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use hashbrown::HashMap;
use parking_lot::Mutex;
use platform::Stat;
use platform::create::{Access, Directory, close};

use super::run::Run;
use super::slice::{File, Flag, Slice};

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 16;
/// Open files in a part.
const MOST: usize = 8;
/// From this size on, space is reserved before anything is written.
const LARGE: u64 = 1 << 20;

/// Open files of a slice, by number.
#[derive(Default)]
pub(super) struct OpenFiles {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    open: HashMap<u32, Arc<std::fs::File>>,
    order: VecDeque<u32>,
}

impl OpenFiles {
    /// The open file with this number. The first who asks makes it, or cuts an existing one to size.
    pub(super) fn get(
        &self,
        run: &Run<'_>,
        slice: &Slice,
        number: u32,
        directory: &Directory,
    ) -> io::Result<Arc<std::fs::File>> {
        let mut shard = self.shards[number as usize % SHARDS].lock();
        if let Some(open) = shard.open.get(&number) {
            return Ok(open.clone());
        }
        let file = &slice.files[number as usize];
        let opened = Arc::new(open(run, slice, file, directory)?);
        shard.make_room()?;
        shard.open.insert(number, opened.clone());
        shard.order.push_back(number);
        Ok(opened)
    }

    /// Takes a file out for its last user, if it is still open.
    pub(super) fn take(&self, number: u32) -> Option<Arc<std::fs::File>> {
        let mut shard = self.shards[number as usize % SHARDS].lock();
        let open = shard.open.remove(&number)?;
        shard.order.retain(|other| *other != number);
        Some(open)
    }
}

impl Shard {
    /// Closes the oldest file that nobody writes at the moment.
    fn make_room(&mut self) -> io::Result<()> {
        if self.order.len() < MOST {
            return Ok(());
        }
        let idle = |number: &u32| self.open.get(number).is_none_or(|open| Arc::strong_count(open) == 1);
        let Some(at) = self.order.iter().position(idle) else { return Ok(()) };
        let oldest = self.order.remove(at).and_then(|number| self.open.remove(&number));
        match oldest.and_then(Arc::into_inner) {
            Some(file) => close(file),
            None => Ok(()),
        }
    }
}

/// Opens a file to write: makes it the first time, later finds it again. Two threads must not do so at once.
pub(super) fn open(run: &Run<'_>, slice: &Slice, file: &File, directory: &Directory) -> io::Result<std::fs::File> {
    let name = slice.name(file);
    let opened = if file.is(Flag::Opened) {
        unshared(directory.open_file(name, Access::Write)?)?
    } else if file.is(Flag::Existing) {
        cut(unshared(open_existing(directory, name)?)?, file.size)?
    } else {
        make(directory.create(name, 0o600)?, file.size, run.options.sparse)?
    };
    file.mark(Flag::Opened);
    Ok(opened)
}

/// A file with several names is never written in place: one of them may lie outside of the target.
fn unshared(file: std::fs::File) -> io::Result<std::fs::File> {
    match Stat::of_open(&file)?.links {
        0 | 1 => Ok(file),
        _ => Err(io::Error::other("it got another name while it was restored")),
    }
}

fn cut(file: std::fs::File, size: u64) -> io::Result<std::fs::File> {
    if file.metadata()?.len() != size {
        file.set_len(size)?;
    }
    Ok(file)
}

fn make(file: std::fs::File, size: u64, sparse: bool) -> io::Result<std::fs::File> {
    if sparse {
        file.set_len(size)?;
    } else if size >= LARGE {
        reserve(&file, size)?;
    }
    Ok(file)
}

/// Its owner may make a read-only file writable; its mode is set again in the end.
fn open_existing(directory: &Directory, name: &[u8]) -> io::Result<std::fs::File> {
    match directory.open_file(name, Access::Write) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let writable = platform::create::Metadata { mode: Some(0o600), ..Default::default() };
            directory.set_metadata(name, &writable)?;
            directory.open_file(name, Access::Write)
        }
        result => result,
    }
}

/// Only a full disk matters here; file systems that cannot reserve do without.
fn reserve(file: &std::fs::File, size: u64) -> io::Result<()> {
    match platform::reserve(file, size) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Err(error),
        _ => Ok(()),
    }
}
