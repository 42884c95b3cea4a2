//! How pieces become reads.

use super::*;

fn slice_of(places: &[(u8, u32, u32)]) -> Slice {
    let mut slice = Slice::default();
    let folder = Arc::new(Folder::new(0, None, Vec::new(), None));
    for (pack, offset, length) in places {
        let wanted = Wanted::of(&crate::restore::special::tests::node(b"file"), &crate::restore::Options::default());
        slice.begin(&folder, NewFile { name: b"file", wanted, claimed: 0, flags: 0 });
        let pack = Id::of(&[*pack]);
        let location = BlobLocation { pack, offset: *offset, length: *length, uncompressed_length: None };
        slice.push(&Id::of(&offset.to_be_bytes()), &location);
    }
    slice
}

fn ranges(slice: &Slice) -> Vec<(u32, u64, u64, u32)> {
    let mut needed: Vec<u32> = (0..slice.pieces.len() as u32).collect();
    slice.reads(&mut needed).iter().map(|read| (read.pack, read.offset, read.length, read.count)).collect()
}

#[test]
fn neighbours_are_read_at_once_and_packs_apart() {
    let slice = slice_of(&[(7, 100, 100), (9, 0, 50), (7, 0, 100)]);
    assert_eq!(ranges(&slice), [(0, 0, 200, 2), (1, 0, 50, 1)]);
}

#[test]
fn a_blob_in_many_files_is_read_once() {
    let slice = slice_of(&[(7, 0, 100), (7, 0, 100), (7, 0, 100)]);
    assert_eq!(ranges(&slice), [(0, 0, 100, 3)]);
}

#[test]
fn a_wide_gap_is_not_read() {
    let slice = slice_of(&[(7, 0, 100), (7, 50_000, 100), (7, 2_000_000, 100)]);
    assert_eq!(ranges(&slice), [(0, 0, 50_100, 2), (0, 2_000_000, 100, 1)]);
}

#[test]
fn no_read_is_much_longer_than_four_mebibytes() {
    let places: Vec<_> = (0..40).map(|n| (1, n << 20, 1 << 20)).collect();
    assert!(ranges(&slice_of(&places)).iter().all(|read| read.2 == 4 << 20));
    assert_eq!(ranges(&slice_of(&[(1, 0, 9 << 20), (1, 9 << 20, 10)])).len(), 2);
}
