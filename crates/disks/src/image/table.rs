//! Which blob each chunk of a disk is. Of segments in which nothing changed only the tree is known, not the chunks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use backend::Id;
use parking_lot::Mutex;

use super::{CHUNKS_PER_SEGMENT, Geometry, ImageError, Result, zero_chunk};
use crate::CHUNK;

/// The chunks of one disk. Shared by threads; a segment is locked while one of its chunks is set.
pub(super) struct Table {
    geometry: Geometry,
    zeros: Zeros,
    segments: Vec<Mutex<Segment>>,
    tickets: AtomicU64,
    /// One bit per chunk that was set.
    done: Vec<AtomicU64>,
}

/// What chunks of zeros are called.
struct Zeros {
    full: Id,
    last: Id,
}

/// What is known of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SegmentState {
    /// All zeros.
    #[default]
    Zero,
    /// As a tree that is stored.
    Stored(Id),
    /// As these chunks.
    Chunks(Vec<Id>),
}

/// What is known of a whole disk, to go on from later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableState {
    /// Its segments.
    pub segments: Vec<SegmentState>,
    /// One bit per chunk (the lowest first) that was put.
    pub done: Vec<u64>,
}

#[derive(Default)]
struct Segment {
    state: SegmentState,
    /// The tree that the state was read from, while the chunks are still the same.
    unchanged: Option<Id>,
    /// Counts the changes.
    version: u64,
    /// Chunks on their way, with the ticket of the one that was put last.
    in_hand: Vec<(u64, u64)>,
}

/// A tree that was stored for a segment as it was at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentTree {
    segment: usize,
    tree: Id,
    version: u64,
}

/// Reads the chunks that a stored segment consists of.
pub(super) trait Trees {
    fn chunks(&self, segment: u64, tree: &Id) -> Result<Vec<Id>>;
}

impl Table {
    pub(super) fn new(geometry: Geometry, mut state: TableState) -> Result<Table> {
        let count = geometry.segments() as usize;
        if state.segments.is_empty() {
            state.segments = vec![SegmentState::Zero; count];
        }
        let mut done = state.done;
        done.resize(geometry.chunks().div_ceil(64) as usize, 0);
        let mut segments = Vec::with_capacity(count);
        for (number, state) in state.segments.into_iter().enumerate() {
            check_state(&geometry, number as u64, &state)?;
            segments.push(Mutex::new(Segment { state, ..Segment::default() }));
        }
        if segments.len() != count {
            return Err(ImageError::Internal(format!("{} segments instead of {count}", segments.len())));
        }
        let last = geometry.chunk_length(geometry.chunks().saturating_sub(1));
        let zeros = Zeros { full: zero_chunk(CHUNK as usize), last: zero_chunk(last) };
        let done = done.into_iter().map(AtomicU64::new).collect();
        Ok(Table { geometry, zeros, segments, tickets: AtomicU64::new(1), done })
    }

    pub(super) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What a chunk is called if it is zeros.
    pub(super) fn zero(&self, chunk: u64) -> Id {
        if self.geometry.chunk_length(chunk) == CHUNK as usize { self.zeros.full } else { self.zeros.last }
    }

    /// Tells that a chunk is on its way; whatever was put before no longer counts.
    pub(super) fn expect(&self, chunk: u64) -> u64 {
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let mut segment = self.segment_of(chunk).lock();
        segment.in_hand.retain(|(other, _)| *other != chunk);
        segment.in_hand.push((chunk, ticket));
        ticket
    }

    /// Sets a chunk that was expected, unless it was put again since.
    pub(super) fn set(&self, chunk: u64, ticket: u64, id: Id, trees: &dyn Trees) -> Result<()> {
        let mut segment = self.segment_of(chunk).lock();
        let Some(at) = segment.in_hand.iter().position(|waiting| *waiting == (chunk, ticket)) else { return Ok(()) };
        segment.in_hand.swap_remove(at);
        self.put(&mut segment, chunk, id, trees)?;
        self.done[(chunk / 64) as usize].fetch_or(1 << (chunk % 64), Ordering::Relaxed);
        Ok(())
    }

    fn put(&self, segment: &mut Segment, chunk: u64, id: Id, trees: &dyn Trees) -> Result<()> {
        if segment.state == SegmentState::Zero && id == self.zero(chunk) {
            return Ok(());
        }
        self.open(segment, chunk / CHUNKS_PER_SEGMENT, trees)?;
        if let SegmentState::Chunks(ids) = &mut segment.state {
            let place = &mut ids[(chunk % CHUNKS_PER_SEGMENT) as usize];
            if *place != id {
                *place = id;
                segment.unchanged = None;
                segment.version += 1;
            }
        }
        Ok(())
    }

    /// Makes the chunks of a segment known.
    fn open(&self, segment: &mut Segment, number: u64, trees: &dyn Trees) -> Result<()> {
        let chunks = match &segment.state {
            SegmentState::Chunks(_) => return Ok(()),
            SegmentState::Zero => self.geometry.chunks_of(number).map(|chunk| self.zero(chunk)).collect(),
            SegmentState::Stored(tree) => {
                let chunks = trees.chunks(number, tree)?;
                segment.unchanged = Some(*tree);
                chunks
            }
        };
        segment.state = SegmentState::Chunks(chunks);
        Ok(())
    }

    /// The chunks of zeros that a segment of zeros consists of.
    pub(super) fn zero_chunks(&self, segment: u64) -> Vec<Id> {
        self.geometry.chunks_of(segment).map(|chunk| self.zero(chunk)).collect()
    }

    /// Stores a tree for every segment that has chunks, in order; `store` stores one and returns its name. Segments that
    /// something is on the way for are left out. The chunks stay known until [`Table::forget`].
    pub(super) fn trees(&self, mut store: impl FnMut(u64, &[Id]) -> Result<Id>) -> Result<Vec<SegmentTree>> {
        let mut trees = Vec::new();
        for (number, segment) in self.segments.iter().enumerate() {
            let segment = segment.lock();
            let SegmentState::Chunks(ids) = &segment.state else { continue };
            if segment.in_hand.is_empty() {
                let tree = segment.unchanged.map_or_else(|| store(number as u64, ids), Ok)?;
                trees.push(SegmentTree { segment: number, tree, version: segment.version });
            }
        }
        Ok(trees)
    }

    /// Lets go of the chunks of segments whose trees can be read from now on, unless they have changed since.
    pub(super) fn forget(&self, trees: &[SegmentTree]) {
        for SegmentTree { segment, tree, version } in trees {
            let mut segment = self.segments[*segment].lock();
            if segment.version == *version {
                segment.state = SegmentState::Stored(*tree);
            }
        }
    }

    /// What is known now.
    pub(super) fn state(&self) -> TableState {
        let segments = self.segments.iter().map(|segment| segment.lock().state.clone()).collect();
        TableState { segments, done: self.done.iter().map(|word| word.load(Ordering::Relaxed)).collect() }
    }

    /// How many segments have chunks in memory.
    pub(super) fn open_segments(&self) -> usize {
        self.segments.iter().filter(|segment| matches!(segment.lock().state, SegmentState::Chunks(_))).count()
    }

    fn segment_of(&self, chunk: u64) -> &Mutex<Segment> {
        &self.segments[(chunk / CHUNKS_PER_SEGMENT) as usize]
    }
}

fn check_state(geometry: &Geometry, number: u64, state: &SegmentState) -> Result<()> {
    let range = geometry.chunks_of(number);
    match state {
        SegmentState::Chunks(ids) if ids.len() as u64 != range.end - range.start => {
            Err(ImageError::Internal(format!("segment {number} with {} chunks", ids.len())))
        }
        _ => Ok(()),
    }
}

/// Trees by number, for tests and for segments that were read already.
impl Trees for HashMap<u64, Vec<Id>> {
    fn chunks(&self, segment: u64, _: &Id) -> Result<Vec<Id>> {
        self.get(&segment).cloned().ok_or_else(|| ImageError::Internal(format!("no segment {segment}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SEGMENT;

    const NOTHING: fn() -> HashMap<u64, Vec<Id>> = HashMap::new;

    fn table(segments: Vec<SegmentState>) -> Table {
        let geometry = Geometry::new(2 * SEGMENT).unwrap();
        Table::new(geometry, TableState { segments, done: Vec::new() }).unwrap()
    }

    #[test]
    fn of_two_versions_of_a_chunk_the_one_put_last_counts_however_long_the_first_takes() {
        let table = table(Vec::new());
        let (first, second) = (table.expect(5), table.expect(5));
        table.set(5, second, Id::of(b"new"), &NOTHING()).unwrap();
        table.set(5, first, Id::of(b"old"), &NOTHING()).unwrap();
        let SegmentState::Chunks(ids) = &table.state().segments[0] else { panic!("chunks") };
        assert_eq!((ids[5], ids[4]), (Id::of(b"new"), table.zero(4)));
    }

    #[test]
    fn a_segment_that_is_put_as_it_was_keeps_its_tree() {
        let (tree, other) = (Id::of(b"tree"), Id::of(b"other"));
        let before: Vec<Id> = (0..1024u32).map(|number| Id::of(&number.to_le_bytes())).collect();
        let table = table(vec![SegmentState::Stored(tree), SegmentState::Stored(other)]);
        let trees = HashMap::from([(0, before.clone())]);
        let ticket = table.expect(7);
        table.set(7, ticket, before[7], &trees).unwrap();
        table.forget(&table.trees(|_, _| panic!("nothing to store")).unwrap());
        assert_eq!(table.state().segments, [SegmentState::Stored(tree), SegmentState::Stored(other)]);
        let ticket = table.expect(7);
        table.set(7, ticket, before[8], &trees).unwrap();
        table.forget(&table.trees(|_, ids| Ok(ids[7])).unwrap());
        assert_eq!(table.state().segments, [SegmentState::Stored(before[8]), SegmentState::Stored(other)]);
    }

    #[test]
    fn a_segment_that_changed_while_its_tree_was_stored_keeps_its_chunks() {
        let table = table(Vec::new());
        table.set(7, table.expect(7), Id::of(b"first"), &NOTHING()).unwrap();
        let trees = table.trees(|_, _| Ok(Id::of(b"tree"))).unwrap();
        table.set(8, table.expect(8), Id::of(b"second"), &NOTHING()).unwrap();
        table.forget(&trees);
        let SegmentState::Chunks(ids) = &table.state().segments[0] else { panic!("chunks") };
        assert_eq!((ids[7], ids[8]), (Id::of(b"first"), Id::of(b"second")));
        table.expect(9);
        assert!(table.trees(|_, _| panic!("something is on the way")).unwrap().is_empty());
    }

    #[test]
    fn zeros_on_zeros_take_no_memory_and_are_done() {
        let table = table(Vec::new());
        for chunk in [0, 64, 2047] {
            table.set(chunk, table.expect(chunk), table.zero(chunk), &NOTHING()).unwrap();
        }
        let state = table.state();
        assert_eq!(state.segments, [SegmentState::Zero, SegmentState::Zero]);
        assert_eq!((state.done[0], state.done[1], state.done[31]), (1, 1, 1 << 63));
    }
}
