//! The proof before storing, against memory that flips bits.

use std::sync::Arc;

use backend::{Memory, SystemClock};

use super::*;
use crate::chunk::ChunkerKind;
use crate::compress::Compression;
use crate::key::{KdfParams, KeyOrigin};
use crate::repository::{InitOptions, OpenOptions};

fn writer() -> BlobWriter {
    let options = OpenOptions {
        key_hint: None,
        cache: None,
        compression: Compression::Auto,
        pack_size: 4 << 20,
        clock: Arc::new(SystemClock),
        cancel: crate::Cancel::default(),
    };
    let created = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
    let init = InitOptions {
        chunker: ChunkerKind::Gear,
        chunker_polynomial: None,
        version: 2,
        kdf: KdfParams::RANDOM_PASSWORD,
        origin: KeyOrigin { created, username: "ada".into(), hostname: "desk".into() },
    };
    BlobWriter::new(&Arc::new(Repository::init(Arc::new(Memory::new()), b"x", &init, options).unwrap()))
}

/// F5, F37: a bit that flips between encoding and upload, or a compressor that writes nonsense, is found before storing.
#[test]
fn what_does_not_decode_to_its_hash_is_not_stored() {
    let writer = writer();
    let mut scratch = writer.scratch();
    for plain in [b"compressible ".repeat(100), Vec::new(), (0..=255).collect()] {
        let blob = BlobHandle { kind: BlobKind::Data, id: Id::of(&plain) };
        let length = writer.shared.encode(BlobKind::Data, &plain, &mut scratch);
        assert_eq!(writer.shared.prove(&blob, length, &mut scratch), Ok(()));
        for at in [0, 16, scratch.sealed.len() - 1] {
            scratch.sealed[at] ^= 4;
            assert!(writer.shared.prove(&blob, length, &mut scratch).is_err());
            scratch.sealed[at] ^= 4;
        }
        let other = BlobHandle { id: Id::of(b"other"), ..blob };
        assert!(writer.shared.prove(&other, length, &mut scratch).is_err());
    }
}

#[test]
fn packs_are_filled_and_do_not_become_too_large() {
    let writer = writer();
    let mut scratch = writer.scratch();
    for seed in 0..60 {
        let plain = testkit::sample::random_bytes(seed, 700_000);
        writer.save(BlobKind::Data, &plain, &mut scratch).unwrap();
    }
    writer.save(BlobKind::Data, &testkit::sample::random_bytes(60, 9 << 20), &mut scratch).unwrap();
    writer.flush().unwrap();
    let mut sizes: Vec<u64> = writer.shared.uploads.stored().iter().map(|pack| pack.size).collect();
    sizes.sort_unstable();
    let (own, usual) = sizes.split_last().unwrap();
    assert!(*own > 9 << 20 && usual.iter().all(|size| *size <= (4 << 20) + 1000), "{sizes:?}");
    assert!(usual[2..].iter().all(|size| *size >= 3 << 20), "all but what was left in the end: {sizes:?}");
}

#[test]
fn buffers_are_bounded_in_bytes_and_there_is_always_one_to_go_on_with() {
    assert_eq!(most_buffers(16 << 20, 4), 4);
    assert_eq!(most_buffers(16 << 20, 1), 3);
    assert_eq!(most_buffers(4 << 20, 5), 7);
    assert_eq!(most_buffers(128 << 20, 5), 3);
}

#[test]
fn a_wrong_id_ends_the_writer() {
    let writer = writer();
    let mut scratch = writer.scratch();
    let wrong = BlobHandle { kind: BlobKind::Data, id: Id::of(b"one") };
    assert!(matches!(writer.save_as(&wrong, b"two", &mut scratch).unwrap_err().root(), Error::SelfCheck { .. }));
    assert!(writer.flush().is_err());
}

#[test]
fn an_empty_blob_is_stored_as_it_is() {
    let writer = writer();
    let mut scratch = writer.scratch();
    assert_eq!(writer.save(BlobKind::Tree, b"", &mut scratch).unwrap().stored, 32);
    writer.flush().unwrap();
    let blob = BlobHandle { kind: BlobKind::Tree, id: Id::of(b"") };
    assert!(writer.shared.repo.read_blob(&blob).unwrap().is_empty());
}
