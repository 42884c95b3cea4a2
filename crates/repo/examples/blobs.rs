//! Adds an index of many blobs to a repository: `blobs REPOSITORY COUNT`, password in `RESTIC_PASSWORD`.
//!
//! The packs that the index names do not exist: only loading and searching the index is measured, by
//! `cargo xtask bench --blobs`. Such a repository is good for nothing else.
#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::sync::Arc;

use backend::{Id, Local, SystemClock};
use stead_repo::compress::Compression;
use stead_repo::index::{IndexFile, IndexPack};
use stead_repo::pack::PackedBlob;
use stead_repo::repository::OpenOptions;
use stead_repo::{BlobHandle, BlobKind, Cancel, Repository};

/// As many as restic and stead put into one index file.
const BLOBS_PER_INDEX: u64 = 50_000;

/// Blobs of about 1 MiB in packs of 16 MiB.
const BLOBS_PER_PACK: u64 = 16;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (folder, count) = words.next().zip(words.next()).ok_or("usage: blobs REPOSITORY COUNT")?;
    let (count, password) = (count.parse::<u64>()?, std::env::var("RESTIC_PASSWORD")?);
    let repository = Repository::open(Arc::new(Local::new(folder, 2)), password.as_bytes(), options())?;
    let mut number = 0;
    while number < count {
        let until = count.min(number + BLOBS_PER_INDEX);
        let starts = (number..until).step_by(BLOBS_PER_PACK as usize);
        let packs = starts.map(|start| pack(start, until.min(start + BLOBS_PER_PACK))).collect();
        repository.write_index_file(&IndexFile { packs, packs_to_delete: Vec::new() })?;
        number = until;
    }
    println!("{count} blobs");
    Ok(())
}

fn options() -> OpenOptions {
    OpenOptions {
        key_hint: None,
        cache: None,
        compression: Compression::Auto,
        pack_size: 16 << 20,
        clock: Arc::new(SystemClock),
        cancel: Cancel::default(),
    }
}

/// A pack with the blobs of these numbers. One pack in sixteen holds trees.
fn pack(start: u64, end: u64) -> IndexPack {
    let kind = if (start / BLOBS_PER_PACK).is_multiple_of(16) { BlobKind::Tree } else { BlobKind::Data };
    let blob = |number: u64| PackedBlob {
        blob: BlobHandle { kind, id: name("blob", number) },
        offset: (number - start) as u32 * (1 << 20),
        length: 1 << 20,
        uncompressed_length: None,
    };
    let blobs = (start..end).map(blob).collect();
    IndexPack { id: name("pack", start), blobs, time: None, size: None }
}

fn name(what: &str, number: u64) -> Id {
    Id::of(format!("{what} {number}").as_bytes())
}
