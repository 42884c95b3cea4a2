//! Sample data: directories with known or random content.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

/// Bytes that no compressor shrinks, the same for the same seed.
pub fn random_bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// A small office: folders with documents, a few large files, links; about `files` files.
pub fn office(root: &Path, seed: u64, files: usize) {
    let mut random = SmallRng::seed_from_u64(seed);
    for number in 0..files {
        let folder = root.join(format!("client-{}", number % 7)).join(format!("{}", 2020 + number % 5));
        fs::create_dir_all(&folder).expect("a folder");
        let length = match number % 40 {
            0 => random.random_range(1_000_000..3_000_000),
            1..5 => 0,
            _ => random.random_range(1..40_000),
        };
        let content = if number % 3 == 0 {
            random_bytes(seed ^ number as u64, length)
        } else {
            format!("Invoice {number}: paid with thanks.\n").into_bytes().into_iter().cycle().take(length).collect()
        };
        fs::write(folder.join(format!("letter {number}.txt")), content).expect("a file");
    }
    symlink("client-0", root.join("latest")).expect("a link");
}

/// Changes about one file in `every`: some grow, some vanish, some are new.
pub fn a_day_of_work(root: &Path, seed: u64, every: usize) {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut stack = vec![root.to_path_buf()];
    while let Some(folder) = stack.pop() {
        let mut entries: Vec<_> =
            fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry")).collect();
        entries.sort_by_key(|entry| entry.file_name());
        for entry in entries {
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() {
                stack.push(entry.path());
            } else if kind.is_file() && random.random_range(0..every) == 0 {
                change(&entry.path(), &mut random);
            }
        }
    }
}

fn change(path: &Path, random: &mut SmallRng) {
    match random.random_range(0..3) {
        0 => fs::remove_file(path).expect("a file"),
        1 => {
            let mut content = fs::read(path).expect("a file");
            content.extend_from_slice(&random_bytes(random.random(), 5000));
            fs::write(path, content).expect("a file");
        }
        _ => {
            let new = path.with_file_name(format!("new {:08x}", random.random::<u32>()));
            fs::write(new, random_bytes(random.random(), 20_000)).expect("a file");
        }
    }
}

/// Every awkward name, mode and link that the file system here can hold (xattrs, devices and owners only as root).
pub fn awkward(root: &Path) {
    let names: [&[u8]; 22] = [
        b"plain",
        b" leading and trailing ",
        b"new\nline",
        b"tab\t",
        b"quote\"",
        b"back\\slash",
        b"apos'trophe",
        b"<&>",
        b"\x01\x02\x7f",
        b"\xff\xfe invalid",
        b"\xc3\x28",
        "Umlaut äöü".as_bytes(),
        "e\u{301} combining".as_bytes(),
        "\u{a0}nbsp".as_bytes(),
        "\u{200b}zero".as_bytes(),
        "\u{feff}bom".as_bytes(),
        "\u{2028}line".as_bytes(),
        "\u{1f600}".as_bytes(),
        "\u{e000}private".as_bytes(),
        b"...",
        b"-rf",
        &[b'n'; 255],
    ];
    fs::create_dir_all(root.join("names")).expect("a folder");
    for name in names {
        fs::write(root.join("names").join(OsStr::from_bytes(name)), name).expect("a file");
    }
    for mode in [0o000, 0o400, 0o644, 0o755, 0o1755, 0o2755, 0o4755, 0o7777] {
        let path = root.join(format!("mode-{mode:04o}"));
        fs::write(&path, "mode").expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
    }
    links(root);
    sizes(root);
    special(root);
}

fn links(root: &Path) {
    symlink("plain", root.join("link")).expect("a link");
    symlink("/nowhere/at all", root.join("dangling")).expect("a link");
    symlink(OsStr::from_bytes(b"bytes \xff\xfe"), root.join("link to bytes")).expect("a link");
    fs::write(root.join("hard-a"), "one inode").expect("a file");
    fs::hard_link(root.join("hard-a"), root.join("hard-b")).expect("a hard link");
    let deep = root.join(vec!["deep"; 40].join("/"));
    fs::create_dir_all(&deep).expect("folders");
    fs::write(deep.join("bottom"), "bottom").expect("a file");
    fs::create_dir_all(root.join("empty folder")).expect("a folder");
}

fn sizes(root: &Path) {
    fs::write(root.join("empty"), "").expect("a file");
    for size in [1, 511, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 3_000_001] {
        fs::write(root.join(format!("size-{size}")), random_bytes(size as u64, size)).expect("a file");
    }
    fs::write(root.join("zeros"), vec![0; 2_000_000]).expect("a file");
    let sparse = fs::File::create(root.join("sparse")).expect("a file");
    sparse.set_len(20 << 20).expect("a length");
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"in the middle", 10 << 20).expect("a write");
}

/// Devices, pipes, owners, attributes: what only root can make.
fn special(root: &Path) {
    use rustix::fs::{CWD, FileType, Mode, XattrFlags, chownat, lsetxattr, makedev, mknodat};
    let mode = Mode::from_raw_mode(0o640);
    _ = mknodat(CWD, root.join("fifo"), FileType::Fifo, mode, 0);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    mknodat(CWD, root.join("char device"), FileType::CharacterDevice, mode, makedev(1, 3)).expect("a device");
    mknodat(CWD, root.join("block device"), FileType::BlockDevice, mode, makedev(7, 200)).expect("a device");
    fs::write(root.join("owned"), "by others").expect("a file");
    let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
    let (user, group) = (rustix::fs::Uid::from_raw(12345), rustix::fs::Gid::from_raw(54321));
    chownat(CWD, root.join("owned"), Some(user), Some(group), flags).expect("an owner");
    fs::write(root.join("attributes"), "with attributes").expect("a file");
    for (name, value) in [("user.plain", &b"text"[..]), ("user.empty", b""), ("user.bytes", b"\x00\xff\x01")] {
        lsetxattr(root.join("attributes"), name, value, XattrFlags::empty()).expect("an attribute");
    }
}
