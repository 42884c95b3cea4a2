//! Comparing files with the snapshot, blob by blob: before writing, to write only what differs; after it, to verify.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use backend::Id;
use parking_lot::Mutex;
use platform::create::Access;

use super::folder::OpenFolders;
use super::run::Run;
use super::slice::{File, Flag, Piece, Slice};
use super::{Action, Cause, ItemError, add};

/// What an existing file needs.
enum Outcome {
    /// Nothing but metadata.
    Right,
    /// Some pieces are written in place; those of the others are right.
    InPlace,
    /// It must be made anew, because other names of it must not change, or because it cannot be read.
    Anew,
}

/// Compares the existing files of a slice; returns the pieces that must be written, and notes how many each file has.
pub(super) fn needed(run: &Run<'_>, slice: &Slice) -> Vec<u32> {
    let existing: Vec<&File> = slice.files.iter().filter(|file| file.is(Flag::Existing)).collect();
    let new = slice.files.iter().filter(|file| !file.is(Flag::Existing));
    let needed = Mutex::new(new.flat_map(all_pieces).collect::<Vec<u32>>());
    run.spread(existing.len(), |next| {
        let mut comparer = Comparer::new(run, slice);
        while let Some(at) = next() {
            comparer.existing(existing[at]);
        }
        needed.lock().append(&mut comparer.needed);
    });
    let needed = needed.into_inner();
    for piece in &needed {
        slice.files[slice.pieces[*piece as usize].file as usize].remaining.fetch_add(1, Ordering::Relaxed);
    }
    needed
}

/// Counts files as a dry run does: nothing is written, and what would be is told.
pub(super) fn tell(run: &Run<'_>, slice: &Slice) {
    for file in slice.files.iter().filter(|file| !file.is(Flag::Failed) && !file.is(Flag::Right)) {
        add(&run.progress.files_restored, 1);
        add(&run.progress.bytes_restored, file.claimed);
        let action = if file.is(Flag::Existing) { Action::Updated } else { Action::Restored };
        run.item(|| slice.path(file), action, file.claimed);
    }
}

/// Reads all files of a slice back and reports those that are not what the snapshot has.
pub(super) fn verify(run: &Run<'_>, slice: &Slice) {
    run.spread(slice.files.len(), |next| {
        let mut comparer = Comparer::new(run, slice);
        while let Some(at) = next() {
            comparer.verify(&slice.files[at]);
        }
    });
}

struct Comparer<'r, 'a> {
    run: &'r Run<'a>,
    slice: &'r Slice,
    folders: OpenFolders<'r>,
    needed: Vec<u32>,
    buffer: Vec<u8>,
}

impl<'r, 'a> Comparer<'r, 'a> {
    fn new(run: &'r Run<'a>, slice: &'r Slice) -> Comparer<'r, 'a> {
        Comparer { run, slice, folders: run.open_folders(), needed: Vec::new(), buffer: Vec::new() }
    }

    fn existing(&mut self, file: &File) {
        let needed_before = self.needed.len();
        let outcome = self.compare(file).unwrap_or(Outcome::Anew);
        let figures = self.run.progress;
        if matches!(outcome, Outcome::Right) {
            file.mark(Flag::Right);
            add(&figures.files_skipped, 1);
            add(&figures.bytes_skipped, file.claimed);
            return self.run.item(|| self.slice.path(file), Action::Unchanged, file.claimed);
        }
        add(&figures.total_files, 1);
        add(&figures.total_bytes, file.claimed);
        if matches!(outcome, Outcome::Anew) {
            self.needed.truncate(needed_before);
            self.needed.extend(all_pieces(file));
            return self.make_way(file);
        }
        let missing = self.needed[needed_before..].iter();
        let missing: u64 = missing.map(|piece| self.slice.pieces[*piece as usize].plain_length()).sum();
        add(&figures.bytes_restored, file.size.saturating_sub(missing));
    }

    /// Collects the pieces that differ.
    fn compare(&mut self, file: &File) -> io::Result<Outcome> {
        if file.is(Flag::Trusted) {
            return Ok(Outcome::Right);
        }
        let directory = self.folders.get(self.slice.folder(file))?;
        let opened = directory.open_file(self.slice.name(file), Access::Read)?;
        let there = platform::Stat::of_open(&opened)?;
        let mut differs = there.size != file.size;
        for number in file.pieces() {
            let piece = &self.slice.pieces[number];
            if !is_right(&opened, there.size, piece, &mut self.buffer)? {
                differs = true;
                self.needed.push(number as u32);
            }
        }
        Ok(match (differs, there.links) {
            (false, _) => Outcome::Right,
            (true, 0 | 1) => Outcome::InPlace,
            (true, _) => Outcome::Anew,
        })
    }

    /// The old file goes, whatever other names it has.
    fn make_way(&mut self, file: &File) {
        if self.run.options.dry_run {
            return;
        }
        let removed =
            self.folders.get(self.slice.folder(file)).and_then(|directory| directory.remove(self.slice.name(file)));
        match removed {
            Ok(()) => file.unmark(Flag::Existing),
            Err(error) => {
                file.mark(Flag::Failed);
                self.failed(file, "replace", error.into());
            }
        }
    }

    fn verify(&mut self, file: &File) {
        if file.is(Flag::Failed) || !file.is(Flag::Finished) {
            return;
        }
        match self.find_difference(file) {
            Ok(None) => add(&self.run.progress.files_verified, 1),
            Ok(Some(difference)) => self.failed(file, "verify", Cause::Other(difference)),
            Err(error) => self.failed(file, "verify", error.into()),
        }
    }

    fn find_difference(&mut self, file: &File) -> io::Result<Option<String>> {
        let directory = self.folders.get(self.slice.folder(file))?;
        let opened = directory.open_file(self.slice.name(file), Access::Read)?;
        let size = opened.metadata()?.len();
        if size != file.size {
            return Ok(Some(format!("it has {size} bytes instead of {}", file.size)));
        }
        for piece in &self.slice.pieces[file.pieces()] {
            if !is_right(&opened, size, piece, &mut self.buffer)? {
                return Ok(Some(format!("its content differs from byte {} on", piece.at)));
            }
        }
        Ok(None)
    }

    fn failed(&self, file: &File, action: &'static str, cause: Cause) {
        self.run.failed(ItemError { path: self.slice.path(file), action, cause });
    }
}

fn all_pieces(file: &File) -> impl Iterator<Item = u32> + use<> {
    file.pieces().map(|piece| piece as u32)
}

/// True if a file of `size` bytes has the piece's content in its place.
fn is_right(file: &std::fs::File, size: u64, piece: &Piece, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let length = piece.plain_length();
    if piece.at.checked_add(length).is_none_or(|end| end > size) {
        return Ok(false);
    }
    buffer.resize(length as usize, 0);
    match file.read_exact_at(buffer, piece.at) {
        Ok(()) => Ok(Id::of(buffer) == piece.id),
        // Somebody else cut it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
