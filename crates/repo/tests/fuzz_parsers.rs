//! Parsers of stored bytes, fed with rubbish and with good input that was damaged: errors, never panics, bounded memory.
//!
//! As ordinary tests they run for a second each; `cargo bolero test -p stead-repo <name>` runs one for as long as you like.

use std::time::Duration;

use backend::{Backend, FileKind, FileName, Id, Memory};
use bolero::check;
use repo::compress::{Codec, Compression};
use repo::config::Config;
use repo::crypto::{MasterKey, OVERHEAD};
use repo::pack::{self, HeaderTail};
use repo::snapshot::Snapshot;
use repo::tree::{Tree, TreeBuilder};
use repo::{gojson, key};
use stead_repo as repo;

const SHORT: Duration = Duration::from_secs(1);

const CONFIG: &[u8] =
    br#"{"version":2,"id":"07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541","chunker_polynomial":"3da3358b4dc173","chunker":"Rabin","chunk_size":1048576,"stead":{"chunker":"gear-1"}}"#;

const KEY: &[u8] = br#"{"created":"2026-11-22T01:02:03Z","username":"a","hostname":"b","kdf":"scrypt","N":2,"r":1,"p":1,"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","data":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;

const SNAPSHOT: &[u8] = br#"{"time":"2026-11-22T01:43:44.9+01:00","tree":"07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541","paths":["/a"],"hostname":"vm","uid":7,"tags":["x"],"summary":{"files_new":1,"x":[]}}"#;

const TREE: &[u8] = br#"{"x":[{}],"nodes":[{"name":"a\\xff\u003c","type":"file","mode":420,"mtime":"2026-11-22T01:43:44.9Z","uid":1,"user":"r\ud83d\ude00","linktarget_raw":"/w==","extended_attributes":[{"name":"u","value":null}],"generic_attributes":{"w":{"L":1}},"content":["07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541"]},{"name":"b","type":"dir","subtree":"07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541"}]}"#;

/// Applies random edits to good input: what damage and malice look like more often than rubbish does. Each edit is a
/// place, a length to be taken out and bytes to be put in.
fn damage(good: &[u8], edits: &[(u16, u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for (place, removed, inserted) in edits {
        let start = usize::from(*place) % (bytes.len() + 1);
        let end = (start + usize::from(*removed % 16)).min(bytes.len());
        bytes.splice(start..end, inserted.iter().take(16).copied());
    }
    bytes
}

/// Runs `parse` on damaged copies of `good`.
fn fuzz(good: &'static [u8], parse: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    parse(good);
    check!().with_test_time(SHORT).with_type::<Vec<(u16, u8, Vec<u8>)>>().for_each(|edits| parse(&damage(good, edits)));
}

/// Runs `parse` on rubbish.
fn fuzz_rubbish(parse: impl Fn(&[u8]) + std::panic::RefUnwindSafe) {
    check!().with_test_time(SHORT).for_each(|bytes: &[u8]| parse(bytes));
}

#[test]
fn configs() {
    fuzz(CONFIG, |json| {
        if let Ok(config) = Config::parse(json) {
            let _ = config.chunker();
            assert_eq!(Config::parse(&config.to_json()).unwrap(), config);
        }
    });
}

#[test]
fn key_files() {
    fuzz(KEY, |json| {
        // Damage that asks for the most work allowed would take this test minutes.
        let costly = String::from_utf8_lossy(json).split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 3);
        if costly && json != KEY {
            return;
        }
        let backend = Memory::new();
        backend.create().unwrap();
        backend.write(&FileName::new(FileKind::Key, Id::of(json)), json).unwrap();
        assert!(key::open(&backend, b"password", None).is_err());
        assert_eq!(key::list(&backend).unwrap().len(), 1);
    });
}

#[test]
fn snapshots() {
    fuzz(SNAPSHOT, |json| {
        if let Ok(snapshot) = Snapshot::parse(json) {
            snapshot.zoned().unwrap();
            assert_eq!(Snapshot::parse(&snapshot.to_json()).unwrap(), snapshot);
        }
    });
}

/// What is read is written in one form only, whatever form it had.
fn parse_tree(json: &[u8]) {
    let Ok(tree) = Tree::parse(json) else { return };
    let mut builder = TreeBuilder::default();
    if tree.nodes.iter().all(|node| builder.push(node).is_ok()) {
        let written = builder.finish();
        let again = Tree::parse(&written).unwrap();
        let mut second = TreeBuilder::default();
        again.nodes.iter().for_each(|node| second.push(node).unwrap());
        assert_eq!(second.finish(), written);
    }
}

#[test]
fn trees() {
    fuzz(TREE, parse_tree);
}

#[test]
fn trees_of_rubbish() {
    fuzz_rubbish(parse_tree);
}

#[test]
fn pack_headers_that_are_authentic_and_wrong() {
    let key = MasterKey::random();
    check!().with_test_time(SHORT).with_type::<(Vec<u8>, u64)>().for_each(|(header, size)| {
        let mut tail = Vec::new();
        key.seal(header, &mut tail);
        let length = tail.len() as u32;
        tail.extend_from_slice(&length.to_le_bytes());
        for size in [*size, tail.len() as u64, tail.len() as u64 + size % (1 << 32)] {
            if let Ok(HeaderTail::Blobs(blobs)) = pack::parse_header(&key, &tail, size) {
                assert_eq!(blobs.last().unwrap().end() + pack::header_size(&blobs), size);
            }
        }
    });
}

#[test]
fn pack_tails_of_rubbish() {
    let key = MasterKey::random();
    check!().with_test_time(SHORT).with_type::<(Vec<u8>, u64)>().for_each(|(tail, size)| {
        if let Ok(HeaderTail::Needs(needs)) = pack::parse_header(&key, tail, *size) {
            assert!(needs <= *size && needs <= pack::MAX_HEADER as u64);
        }
    });
}

#[test]
fn frames_that_lie_about_their_length() {
    let mut good = Vec::new();
    Codec::new(Compression::Auto).compress_metadata(&TREE.repeat(3), &mut good);
    check!().with_test_time(SHORT).with_type::<(Vec<(u16, u8, Vec<u8>)>, u32)>().for_each(|(edits, length)| {
        let (mut codec, mut out) = (Codec::new(Compression::Auto), Vec::new());
        let frame = damage(&good, edits);
        for length in [*length as usize, TREE.len() * 3] {
            if codec.decompress(&frame, length, &mut out).is_ok() {
                assert_eq!(out.len(), length);
            }
        }
        if let Ok(plain) = codec.decompress_bounded(&frame, 10_000) {
            assert!(plain.len() <= 10_000);
        }
    });
}

#[test]
fn names_read_back_whatever_their_bytes() {
    fuzz_rubbish(|name| {
        let quoted = gojson::quote_name(name);
        assert_eq!(gojson::unquote_name(&quoted).as_deref(), Some(name));
        assert!(quoted.chars().all(|character| !character.is_control()));
    });
}

#[test]
fn quotes_of_rubbish() {
    check!().with_test_time(SHORT).with_type::<String>().for_each(|quoted| {
        if let Some(name) = gojson::unquote_name(quoted) {
            let canonical = gojson::quote_name(&name);
            assert_eq!(gojson::unquote_name(&canonical), Some(name));
        }
    });
}

#[test]
fn envelopes_open_unchanged_and_never_changed() {
    let key = MasterKey::random();
    check!().with_test_time(SHORT).with_type::<(Vec<u8>, u32)>().for_each(|(plain, bit)| {
        let mut envelope = Vec::new();
        key.seal(plain, &mut envelope);
        assert_eq!(envelope.len(), plain.len() + OVERHEAD);
        let mut changed = envelope.clone();
        let bit = *bit as usize % (envelope.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(key.open(&mut changed).is_err());
        assert_eq!(key.open(&mut envelope).unwrap(), plain);
    });
}
