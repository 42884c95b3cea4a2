//! Fetching blobs and writing them to their places.
//!
//! Each range of a pack is read once, each blob in it decoded once. A file whose content is one blob is made, written,
//! given its metadata and closed in one go. A blob that is damaged harms only the files that contain it.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use backend::{FileKind, FileName, Part};
use platform::create::{Access, close, set_metadata};
use repo::compress::{Codec, Compression};

use super::folder::OpenFolders;
use super::metadata::Ground;
use super::open::{self, OpenFiles};
use super::run::Run;
use super::slice::{File, Flag, Piece, Read, Slice};
use super::{Action, Cause, ItemError, add};

mod zeros;

/// Files without content that one thread takes at a time.
const BATCH: usize = 64;

/// Writes the `needed` pieces of a slice, and finishes all its files.
pub(super) fn all(run: &Run<'_>, slice: &Slice, needed: &mut [u32]) {
    let reads = slice.reads(needed);
    let needed = &*needed;
    let bare: Vec<u32> =
        (0..slice.files.len() as u32).filter(|number| is_bare(&slice.files[*number as usize])).collect();
    let batches: Vec<&[u32]> = bare.chunks(BATCH).collect();
    let open = OpenFiles::default();
    run.spread(reads.len() + batches.len(), |next| {
        let mut fetcher = Fetcher::new(run, slice, &open);
        while let Some(at) = next() {
            match reads.get(at) {
                Some(read) => fetcher.read(read, &needed[read.first as usize..][..read.count as usize]),
                None => batches[at - reads.len()].iter().for_each(|number| fetcher.writer.bare(*number)),
            }
        }
    });
}

/// True for files that need no content written.
fn is_bare(file: &File) -> bool {
    file.remaining.load(Ordering::Relaxed) == 0
}

/// One thread's way from packs to plain blobs.
struct Fetcher<'r, 'a> {
    run: &'r Run<'a>,
    slice: &'r Slice,
    writer: Writer<'r, 'a>,
    codec: Codec,
    stored: Vec<u8>,
    scratch: Vec<u8>,
}

impl<'r, 'a> Fetcher<'r, 'a> {
    fn new(run: &'r Run<'a>, slice: &'r Slice, open: &'r OpenFiles) -> Fetcher<'r, 'a> {
        Fetcher {
            run,
            slice,
            writer: Writer { run, slice, open, folders: run.open_folders() },
            codec: Codec::new(Compression::Auto),
            stored: Vec::new(),
            scratch: Vec::new(),
        }
    }

    fn read(&mut self, read: &Read, pieces: &[u32]) {
        let pack = self.slice.packs[read.pack as usize];
        let part = Part::Range { offset: read.offset, length: read.length };
        let file = FileName::new(FileKind::Pack, pack);
        let got = self.run.repo.backend().read(&file, part, &mut self.stored);
        let slice = self.slice;
        let piece = |number: &u32| &slice.pieces[*number as usize];
        for same in pieces.chunk_by(|a, b| piece(a).id == piece(b).id && piece(a).offset == piece(b).offset) {
            if self.run.is_stopped() {
                return;
            }
            if got.is_err() || !self.decode(read, same) {
                self.alone(same);
            }
        }
    }

    /// Decodes a blob out of the range that was read and writes it to all its places; false if it is damaged.
    fn decode(&mut self, read: &Read, places: &[u32]) -> bool {
        let piece = &self.slice.pieces[places[0] as usize];
        let from = (u64::from(piece.offset) - read.offset) as usize;
        let Some(stored) = self.stored.get_mut(from..from + piece.length as usize) else { return false };
        let location = piece.location(self.slice.packs[read.pack as usize]);
        let plain = self.run.repo.decode_blob(&piece.handle(), &location, stored, &mut self.codec, &mut self.scratch);
        match plain {
            Ok(plain) if plain.len() as u64 == piece.plain_length() => {
                places.iter().for_each(|number| self.writer.piece(*number, plain));
                true
            }
            _ => false,
        }
    }

    /// Fetches one blob by itself, from wherever else it is stored, too. If that fails, its files have failed.
    fn alone(&mut self, places: &[u32]) {
        let piece = &self.slice.pieces[places[0] as usize];
        match self.run.repo.read_blob(&piece.handle()) {
            Ok(plain) if plain.len() as u64 == piece.plain_length() => {
                places.iter().for_each(|number| self.writer.piece(*number, &plain));
            }
            Ok(plain) => {
                let reason =
                    format!("data blob {} has {} bytes, the index says otherwise", piece.id.short(), plain.len());
                places.iter().for_each(|number| self.writer.lost(*number, Cause::Other(reason.clone())));
            }
            Err(error) => {
                let reason = error.to_string();
                let mut error = Some(error);
                for number in places {
                    let cause = error.take().map_or_else(|| Cause::Other(reason.clone()), Cause::Repository);
                    self.writer.lost(*number, cause);
                }
            }
        }
    }
}

/// One thread's way from plain blobs to files.
struct Writer<'r, 'a> {
    run: &'r Run<'a>,
    slice: &'r Slice,
    open: &'r OpenFiles,
    folders: OpenFolders<'r>,
}

impl Writer<'_, '_> {
    /// Writes a blob to one place; whoever writes a file's last one finishes it.
    fn piece(&mut self, number: u32, plain: &[u8]) {
        let piece = &self.slice.pieces[number as usize];
        let file = &self.slice.files[piece.file as usize];
        if file.is(Flag::Failed) && !file.is(Flag::Opened) {
            return self.done(piece);
        }
        if file.pieces().len() == 1 && !file.is(Flag::Existing) {
            file.remaining.store(0, Ordering::Relaxed);
            return match self.whole(file, plain) {
                Ok(()) => self.finished(file),
                Err(error) => self.failed(file, "write", error.into()),
            };
        }
        match self.part(piece, file, plain) {
            Ok(()) => add(&self.run.progress.bytes_restored, plain.len() as u64),
            Err(error) => self.failed(file, "write", error.into()),
        }
        self.done(piece);
    }

    /// A piece cannot be had.
    fn lost(&mut self, number: u32, cause: Cause) {
        let piece = &self.slice.pieces[number as usize];
        self.failed(&self.slice.files[piece.file as usize], "fetch the content of", cause);
        self.done(piece);
    }

    /// Makes a file with all its content and metadata.
    fn whole(&mut self, file: &File, plain: &[u8]) -> io::Result<()> {
        let folder = self.slice.folder(file);
        let inherits = folder.bequeaths();
        let mode = file.wanted.mode_at_creation(&self.run.us).filter(|_| !inherits);
        let directory = self.folders.get(folder)?;
        let made = directory.create(self.slice.name(file), mode.unwrap_or(0o600))?;
        file.mark(Flag::Opened);
        if self.run.options.sparse {
            made.set_len(file.size)?;
            zeros::write_around(&made, plain, 0, zeros::Below::Nothing)?;
        } else {
            made.write_all_at(plain, 0)?;
        }
        add(&self.run.progress.bytes_restored, plain.len() as u64);
        let ground = if inherits { Ground::Used } else { Ground::Plain };
        self.finish(file, made, ground, mode)
    }

    fn part(&mut self, piece: &Piece, file: &File, plain: &[u8]) -> io::Result<()> {
        let directory = self.folders.get(self.slice.folder(file))?;
        let open = self.open.get(self.run, self.slice, piece.file, directory)?;
        if !self.run.options.sparse {
            return open.write_all_at(plain, piece.at);
        }
        let below = if file.is(Flag::Existing) { zeros::Below::Something } else { zeros::Below::Nothing };
        zeros::write_around(&open, plain, piece.at, below)
    }

    fn done(&mut self, piece: &Piece) {
        let file = &self.slice.files[piece.file as usize];
        if file.remaining.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let open = self.open.take(piece.file);
        if file.is(Flag::Failed) {
            return;
        }
        match self.complete(file, open) {
            Ok(()) => self.finished(file),
            Err(error) => self.failed(file, "set the metadata of", error.into()),
        }
    }

    fn complete(&mut self, file: &File, open: Option<Arc<std::fs::File>>) -> io::Result<()> {
        let folder = self.slice.folder(file);
        let used = file.is(Flag::Existing) || folder.bequeaths();
        let ground = if used { Ground::Used } else { Ground::Plain };
        let open = match open.and_then(Arc::into_inner) {
            Some(open) => open,
            None => open::open(self.run, self.slice, file, self.folders.get(folder)?)?,
        };
        self.finish(file, open, ground, None)
    }

    /// Finishes a file whose content needs nothing.
    fn bare(&mut self, number: u32) {
        let file = &self.slice.files[number as usize];
        if file.is(Flag::Failed) {
            return;
        }
        let result = match file.is(Flag::Right) {
            true => self.metadata_only(file),
            false => self.complete(file, None),
        };
        match result {
            Ok(()) if file.is(Flag::Right) => {}
            Ok(()) => self.finished(file),
            Err(error) => self.failed(file, "restore", error.into()),
        }
    }

    fn metadata_only(&mut self, file: &File) -> io::Result<()> {
        let directory = self.folders.get(self.slice.folder(file))?;
        let name = self.slice.name(file);
        file.mark(Flag::Finished);
        file.wanted.apply(Ground::Used, None, &self.run.us, self.run.options, |metadata| {
            match directory.open_file(name, Access::Read) {
                Ok(open) => set_metadata(&open, metadata),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => directory.set_metadata(name, metadata),
                Err(error) => Err(error),
            }
        })
    }

    fn finish(&self, file: &File, open: std::fs::File, ground: Ground, made_with: Option<u32>) -> io::Result<()> {
        file.wanted
            .apply(ground, made_with, &self.run.us, self.run.options, |metadata| set_metadata(&open, metadata))?;
        file.mark(Flag::Finished);
        close(open)
    }

    fn finished(&self, file: &File) {
        add(&self.run.progress.files_restored, 1);
        let action = if file.is(Flag::Existing) { Action::Updated } else { Action::Restored };
        self.run.item(|| self.slice.path(file), action, file.claimed);
    }

    /// Reports a file once, however many of its pieces fail.
    fn failed(&self, file: &File, action: &'static str, cause: Cause) {
        if file.mark(Flag::Failed) {
            self.run.failed(ItemError { path: self.slice.path(file), action, cause });
        }
    }
}
