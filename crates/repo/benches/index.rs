//! Figures of the index and the writer: `cargo bench -p stead-repo --bench index -- [BLOBS]`.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use backend::{Id, Local, Memory, SystemClock};
use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::index::{IndexFile, IndexPack, MAX_BLOBS};
use repo::key::{KdfParams, KeyOrigin};
use repo::pack::PackedBlob;
use repo::repository::{InitOptions, OpenOptions};
use repo::writer::BlobWriter;
use repo::{BlobHandle, BlobKind, Cancel, Repository};
use stead_repo as repo;

const BLOBS_PER_PACK: usize = 1000;

fn main() {
    let blobs = std::env::args().filter_map(|word| word.parse().ok()).next().unwrap_or(1_000_000);
    index(blobs);
    writer(200_000, 2_000);
    writer(1_000, 1 << 20);
}

fn options(cache: Option<std::path::PathBuf>) -> OpenOptions {
    OpenOptions {
        key_hint: None,
        cache,
        compression: Compression::Auto,
        pack_size: 16 << 20,
        clock: Arc::new(SystemClock),
        cancel: Cancel::default(),
    }
}

fn init_options() -> InitOptions {
    InitOptions {
        chunker: ChunkerKind::Gear,
        chunker_polynomial: None,
        version: 2,
        kdf: KdfParams::RANDOM_PASSWORD,
        origin: KeyOrigin { created: jiff::Zoned::now(), username: "bench".into(), hostname: "bench".into() },
    }
}

fn blob(number: usize) -> BlobHandle {
    BlobHandle { kind: BlobKind::Data, id: Id::of(&number.to_le_bytes()) }
}

fn index_file(first: usize, blobs: usize) -> IndexFile {
    let entry = |at: usize, number| PackedBlob {
        blob: blob(number),
        offset: (at * 16_000) as u32,
        length: 16_000,
        uncompressed_length: std::num::NonZeroU32::new(20_000),
    };
    let numbers: Vec<usize> = (first..first + blobs).collect();
    let packs = numbers.chunks(BLOBS_PER_PACK).map(|numbers| IndexPack {
        id: Id::of(&[1, numbers[0]].map(usize::to_le_bytes).concat()),
        blobs: numbers.iter().enumerate().map(|(at, number)| entry(at, *number)).collect(),
        time: None,
        size: None,
    });
    IndexFile { packs: packs.collect(), packs_to_delete: Vec::new() }
}

fn index(blobs: usize) {
    let room = tempfile::tempdir().expect("a temporary directory");
    let (path, cache) = (room.path().join("repo"), Some(room.path().join("cache")));
    let made = Repository::init(Arc::new(Local::new(&path, 2)), b"x", &init_options(), options(None)).expect("init");
    let (time, ()) = timed(|| {
        for first in (0..blobs).step_by(MAX_BLOBS) {
            made.write_index_file(&index_file(first, MAX_BLOBS.min(blobs - first))).expect("an index file");
        }
    });
    println!("{blobs} blobs, {} per pack; index files written in {time:.2?}", BLOBS_PER_PACK);
    for what in ["without cache", "building the cache", "with a warm cache", "with a warm cache"] {
        let cache = cache.clone().filter(|_| what != "without cache");
        let repo = Repository::open(Arc::new(Local::new(&path, 2)), b"x", options(cache)).expect("open");
        let before = anonymous_memory();
        let (time, index) = timed(|| repo.load_index().expect("the index"));
        println!("index loaded {what}: {time:.2?}, {:+} KiB anonymous", anonymous_memory() as i64 - before as i64);
        let lookups = 1_000_000;
        let (time, found) =
            timed(|| (0..lookups).filter(|n| index.find(&blob(n * 7919 % (2 * blobs))).is_some()).count());
        println!("  {lookups} lookups, {found} found: {:.0?} each, hash of the id included", time / lookups as u32);
        let (time, ()) = timed(|| index.for_each_pack(&mut |_, _| ()).expect("packs"));
        println!("  all packs visited in {time:.2?}");
    }
}

fn writer(blobs: usize, size: usize) {
    let repo = Repository::init(Arc::new(Memory::new()), b"x", &init_options(), options(None)).expect("init");
    let writer = BlobWriter::new(&Arc::new(repo));
    let mut plain: Vec<u8> = (0..size as u64 / 32 + 1).flat_map(|at| *Id::of(&at.to_le_bytes()).as_bytes()).collect();
    plain.truncate(size);
    let mut scratch = writer.scratch();
    let (time, ()) = timed(|| {
        for at in 0..blobs {
            plain[..8].copy_from_slice(&at.to_le_bytes());
            writer.save(BlobKind::Data, &plain, &mut scratch).expect("saved");
        }
        writer.flush().expect("flushed");
    });
    let (again, ()) = timed(|| {
        for at in 0..blobs {
            plain[..8].copy_from_slice(&at.to_le_bytes());
            writer.save(BlobKind::Data, &plain, &mut scratch).expect("saved");
        }
    });
    let (hash, ()) = timed(|| (0..blobs).for_each(|_| _ = std::hint::black_box(Id::of(&plain))));
    let rate = |time: Duration| (blobs * size) as f64 / time.as_secs_f64() / 1e6;
    println!(
        "{blobs} new blobs of {size} bytes on one thread: {:.2?} each, {:.0} MB/s",
        time / blobs as u32,
        rate(time)
    );
    println!("  known already: {:.2?} each; of that the hash: {:.2?}", again / blobs as u32, hash / blobs as u32);
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// Resident anonymous memory of this process in KiB.
fn anonymous_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
