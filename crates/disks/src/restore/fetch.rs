//! Which ranges of which packs are needed for some chunks, and reading them: each range once, each blob in it decoded once.

use backend::{FileKind, FileName, Id, Part};
use hashbrown::HashMap;
use repo::blob::BlobLocation;
use repo::compress::{Codec, Compression};
use repo::{BlobHandle, BlobKind, Repository};

/// A chunk that is to be fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) chunk: u64,
    pub(crate) id: Id,
    location: BlobLocation,
}

/// One request: a range of a pack, and the pieces in it.
#[derive(Debug)]
pub(crate) struct Fetch {
    pack: Id,
    offset: u64,
    length: u64,
    /// In the order of their places; one blob may be several chunks.
    pieces: Vec<Piece>,
}

/// Longest range that is read at once, if it holds more than one blob.
const LONGEST: u64 = 8 << 20;

/// Bytes that are rather read in vain than asked for with another request.
const WIDEST_GAP: u64 = 256 << 10;

/// Finds out where chunks are, and joins them to requests in the order of their first chunks. Chunks that are nowhere come
/// back as they are.
pub(crate) fn plan(repo: &Repository, chunks: &[(u64, Id)]) -> repo::Result<(Vec<Fetch>, Vec<u64>)> {
    let index = repo.index()?;
    let (mut pieces, mut lost) = (Vec::with_capacity(chunks.len()), Vec::new());
    for (chunk, id) in chunks {
        match index.find(&BlobHandle { kind: BlobKind::Data, id: *id }) {
            Some(location) => pieces.push(Piece { chunk: *chunk, id: *id, location }),
            None => lost.push(*chunk),
        }
    }
    let mut order: HashMap<Id, u32> = HashMap::new();
    for piece in &pieces {
        let next = order.len() as u32;
        order.entry(piece.location.pack).or_insert(next);
    }
    pieces.sort_unstable_by_key(|piece| (order[&piece.location.pack], piece.location.offset, piece.chunk));
    let mut fetches: Vec<Fetch> = Vec::new();
    for piece in pieces {
        match fetches.last_mut().filter(|fetch| fetch.takes(&piece)) {
            Some(fetch) => fetch.push(piece),
            None => fetches.push(Fetch::of(piece)),
        }
    }
    Ok((fetches, lost))
}

impl Fetch {
    fn of(piece: Piece) -> Fetch {
        let BlobLocation { pack, offset, length, .. } = piece.location;
        Fetch { pack, offset: offset.into(), length: length.into(), pieces: vec![piece] }
    }

    fn takes(&self, piece: &Piece) -> bool {
        let (start, end) = (u64::from(piece.location.offset), piece_end(piece));
        let gap = start.saturating_sub(self.offset + self.length);
        self.pack == piece.location.pack && gap <= WIDEST_GAP && end - self.offset <= LONGEST.max(self.length)
    }

    fn push(&mut self, piece: Piece) {
        self.length = self.length.max(piece_end(&piece) - self.offset);
        self.pieces.push(piece);
    }
}

fn piece_end(piece: &Piece) -> u64 {
    u64::from(piece.location.offset) + u64::from(piece.location.length)
}

/// Takes a blob with all chunks that it is, or why it cannot be had.
pub(crate) type Each<'e> = dyn FnMut(&[Piece], Result<&[u8], repo::Error>) + 'e;

/// One thread's way from packs to chunks.
pub(crate) struct Fetcher<'r> {
    repo: &'r Repository,
    codec: Codec,
    stored: Vec<u8>,
    scratch: Vec<u8>,
}

impl<'r> Fetcher<'r> {
    pub(crate) fn new(repo: &'r Repository) -> Fetcher<'r> {
        Fetcher { repo, codec: Codec::new(Compression::Auto), stored: Vec::new(), scratch: Vec::new() }
    }

    /// Reads a range and hands out each blob with all chunks that it is, or why it cannot be had. Damage is believed only
    /// after the blob was read again by itself, from wherever else it lies.
    pub(crate) fn fetch(&mut self, fetch: &Fetch, each: &mut Each<'_>) {
        let part = Part::Range { offset: fetch.offset, length: fetch.length };
        let file = FileName::new(FileKind::Pack, fetch.pack);
        let read = self.repo.backend().read(&file, part, &mut self.stored);
        for same in fetch.pieces.chunk_by(|a, b| a.location.offset == b.location.offset) {
            let piece = &same[0];
            let blob = BlobHandle { kind: BlobKind::Data, id: piece.id };
            let from = (u64::from(piece.location.offset) - fetch.offset) as usize;
            let stored = self.stored.get_mut(from..from + piece.location.length as usize).filter(|_| read.is_ok());
            let (repo, codec, scratch) = (self.repo, &mut self.codec, &mut self.scratch);
            let plain = stored.map(|stored| repo.decode_blob(&blob, &piece.location, stored, codec, scratch));
            match plain {
                Some(Ok(plain)) => each(same, Ok(plain)),
                _ => match repo.read_blob(&blob) {
                    Ok(plain) => each(same, Ok(&plain)),
                    Err(error) => each(same, Err(error)),
                },
            }
        }
    }
}
