//! Trees that restic wrote are written again by us, byte for byte.
//!
//! Otherwise `restic rewrite` refuses our snapshots, and the same directory gets two ids.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use backend::Id;
use repo::gojson;
use repo::tree::{Tree, TreeBuilder, TreeReader};
use rustix::fs::{AtFlags, FileType, Mode, Timespec, Timestamps, XattrFlags};
use stead_repo as repo;
use tempfile::TempDir;
use testkit::Peer;

/// A directory to be backed up and a repository of restic's beside it.
struct Shop {
    restic: Peer,
    room: TempDir,
}

impl Shop {
    /// `None`, reported as a skip, without restic. On tmpfs where there is one: it holds any time.
    fn open() -> Option<Shop> {
        let restic = Peer::find("restic")?;
        let room = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let shop = Shop { restic, room };
        std::fs::create_dir(shop.source()).unwrap();
        run(shop.command(&["init"]));
        Some(shop)
    }

    fn source(&self) -> PathBuf {
        self.room.path().join("source")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.restic.repository_command(&self.room.path().join("repository"));
        command.args(args).current_dir(self.source());
        command
    }

    fn back_up(&self, zone: &str) {
        let mut command = self.command(&["backup", "--quiet", "--with-atime", "."]);
        command.env("TZ", zone);
        run(command);
    }

    /// All trees in the repository.
    fn trees(&self) -> Vec<(Id, Vec<u8>)> {
        let listed = String::from_utf8(run(self.command(&["list", "blobs", "--quiet"]))).unwrap();
        let ids = listed.lines().filter_map(|line| line.strip_prefix("tree "));
        ids.map(|id| (id.parse().unwrap(), run(self.command(&["cat", "blob", id])))).collect()
    }

    /// Backs up, checks that every tree is written again as it is, and returns the nodes' names.
    fn compare(&self, zone: &str) -> Vec<Vec<u8>> {
        self.back_up(zone);
        let trees = self.trees();
        assert!(!trees.is_empty());
        trees.iter().flat_map(|(id, json)| rewrite(*id, json)).collect()
    }
}

fn run(mut command: Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Parses and writes a tree, node by node so that a difference is shown where it is; returns the names.
fn rewrite(id: Id, json: &[u8]) -> Vec<Vec<u8>> {
    assert_eq!(Id::of(json), id);
    let (mut builder, mut names) = (TreeBuilder::default(), Vec::new());
    for node in TreeReader::new(json).unwrap() {
        let node = node.unwrap();
        builder.push(&node).unwrap();
        let written = builder.size();
        let mut alone = Vec::new();
        node.encode(&mut alone).unwrap();
        let original = &json[written - alone.len()..written];
        assert_eq!(String::from_utf8_lossy(&alone), String::from_utf8_lossy(original));
        names.push(node.name);
    }
    assert!(builder.finish() == json, "tree {id} differs at its end");
    assert_eq!(Tree::parse(json).unwrap().nodes.len(), names.len());
    names
}

fn create(folder: &Path, name: &[u8]) -> bool {
    std::fs::write(folder.join(OsStr::from_bytes(name)), b"").is_ok()
}

#[test]
fn names_of_all_bytes_and_many_shapes() {
    let Some(shop) = Shop::open() else { return };
    for byte in (1..=255u8).filter(|byte| *byte != b'/') {
        for name in [&[b'x', byte, b'y'][..], &[b'z', byte], &[byte, b'\\'], &[0xe2, byte], &[0xe2, 0x80, byte]] {
            create(&shop.source(), name);
        }
    }
    for name in ["<>&'\"\\", "\u{2028}\u{2029}", "\u{fffd}", "\\x41", "\\u0041", "\u{feff}", " ", "-n", "a\u{300}"] {
        create(&shop.source(), name.as_bytes());
    }
    for name in [&b"\xed\xa0\x80"[..], b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xf0\x9f\x98", b"ok\xf0\x9f\x98\x80"] {
        create(&shop.source(), name);
    }
    let names = shop.compare("UTC");
    let on_disk =
        std::fs::read_dir(shop.source()).unwrap().map(|entry| entry.unwrap().file_name().into_encoded_bytes());
    let on_disk: BTreeSet<Vec<u8>> = on_disk.collect();
    assert!(on_disk.len() > 1250, "{}", on_disk.len());
    assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), on_disk);
}

#[test]
fn restic_escapes_the_characters_that_we_escape() {
    let Some(shop) = Shop::open() else { return };
    let (mut name, mut files) = (Vec::new(), 0);
    for character in ('\u{1}'..=char::MAX).filter(|character| *character != '/') {
        if name.len() > 220 {
            files += usize::from(create(&shop.source(), &name));
            name.clear();
        }
        if name.is_empty() {
            name.extend_from_slice(format!("{:06x} ", u32::from(character)).as_bytes());
        }
        name.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    files += usize::from(create(&shop.source(), &name));
    assert!(files > 19_000, "{files}");
    assert!(shop.compare("UTC").len() >= files);
}

#[test]
fn targets_attributes_and_kinds_of_every_sort() {
    let Some(shop) = Shop::open() else { return };
    let source = shop.source();
    let targets: [&[u8]; 6] = [
        b"plain",
        b"../<&>\"\\ '",
        b"\xff\xfe/\xe2\x82",
        b"\x01\x08\x0b\x0c\n\t\x1f\x7f",
        "\u{2028}é\u{fffd}".as_bytes(),
        b"\xed\xa0\x80",
    ];
    for (number, target) in targets.into_iter().enumerate() {
        symlink(OsStr::from_bytes(target), source.join(format!("link{number}"))).unwrap();
    }
    for (number, bits) in [0o000, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o6000].into_iter().enumerate() {
        let path = source.join(format!("mode{number}"));
        std::fs::write(&path, vec![number as u8; number]).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(bits)).unwrap();
    }
    std::fs::hard_link(source.join("mode1"), source.join("hard")).unwrap();
    std::fs::write(source.join("three chunks"), noise(20 << 20)).unwrap();
    std::fs::create_dir(source.join("empty")).unwrap();
    std::fs::set_permissions(source.join("empty"), PermissionsExt::from_mode(0o3770)).unwrap();
    let attributed = source.join("attributed");
    std::fs::write(&attributed, b"x").unwrap();
    for (name, value) in
        [("user.empty", &b""[..]), ("user.binary", b"\0\xff\n"), ("user.<&>\"é", b"text"), ("user.a", &[7; 300])]
    {
        if let Err(error) = rustix::fs::setxattr(&attributed, name, value, XattrFlags::empty()) {
            testkit::peer::skip(&format!("no extended attributes here: {error}"));
        }
    }
    special_files(&source);
    let names = shop.compare("UTC");
    assert!(names.iter().any(|name| name == b"fifo"));
}

/// Devices need root; without it they are left out.
fn special_files(source: &Path) {
    let mode = Mode::from_raw_mode(0o644);
    let make = |name: &str, kind, device| rustix::fs::mknodat(rustix::fs::CWD, source.join(name), kind, mode, device);
    make("fifo", FileType::Fifo, 0).unwrap();
    if !rustix::process::geteuid().is_root() {
        return testkit::peer::skip("devices need root");
    }
    // A container may forbid devices even to root.
    for (name, kind, device) in [
        ("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        ("disk", FileType::BlockDevice, rustix::fs::makedev(259, 70_000)),
        ("zero", FileType::CharacterDevice, 0),
    ] {
        if let Err(error) = make(name, kind, device) {
            testkit::peer::skip(&format!("no devices here: {error}"));
        }
    }
    for (number, owner) in [1, 65_534, 4_000_000_000].into_iter().enumerate() {
        let path = source.join(format!("owner{number}"));
        std::fs::write(&path, b"").unwrap();
        std::os::unix::fs::chown(&path, Some(owner), Some(owner)).unwrap();
    }
}

fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::RngCore::fill_bytes(&mut rand::rng(), &mut bytes);
    bytes
}

#[test]
fn times_of_all_years_in_zones_east_and_west() {
    let Some(shop) = Shop::open() else { return };
    // From year -12 to year 12000, leap days included; nanoseconds with and without zeros at their end.
    let seconds = [
        -62_542_454_400,
        -62_167_219_200,
        -62_162_121_600,
        -62_135_596_801,
        -11_644_473_600,
        -2_208_988_801,
        -1,
        0,
        1,
        951_782_400,
        1_700_000_000,
        2_147_483_648,
        15_032_385_535,
        253_402_300_799,
        253_402_300_800,
        253_407_484_800,
        316_516_377_600,
    ];
    for (number, seconds) in seconds.into_iter().enumerate() {
        for nanoseconds in [0, 1, 120_000_000, 999_999_999] {
            let path = shop.source().join(format!("{number}-{nanoseconds}"));
            std::fs::write(&path, b"").unwrap();
            let modified = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
            let accessed = Timespec { tv_sec: seconds / 2, tv_nsec: 5 };
            let times = Timestamps { last_access: accessed, last_modification: modified };
            rustix::fs::utimensat(rustix::fs::CWD, &path, &times, AtFlags::empty()).unwrap();
        }
    }
    // Local mean times before 1900 have offsets with seconds.
    for zone in ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Africa/Monrovia"] {
        assert!(shop.compare(zone).len() >= seconds.len() * 4, "{zone}");
    }
}

#[test]
fn what_restic_reads_back_is_what_we_quoted() {
    let Some(shop) = Shop::open() else { return };
    create(&shop.source(), b"a\xffb\x07\xe2\x80\x8b");
    let names = shop.compare("UTC");
    assert!(names.iter().any(|name| gojson::quote_name(name) == r"a\xffb\a\u200b"), "{names:?}");
}
