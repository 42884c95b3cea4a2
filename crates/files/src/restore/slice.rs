//! A slice: some tens of thousands of files, kept compactly, whose blobs are fetched together.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use backend::Id;
use hashbrown::HashMap;
use repo::blob::{BlobHandle, BlobKind, BlobLocation};

use super::folder::Folder;
use super::metadata::Wanted;

/// A file that is restored.
pub(super) struct File {
    /// Its folder, as a number within the slice.
    pub(super) folder: u32,
    name_at: u32,
    name_length: u16,
    flags: AtomicU8,
    first_piece: u32,
    pieces: u32,
    /// Pieces that are not written yet.
    pub(super) remaining: AtomicU32,
    /// Bytes of all pieces: the size that the file gets.
    pub(super) size: u64,
    /// Bytes as the node claims them, which is what figures count.
    pub(super) claimed: u64,
    pub(super) wanted: Wanted,
}

/// What is true of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Flag {
    /// A regular file stands in its place and is updated.
    Existing = 1,
    /// It was made, or its existing content was cut to size.
    Opened = 2,
    /// It could not be restored as it should be; that has been reported.
    Failed = 4,
    /// Size and modification time are right, which is to be taken for equal content.
    Trusted = 8,
    /// Compared and found right.
    Right = 16,
    /// Its metadata is set.
    Finished = 32,
}

impl File {
    pub(super) fn is(&self, flag: Flag) -> bool {
        self.flags.load(Ordering::Acquire) & flag as u8 != 0
    }

    /// Sets a flag; true if it was not set before.
    pub(super) fn mark(&self, flag: Flag) -> bool {
        self.flags.fetch_or(flag as u8, Ordering::AcqRel) & flag as u8 == 0
    }

    pub(super) fn unmark(&self, flag: Flag) {
        self.flags.fetch_and(!(flag as u8), Ordering::AcqRel);
    }

    /// Its pieces, in the order of the file.
    pub(super) fn pieces(&self) -> Range<usize> {
        let first = self.first_piece as usize;
        first..first + self.pieces as usize
    }
}

/// One place of one blob.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// The data blob.
    pub(super) id: Id,
    /// First byte within the file.
    pub(super) at: u64,
    /// Its file.
    pub(super) file: u32,
    /// Its pack, as a number within the slice.
    pub(super) pack: u32,
    /// First byte within the pack.
    pub(super) offset: u32,
    /// Stored bytes.
    pub(super) length: u32,
    uncompressed_length: Option<std::num::NonZeroU32>,
}

impl Piece {
    pub(super) fn handle(&self) -> BlobHandle {
        BlobHandle { kind: BlobKind::Data, id: self.id }
    }

    /// Plain bytes.
    pub(super) fn plain_length(&self) -> u64 {
        let location = BlobLocation {
            pack: Id::default(),
            offset: self.offset,
            length: self.length,
            uncompressed_length: self.uncompressed_length,
        };
        location.plain_length().into()
    }

    /// Where the blob is stored.
    pub(super) fn location(&self, pack: Id) -> BlobLocation {
        let uncompressed_length = self.uncompressed_length;
        BlobLocation { pack, offset: self.offset, length: self.length, uncompressed_length }
    }
}

/// Files that are restored together.
#[derive(Default)]
pub(super) struct Slice {
    /// Their folders.
    pub(super) folders: Vec<Arc<Folder>>,
    /// The files.
    pub(super) files: Vec<File>,
    /// Their pieces, file by file.
    pub(super) pieces: Vec<Piece>,
    /// The packs that hold them.
    pub(super) packs: Vec<Id>,
    names: Vec<u8>,
    pack_numbers: HashMap<Id, u32>,
    heap: usize,
}

/// A file about to be added to a slice.
pub(super) struct NewFile<'n> {
    pub(super) name: &'n [u8],
    pub(super) wanted: Wanted,
    pub(super) claimed: u64,
    pub(super) flags: u8,
}

impl Slice {
    /// Begins a file in `folder`; its pieces follow.
    pub(super) fn begin(&mut self, folder: &Arc<Folder>, new: NewFile<'_>) {
        if self.folders.last().is_none_or(|last| last.number != folder.number) {
            self.folders.push(folder.clone());
        }
        self.heap += new.wanted.heap();
        self.files.push(File {
            folder: self.folders.len() as u32 - 1,
            name_at: self.names.len() as u32,
            name_length: new.name.len().min(u16::MAX.into()) as u16,
            flags: AtomicU8::new(new.flags),
            first_piece: self.pieces.len() as u32,
            pieces: 0,
            remaining: AtomicU32::new(0),
            size: 0,
            claimed: new.claimed,
            wanted: new.wanted,
        });
        self.names.extend_from_slice(&new.name[..new.name.len().min(u16::MAX.into())]);
    }

    /// Adds a piece to the file that was begun last.
    pub(super) fn push(&mut self, id: &Id, location: &BlobLocation) {
        let Some(file) = self.files.last_mut() else { return };
        let next = self.packs.len() as u32;
        let pack = *self.pack_numbers.entry(location.pack).or_insert(next);
        if pack == next {
            self.packs.push(location.pack);
        }
        self.pieces.push(Piece {
            id: *id,
            at: file.size,
            file: self.files.len() as u32 - 1,
            pack,
            offset: location.offset,
            length: location.length,
            uncompressed_length: location.uncompressed_length,
        });
        let Some(file) = self.files.last_mut() else { return };
        file.pieces += 1;
        file.size = file.size.saturating_add(location.plain_length().into());
    }

    /// True if it holds `files` files or takes about the memory of that many.
    pub(super) fn is_full(&self, files: usize) -> bool {
        self.files.len() >= files || self.pieces.len() >= 2 * files || self.heap >= 64 * files
    }

    pub(super) fn name(&self, file: &File) -> &[u8] {
        let at = file.name_at as usize;
        &self.names[at..at + usize::from(file.name_length)]
    }

    pub(super) fn folder(&self, file: &File) -> &Arc<Folder> {
        &self.folders[file.folder as usize]
    }

    /// Absolute path within the snapshot.
    pub(super) fn path(&self, file: &File) -> Vec<u8> {
        self.folder(file).path_of(self.name(file))
    }

    /// Sorts the pieces that are needed by where they are stored and joins them to reads: packs in the order of their
    /// first use, which is nearly that of the tree; ranges joined over gaps that cost less than another request.
    pub(super) fn reads(&self, needed: &mut [u32]) -> Vec<Read> {
        let place = |piece: &u32| {
            let piece = &self.pieces[*piece as usize];
            (piece.pack, piece.offset, piece.file)
        };
        needed.sort_unstable_by_key(place);
        let mut reads: Vec<Read> = Vec::new();
        for (at, piece) in needed.iter().enumerate() {
            let piece = &self.pieces[*piece as usize];
            match reads.last_mut() {
                Some(read) if read.takes(piece) => read.extend(piece),
                _ => reads.push(Read::of(piece, at as u32)),
            }
        }
        reads
    }
}

/// One request: a range of one pack and the pieces in it.
#[derive(Debug)]
pub(super) struct Read {
    /// Which pack, within the slice.
    pub(super) pack: u32,
    /// First piece, in the sorted list.
    pub(super) first: u32,
    /// How many pieces.
    pub(super) count: u32,
    /// First byte within the pack.
    pub(super) offset: u64,
    /// How many bytes.
    pub(super) length: u64,
}

/// Longest range that is read at once, if it holds more than one blob.
const LONGEST_READ: u64 = 4 << 20;
/// Widest gap that is read and thrown away instead of asking twice.
const WIDEST_GAP: u64 = 1 << 20;
/// Gap that is always worth reading.
const SMALL_GAP: u64 = 64 << 10;

impl Read {
    fn of(piece: &Piece, first: u32) -> Read {
        Read { pack: piece.pack, first, count: 1, offset: piece.offset.into(), length: piece.length.into() }
    }

    fn takes(&self, piece: &Piece) -> bool {
        let end = self.offset + self.length;
        let gap = u64::from(piece.offset).saturating_sub(end);
        let piece_end = u64::from(piece.offset) + u64::from(piece.length);
        self.pack == piece.pack
            && gap <= WIDEST_GAP.min(self.length + SMALL_GAP)
            && piece_end.saturating_sub(self.offset) <= LONGEST_READ.max(self.length)
    }

    fn extend(&mut self, piece: &Piece) {
        let piece_end = u64::from(piece.offset) + u64::from(piece.length);
        self.length = self.length.max(piece_end - self.offset);
        self.count += 1;
    }
}

#[cfg(test)]
mod tests;
