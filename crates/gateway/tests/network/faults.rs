//! Storage that is full or away, and a ledger that cannot be written: clear answers, and nothing told as stored that is not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use backend::{Backend, Class, Error, FileInfo, FileKind, FileName, Memory, Part, Result};
use stead_gateway::{Ledger, RepositoryName};

use crate::house::{House, Plan, name, noise, path};

/// A file system of a few megabytes, unmounted when dropped; `None` where one may not mount.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Option<SmallDisk> {
        std::fs::create_dir_all(at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at).status();
        if !mounted.is_ok_and(|status| status.success()) {
            testkit::peer::skip("needs to mount a tmpfs");
            return None;
        }
        Some(SmallDisk(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_said_and_what_was_stored_stays() {
    let room = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&room.path().join("disk"), "12m") else { return };
    let house = House::build(Plan { data: Some(disk.0.clone()), ..Plan::default() });
    let machine = house.machine("pc");
    let packs: Vec<Vec<u8>> = (0..8).map(|seed| noise(seed, 2 << 20)).collect();
    let answers: Vec<u16> = packs.iter().map(|pack| house.store(&machine, FileKind::Pack, pack).status).collect();
    assert_eq!(answers[0], 200);
    assert_eq!(answers[7], 507, "{answers:?}");
    for (pack, status) in packs.iter().zip(answers) {
        let stored = house.ask(&machine, "GET", &path(FileKind::Pack, pack), b"");
        match status {
            200 => assert!(stored.body == *pack),
            507 => assert_eq!(stored.status, 404),
            other => panic!("{other}"),
        }
    }
    let keeper = house.keeper();
    assert_eq!(house.ask(&keeper, "DELETE", &path(FileKind::Pack, &packs[0]), b"").status, 200);
    assert_eq!(house.store(&machine, FileKind::Pack, &packs[7]).status, 200, "there is room again");
}

#[test]
fn without_room_for_receipts_nothing_is_told_as_stored() {
    let room = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&room.path().join("disk"), "64k") else { return };
    let house = House::build(Plan { state: Some(disk.0.clone()), ..Plan::default() });
    let machine = house.machine("pc");
    let mut stored = Vec::new();
    let full = (0..2000_u64).find(|number| {
        let content = noise(*number, 100);
        let status = house.store(&machine, FileKind::Index, &content).status;
        stored.extend((status == 200).then_some(content));
        status != 200
    });
    let content = noise(full.expect("the disk is full at last"), 100);
    assert_eq!(house.store(&machine, FileKind::Index, &content).status, 507);
    assert!(!stored.is_empty());
    for content in &stored {
        let file = FileName::new(FileKind::Index, backend::Id::of(content));
        assert!(house.ledger.receipt(&name("pc"), &file).unwrap().is_some());
    }
    // With room again, the same file is received as if for the first time.
    let remounted = Command::new("mount").args(["-o", "remount,size=1m"]).arg(&disk.0).status().unwrap();
    assert!(remounted.success());
    assert_eq!(house.store(&machine, FileKind::Index, &content).status, 200);
    let file = FileName::new(FileKind::Index, backend::Id::of(&content));
    assert!(house.ledger.receipt(&name("pc"), &file).unwrap().is_some());
}

/// Storage that can be away.
struct Away {
    inner: Memory,
    is_away: AtomicBool,
}

impl Away {
    fn here(&self) -> Result<&Memory> {
        match self.is_away.load(SeqCst) {
            true => Err(Error::new(Class::Offline, "reach", "/a/secret/place", "no route to host")),
            false => Ok(&self.inner),
        }
    }
}

impl Backend for Away {
    fn location(&self) -> String {
        "away".into()
    }
    fn connections(&self) -> usize {
        4
    }
    fn create(&self) -> Result<()> {
        self.here()?.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        self.here()?.list(kind)
    }
    fn size(&self, file: &FileName) -> Result<u64> {
        self.here()?.size(file)
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        self.here()?.read(file, part, into)
    }
    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        self.here()?.write(file, content)
    }
    fn remove(&self, file: &FileName) -> Result<()> {
        self.here()?.remove(file)
    }
}

#[test]
fn storage_that_is_away_is_asked_for_again_later() {
    let storage = Arc::new(Away { inner: Memory::new(), is_away: AtomicBool::new(false) });
    let its = Arc::clone(&storage);
    let repositories = move |_: &RepositoryName| -> Result<Arc<dyn Backend>> { Ok(its.clone()) };
    let house = House::build(Plan { repositories: Some(Arc::new(repositories)), ..Plan::default() });
    let machine = house.machine("pc");
    house.store(&machine, FileKind::Snapshot, b"stored");
    storage.is_away.store(true, SeqCst);
    let target = path(FileKind::Snapshot, b"stored");
    for (method, below) in
        [("GET", &*target), ("HEAD", &target), ("GET", "snapshots/"), ("POST", &target), ("POST", "?create=true")]
    {
        let answer = house.ask(&machine, method, below, b"stored");
        assert_eq!(answer.status, 503, "{method} {below}");
        assert!(answer.header("retry-after").is_some(), "{}", answer.head);
        assert!(!answer.words().contains("secret"), "{}", answer.words());
    }
    storage.is_away.store(false, SeqCst);
    assert_eq!(house.ask(&machine, "GET", &target, b"").body, b"stored");
}

#[test]
fn a_damaged_access_file_lets_nobody_in_and_says_later() {
    let house = House::new();
    let machine = house.machine("pc");
    std::fs::write(house.room.path().join("access.json"), "{ not json").unwrap();
    assert_eq!(house.ask(&machine, "GET", "keys/", b"").status, 503);
}
