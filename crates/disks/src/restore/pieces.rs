//! Which bytes of a disk go where on the target. Pieces do not overlap, neither on the disk nor on the target.

use std::ops::Range;

use crate::table::{Moved, Table};
use crate::{Extent, Extents};

/// Bytes that go somewhere together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where they are on the disk.
    pub(super) source: Extent,
    /// Where they begin on the target.
    pub(super) target: u64,
}

/// All of them, in the order of the disk. What is in none is not restored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pieces(Vec<Piece>);

impl Pieces {
    /// Everything below `size` stays where it is.
    pub(super) fn same(size: u64) -> Pieces {
        Pieces::of(vec![Piece { source: 0..size, target: 0 }])
    }

    /// One range, to a target of its own.
    pub(super) fn only(source: Extent) -> Pieces {
        Pieces::of(vec![Piece { source, target: 0 }])
    }

    /// The partitions in their new places, but for those that come from elsewhere; what lies between them stays if there is
    /// room for it below `end`. The table's copy at the old end is left out.
    pub(super) fn of_layout(table: &Table, partitions: &[Moved], elsewhere: &[u32], end: u64) -> Pieces {
        let mut rest = Extents::all(table.size.min(end));
        rest.remove(table.backup());
        for moved in partitions {
            rest.remove(moved.from..moved.from + moved.old_size);
            rest.remove(moved.to..moved.to + moved.size);
        }
        let between = rest.iter().map(|range| Piece { target: range.start, source: range });
        let own = partitions
            .iter()
            .filter(|moved| !elsewhere.contains(&moved.number))
            .map(|moved| Piece { source: moved.from..moved.from + moved.size.min(moved.old_size), target: moved.to });
        Pieces::of(between.chain(own).collect())
    }

    fn of(mut pieces: Vec<Piece>) -> Pieces {
        pieces.retain(|piece| !piece.source.is_empty());
        pieces.sort_by_key(|piece| piece.source.start);
        let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let shift = |piece: &Piece| piece.target.wrapping_sub(piece.source.start);
            match joined.last_mut() {
                Some(last) if last.source.end == piece.source.start && shift(last) == shift(&piece) => {
                    last.source.end = piece.source.end;
                }
                _ => joined.push(piece),
            }
        }
        Pieces(joined)
    }

    /// The parts of a range of the disk that go somewhere, with where.
    pub(super) fn within(&self, range: Range<u64>) -> impl Iterator<Item = Piece> + '_ {
        let first = self.0.partition_point(|piece| piece.source.end <= range.start);
        self.0[first..].iter().take_while(move |piece| piece.source.start < range.end).map({
            move |piece| {
                let source = piece.source.start.max(range.start)..piece.source.end.min(range.end);
                Piece { target: piece.target + (source.start - piece.source.start), source }
            }
        })
    }

    /// True if every byte of the range goes somewhere.
    pub(super) fn cover(&self, range: Range<u64>) -> bool {
        let bytes: u64 = self.within(range.clone()).map(|piece| piece.source.end - piece.source.start).sum();
        bytes == range.end - range.start
    }

    /// True if any byte of the range goes somewhere.
    pub(super) fn touch(&self, range: Range<u64>) -> bool {
        self.within(range).next().is_some()
    }

    /// Where on the target anything goes to.
    pub(super) fn targets(&self) -> Extents {
        self.0.iter().map(|piece| piece.target..piece.target + (piece.source.end - piece.source.start)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_move_alike_are_one_piece() {
        let piece = |source: Extent, target| Piece { source, target };
        let pieces = Pieces::of(vec![piece(10..20, 30), piece(0..10, 0), piece(20..30, 40), piece(40..40, 7)]);
        assert_eq!(pieces.0, [piece(0..10, 0), piece(10..30, 30)]);
        assert_eq!(pieces.within(5..12).collect::<Vec<_>>(), [piece(5..10, 5), piece(10..12, 30)]);
        assert!(pieces.cover(5..30) && !pieces.cover(5..31) && pieces.touch(29..99) && !pieces.touch(30..99));
        assert_eq!(pieces.targets(), Extents::from_iter([0..10, 30..50]));
    }
}
