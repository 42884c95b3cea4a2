//! Packs that are right, and packs that lie.

use super::*;

fn sample(key: &MasterKey) -> (Vec<PackedBlob>, Vec<u8>) {
    let (mut pack, mut blobs) = (Vec::new(), Vec::new());
    for (kind, uncompressed) in [(BlobKind::Data, 0), (BlobKind::Tree, 0), (BlobKind::Data, 7), (BlobKind::Tree, 9)] {
        let plain = [kind as u8, uncompressed as u8];
        let offset = pack.len() as u32;
        key.seal(&plain, &mut pack);
        let blob = BlobHandle { kind, id: Id::of(&plain) };
        let length = pack.len() as u32 - offset;
        blobs.push(PackedBlob { blob, offset, length, uncompressed_length: NonZeroU32::new(uncompressed) });
    }
    (blobs, pack)
}

/// A pack whose encrypted header is `header`, behind `content` bytes of blobs.
fn with_header(key: &MasterKey, header: &[u8], content: usize) -> Vec<u8> {
    let mut pack = vec![0; content];
    key.seal(header, &mut pack);
    let length = (pack.len() - content) as u32;
    pack.extend_from_slice(&length.to_le_bytes());
    pack
}

fn entry(kind: u8, length: u32) -> Vec<u8> {
    [&[kind][..], &length.to_le_bytes(), &[7; 32]].concat()
}

#[test]
fn a_header_reads_back_from_any_tail_that_holds_it() {
    let key = MasterKey::random();
    let (blobs, mut pack) = sample(&key);
    let content = pack.len();
    append_header(&key, &blobs, &mut pack).unwrap();
    let header = pack.len() - content;
    assert_eq!(header as u64, header_size(&blobs));
    for tail in 0..=pack.len() {
        let parsed = parse_header(&key, &pack[pack.len() - tail..], pack.len() as u64).unwrap();
        match parsed {
            HeaderTail::Needs(needs) if tail < 4 => assert_eq!(needs, USUAL_TAIL.min(pack.len() as u64)),
            HeaderTail::Needs(needs) => assert!(tail < header && needs == header as u64, "{tail}"),
            HeaderTail::Blobs(read) => assert!(tail >= header && read == blobs, "{tail}"),
        }
    }
}

#[test]
fn a_writer_that_loses_track_of_offsets_is_stopped() {
    let key = MasterKey::random();
    let (blobs, pack) = sample(&key);
    let mut gap = blobs.clone();
    gap[1].offset += 1;
    assert!(append_header(&key, &gap, &mut pack.clone()).is_err());
    assert!(append_header(&key, &blobs[..3], &mut pack.clone()).is_err());
    assert!(append_header(&key, &[], &mut Vec::new()).is_err());
}

#[test]
fn a_pack_may_hold_as_many_blobs_as_restic_reads_and_no_more() {
    let key = MasterKey::random();
    let blob = BlobHandle { kind: BlobKind::Data, id: Id::of(b"") };
    let packed = PackedBlob { blob, offset: 0, length: 33, uncompressed_length: NonZeroU32::new(1) };
    let blobs: Vec<PackedBlob> =
        (0..=MAX_BLOBS).map(|at| PackedBlob { offset: at as u32 * packed.length, ..packed }).collect();
    let mut pack = vec![0; MAX_BLOBS * packed.length as usize];
    append_header(&key, &blobs[..MAX_BLOBS], &mut pack).unwrap();
    assert!(append_header(&key, &blobs, &mut vec![0; blobs.len() * packed.length as usize]).is_err());
}

#[test]
fn headers_that_lie_about_lengths_are_damage() {
    let key = MasterKey::random();
    let parse = |pack: &[u8]| parse_header(&key, pack, pack.len() as u64);
    assert!(parse(&with_header(&key, &entry(0, 40), 40)).is_ok());
    for (what, pack) in [
        ("shorter than its blobs", with_header(&key, &entry(0, 41), 40)),
        ("longer than its blobs", with_header(&key, &entry(0, 40), 41)),
        ("a blob without envelope", with_header(&key, &entry(0, 31), 31)),
        ("an unknown type", with_header(&key, &entry(4, 40), 40)),
        ("a cut entry", with_header(&key, &entry(2, 40), 40)),
        ("lengths that overflow", with_header(&key, &[entry(0, u32::MAX), entry(0, u32::MAX)].concat(), 0)),
        ("no blobs", with_header(&key, &[], 0)),
        ("nothing", Vec::new()),
        ("a length alone", vec![0; 4]),
        ("a huge length", vec![0xff; 100]),
    ] {
        assert!(parse(&pack).is_err(), "{what}");
    }
}

#[test]
fn a_pack_of_4_gib_is_refused_before_its_header_is_read() {
    assert!(parse_header(&MasterKey::random(), &[], 1 << 32).is_err());
}

#[test]
fn a_compressed_blob_of_no_length_counts_as_not_compressed_as_in_restic() {
    let key = MasterKey::random();
    let header = [&[2][..], &40u32.to_le_bytes(), &0u32.to_le_bytes(), &[7; 32]].concat();
    let pack = with_header(&key, &header, 40);
    let HeaderTail::Blobs(blobs) = parse_header(&key, &pack, pack.len() as u64).unwrap() else { panic!("whole pack") };
    assert_eq!(blobs[0].uncompressed_length, None);
}
