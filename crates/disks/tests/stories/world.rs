//! A repository in memory, disks in memory, and images of them.

use std::sync::Arc;

use backend::{Backend, FileKind, Id, Memory, SystemClock};
use disks::image::{Base, DiskName, FinishedImage, ImageWriter, SnapshotDetails, SnapshotSaved, Store, StoredImages};
use disks::manifest::{Capture, Disk, Identity, Manifest, UsedMap};
use disks::offline::{self, Unreadable};
use disks::progress::Progress;
use disks::{CHUNK, Extents, ReadAt, SEGMENT};
use platform::hardware::System;
use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::key::{KdfParams, KeyOrigin};
use repo::repository::{InitOptions, OpenOptions};
use repo::{Cancel, Repository};

pub(crate) struct World {
    pub(crate) memory: Arc<Memory>,
    pub(crate) repo: Arc<Repository>,
}

fn open_options() -> OpenOptions {
    OpenOptions {
        key_hint: None,
        cache: None,
        compression: Compression::Auto,
        pack_size: 4 << 20,
        clock: Arc::new(SystemClock),
        cancel: Cancel::default(),
    }
}

impl World {
    pub(crate) fn new() -> World {
        let memory = Arc::new(Memory::new());
        let created = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
        let init = InitOptions {
            chunker: ChunkerKind::Gear,
            chunker_polynomial: None,
            version: 2,
            kdf: KdfParams::RANDOM_PASSWORD,
            origin: KeyOrigin { created, username: "tester".into(), hostname: "host".into() },
        };
        let repo = Arc::new(Repository::init(memory.clone(), b"test", &init, open_options()).unwrap());
        World { memory, repo }
    }

    /// The same repository as another process sees it.
    pub(crate) fn again(&self) -> World {
        let repo = Arc::new(Repository::open(self.memory.clone(), b"test", open_options()).unwrap());
        World { memory: Arc::clone(&self.memory), repo }
    }

    pub(crate) fn store(&self) -> Arc<Store> {
        Store::new(&self.repo, Arc::default()).unwrap()
    }

    /// Bytes in the storage.
    pub(crate) fn stored(&self) -> u64 {
        [FileKind::Pack, FileKind::Index, FileKind::Snapshot]
            .iter()
            .flat_map(|kind| self.memory.list(*kind).unwrap())
            .map(|file| file.size)
            .sum()
    }

    /// An image of a disk of which only `used` is in use.
    pub(crate) fn image(&self, disk: &[u8], used: &Extents) -> SnapshotSaved {
        self.image_onto(disk, used, Base::Zeros, None)
    }

    pub(crate) fn image_onto(&self, disk: &[u8], used: &Extents, base: Base, parent: Option<Id>) -> SnapshotSaved {
        let store = self.store();
        let writer = ImageWriter::new(&store, name("sda"), disk.size(), base, 2).unwrap();
        read(disk, used, &writer);
        finish(&store, writer.finish().unwrap(), used, parent)
    }

    pub(crate) fn open(&self, saved: &SnapshotSaved) -> StoredImages {
        StoredImages::open(&self.repo, saved.id, &saved.tree).unwrap()
    }

    /// The parent for an increment.
    pub(crate) fn base(&self, saved: &SnapshotSaved) -> Base {
        Base::Parent(self.open(saved).disks[0].clone())
    }
}

pub(crate) fn name(name: &str) -> DiskName {
    DiskName::new(name).unwrap()
}

pub(crate) fn read(disk: &[u8], used: &Extents, writer: &ImageWriter) {
    let options = offline::Options { unreadable: Unreadable::Fail, threads: 2 };
    let gaps = offline::read(&disk, used, writer, options, &Progress::default(), &Cancel::default()).unwrap();
    assert!(gaps.is_empty());
}

pub(crate) fn finish(store: &Store, image: FinishedImage, used: &Extents, parent: Option<Id>) -> SnapshotSaved {
    let manifest = manifest(&image, used);
    let details = SnapshotDetails {
        host: "host".into(),
        tags: Vec::new(),
        paths: vec!["/dev/sda".into()],
        time: jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC),
        program_version: "stead test".into(),
        parent,
    };
    store.finish(&[image], &manifest, &details).unwrap()
}

pub(crate) fn manifest(image: &FinishedImage, used: &Extents) -> Manifest {
    let mut manifest = Manifest::new("stead test", "host", jiff::Timestamp::UNIX_EPOCH);
    manifest.disks.push(Disk {
        name: image.name.to_string(),
        device: "/dev/sda".into(),
        size: image.size,
        start: None,
        logical_sector: 512,
        physical_sector: 512,
        identity: Identity::default(),
        segment_size: SEGMENT,
        chunk_size: CHUNK,
        used: UsedMap::new(used, image.size),
        table: serde_json::Value::Null,
        volumes: serde_json::Value::Null,
        capture: Capture::offline(),
        structure: Vec::new(),
        gaps: Vec::new(),
    });
    manifest
}

/// A disk of so many bytes that do not compress.
pub(crate) fn noise(seed: u64, bytes: u64) -> Vec<u8> {
    testkit::sample::random_bytes(seed, bytes as usize)
}

/// Nothing in the way of a restore.
pub(crate) fn alone() -> disks::restore::Surroundings {
    disks::restore::Surroundings { system: System::this(), repository: None, state: None }
}

/// A restore that leaves everything else to the program.
pub(crate) fn wish<'w>(
    disk: Option<&'w str>,
    target: &'w std::path::Path,
    how: disks::restore::Options,
) -> disks::restore::Wish<'w> {
    disks::restore::Wish { disk, target, how, fitting: disks::restore::Fitting::default() }
}
