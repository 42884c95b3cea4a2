//! Files read out of filesystems that the real tools made, beside what those tools read.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use platform::FileType;
use stead_disks::SizedFile;
use stead_disks::files::{self, Entry, Filesystem};
use tempfile::TempDir;
use testkit::loop_device::{LoopDevice, is_root_or_skip, succeeds};
use testkit::{Peer, sample};

const MIB: u64 = 1 << 20;

fn opened(image: &Path) -> Box<dyn Filesystem> {
    let file = SizedFile::new(fs::File::open(image).unwrap()).unwrap();
    files::open_volume(Arc::new(file)).unwrap()
}

fn content(filesystem: &dyn Filesystem, path: &str) -> Vec<u8> {
    let entry = files::find(filesystem, path.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut all = Vec::new();
    let read = filesystem.read(&entry, &mut |piece| {
        all.extend_from_slice(piece);
        Ok(())
    });
    read.unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(all.len() as u64, entry.size, "{path}");
    all
}

/// Everything below the root: path, kind, size, mode, seconds of the modification; a link's target.
fn listing(filesystem: &dyn Filesystem) -> Vec<(Vec<u8>, FileType, u64)> {
    let mut all = Vec::new();
    let root = filesystem.root().unwrap();
    let walked = files::walk(filesystem, &root, &mut |path, found| {
        let entry = found.unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(path)));
        assert_eq!(entry.trouble, None, "{}", String::from_utf8_lossy(path));
        all.push((path.to_vec(), entry.file_type, entry.size));
        Ok(())
    });
    walked.unwrap();
    all
}

/// The same of a directory of this machine.
fn pictured(folder: &Path) -> Vec<(Vec<u8>, FileType, u64)> {
    fn below(folder: &Path, path: &Path, all: &mut Vec<(Vec<u8>, FileType, u64)>) {
        let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort_by(|a, b| a.file_name().unwrap().as_bytes().cmp(b.file_name().unwrap().as_bytes()));
        for entry in entries {
            let path = path.join(entry.file_name().unwrap());
            let metadata = fs::symlink_metadata(&entry).unwrap();
            let kind = match metadata.file_type() {
                kind if kind.is_dir() => FileType::Directory,
                kind if kind.is_symlink() => FileType::Symlink,
                _ => FileType::Regular,
            };
            let size = if kind == FileType::Regular { metadata.len() } else { 0 };
            all.push((path.as_os_str().as_bytes().to_vec(), kind, size));
            if kind == FileType::Directory {
                below(&entry, &path, all);
            }
        }
    }
    let mut all = Vec::new();
    below(folder, Path::new(""), &mut all);
    all
}

fn made(room: &TempDir, size: u64, words: &[&str]) -> PathBuf {
    let image = room.path().join("image");
    fs::File::create(&image).unwrap().set_len(size).unwrap();
    let words: Vec<&str> = words.iter().copied().chain([image.to_str().unwrap()]).collect();
    succeeds(words[0], &words[1..]);
    image
}

/// Files of many kinds and sizes.
fn furnish(folder: &Path) {
    sample::office(folder, 3, 40);
    // A link, which not every filesystem can have.
    fs::remove_file(folder.join("latest")).unwrap();
    fs::write(folder.join("empty"), "").unwrap();
    fs::write(folder.join("tiny"), "tiny\n").unwrap();
    fs::write(folder.join("large"), sample::random_bytes(4, 5 * MIB as usize + 77)).unwrap();
    fs::create_dir(folder.join("many")).unwrap();
    for number in 0..250 {
        fs::write(folder.join(format!("many/a file with a long name and the number {number}")), number.to_string())
            .unwrap();
    }
}

fn furnish_unix(folder: &Path) {
    furnish(folder);
    symlink("tiny", folder.join("link")).unwrap();
    symlink("a/".repeat(90) + "far", folder.join("long link")).unwrap();
    fs::write(folder.join(std::ffi::OsStr::from_bytes(b"bytes \xff\xfe\x01 of any kind\n")), "odd").unwrap();
    let mut deep = folder.to_owned();
    for level in 0..60 {
        deep.push(format!("level {level}"));
    }
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "deep").unwrap();
    fs::set_permissions(folder.join("tiny"), fs::Permissions::from_mode(0o4751)).unwrap();
}

fn same_tree(filesystem: &dyn Filesystem, folder: &Path) {
    let ours: Vec<_> = listing(filesystem).into_iter().filter(|(path, ..)| !path.starts_with(b"lost+found")).collect();
    let theirs = pictured(folder);
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "{} {}", String::from_utf8_lossy(&ours.0), String::from_utf8_lossy(&theirs.0));
        if theirs.1 == FileType::Regular {
            let path = std::ffi::OsStr::from_bytes(&theirs.0);
            let entry = files::find(filesystem, &theirs.0).unwrap();
            let mut all = Vec::new();
            let read = filesystem.read(&entry, &mut |piece| {
                all.extend_from_slice(piece);
                Ok(())
            });
            read.unwrap();
            assert!(all == fs::read(folder.join(path)).unwrap(), "{}", path.display());
        }
    }
}

fn ext(kind: &str, words: &[&str]) {
    let room = TempDir::new().unwrap();
    let folder = room.path().join("folder");
    fs::create_dir(&folder).unwrap();
    furnish_unix(&folder);
    let mkfs = format!("mkfs.{kind}");
    let given = ["-q", "-F", "-d", folder.to_str().unwrap()];
    let image = made(&room, 96 * MIB, &[&[&mkfs[..]], words, &given].concat());
    let filesystem = opened(&image);
    same_tree(&*filesystem, &folder);
    let entry = |path: &str| files::find(&*filesystem, path.as_bytes()).unwrap();
    let (tiny, theirs) = (entry("tiny"), fs::metadata(folder.join("tiny")).unwrap());
    assert_eq!((tiny.mode, tiny.owner), (0o4751, Some((theirs.uid(), theirs.gid()))));
    assert_eq!(tiny.modified.seconds, theirs.mtime());
    assert_eq!(filesystem.link(&entry("/link")).unwrap(), b"tiny");
    assert_eq!(filesystem.link(&entry("long link")).unwrap().len(), 183);
    assert!(files::find(&*filesystem, b"nothing").is_err() && files::find(&*filesystem, b"tiny/below").is_err());
    // The oracle: what e2fsprogs reads.
    let dumped = room.path().join("dumped");
    succeeds("debugfs", &["-R", &format!("dump large {}", dumped.display()), image.to_str().unwrap()]);
    assert!(content(&*filesystem, "large") == fs::read(&dumped).unwrap());
}

#[test]
fn ext4_as_it_is_made() {
    ext("ext4", &[]);
}

#[test]
fn ext4_of_small_blocks_and_inodes() {
    ext("ext4", &["-b1024", "-I128", "-O", "^metadata_csum"]);
}

#[test]
fn ext4_without_checksums_and_extents() {
    ext("ext4", &["-O", "^metadata_csum,^extents,^64bit"]);
}

#[test]
fn ext3() {
    ext("ext3", &[]);
}

#[test]
fn ext2() {
    ext("ext2", &[]);
}

#[test]
fn a_file_longer_than_four_gib_with_holes() {
    let room = TempDir::new().unwrap();
    let folder = room.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let end = b"the very end";
    let file = fs::File::create(folder.join("disk")).unwrap();
    let size = 4 * 1024 * MIB + 12;
    std::os::unix::fs::FileExt::write_all_at(&file, end, size - 12).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 1024 * MIB + 3).unwrap();
    let image = made(&room, 64 * MIB, &["mkfs.ext4", "-q", "-F", "-d", folder.to_str().unwrap()]);
    let filesystem = opened(&image);
    let entry = files::find(&*filesystem, b"disk").unwrap();
    let (mut at, mut found, zeros) = (0, Vec::new(), vec![0; MIB as usize]);
    let read = filesystem.read(&entry, &mut |piece| {
        if piece != &zeros[..piece.len()] {
            let bytes = piece.iter().enumerate().filter(|(_, byte)| **byte != 0);
            found.extend(bytes.map(|(place, byte)| (at + place as u64, *byte)));
        }
        at += piece.len() as u64;
        Ok(())
    });
    read.unwrap();
    let expected = |start: u64, text: &[u8]| (start..).zip(text.to_vec()).collect::<Vec<_>>();
    assert_eq!((at, entry.size), (size, size));
    assert_eq!(found, [expected(1024 * MIB + 3, b"middle"), expected(size - 12, end)].concat());
}

#[test]
fn ext4_that_waits_for_its_journal_is_read_as_after_it() {
    if !is_root_or_skip() {
        return;
    }
    let room = TempDir::new().unwrap();
    let image = made(&room, 64 * MIB, &["mkfs.ext4", "-q", "-F"]);
    let folder = room.path().join("mounted");
    fs::create_dir(&folder).unwrap();
    succeeds("mount", &["-o", "loop", image.to_str().unwrap(), folder.to_str().unwrap()]);
    for number in 0..50 {
        let file = fs::File::create(folder.join(format!("file {number}"))).unwrap();
        std::io::Write::write_all(&mut &file, &sample::random_bytes(number, 20_000)).unwrap();
        file.sync_all().unwrap();
    }
    // What a power cut would leave: the journal is not empty.
    let copy = room.path().join("copy");
    fs::copy(&image, &copy).unwrap();
    succeeds("umount", &[folder.to_str().unwrap()]);
    assert!(succeeds("dumpe2fs", &["-h", copy.to_str().unwrap()]).contains("needs_recovery"));
    let filesystem = opened(&copy);
    for number in 0..50 {
        assert!(content(&*filesystem, &format!("file {number}")) == sample::random_bytes(number, 20_000));
    }
}

/// Copies files onto an NTFS by FUSE, so that it is used as Linux uses it.
fn ntfs(size: u64, words: &[&str], options: &str, fill: impl Fn(&Path)) -> Option<(TempDir, PathBuf)> {
    if !is_root_or_skip() {
        return None;
    }
    Peer::find("ntfs-3g")?;
    let room = TempDir::new().unwrap();
    let image = made(&room, size, &[&["mkntfs", "-F", "-Q", "-q"], words].concat());
    let folder = room.path().join("mounted");
    fs::create_dir(&folder).unwrap();
    succeeds("ntfs-3g", &["-o", options, image.to_str().unwrap(), folder.to_str().unwrap()]);
    fill(&folder);
    let mut unmount = Command::new("umount");
    assert!(unmount.arg(&folder).status().unwrap().success());
    // It writes on after it is unmounted.
    wait_for_end(&image);
    Some((room, image))
}

/// Until nobody has the file open any more.
fn wait_for_end(image: &Path) {
    let is_open = || Command::new("fuser").arg(image).output().is_ok_and(|output| output.status.success());
    while is_open() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn by_ntfscat(image: &Path, path: &str) -> Vec<u8> {
    let output = Command::new("ntfscat").arg(image).arg(path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[test]
fn ntfs_that_ntfs_3g_filled() {
    let reference = TempDir::new().unwrap();
    furnish(reference.path());
    fs::write(reference.path().join("Größe 😀"), "unicode").unwrap();
    symlink("tiny", reference.path().join("link")).unwrap();
    let from = reference.path().join(".");
    let fill = |folder: &Path| drop(succeeds("cp", &["-r", "-d", from.to_str().unwrap(), folder.to_str().unwrap()]));
    let Some((_room, image)) = ntfs(96 * MIB, &[], "compression", fill) else { return };
    let filesystem = opened(&image);
    same_tree(&*filesystem, reference.path());
    let entry = |path: &str| files::find(&*filesystem, path.as_bytes()).unwrap();
    assert_eq!(filesystem.link(&entry("link")).unwrap(), b"tiny");
    assert_eq!(entry("LARGE").size, 5 * MIB + 77, "Windows does not mind the case");
    assert!(content(&*filesystem, "large") == by_ntfscat(&image, "large"));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    assert!((now - 300..=now).contains(&entry("large").modified.seconds));
}

#[test]
fn ntfs_with_compressed_and_sparse_and_fragmented_files() {
    let text: Vec<u8> = (0..400_000).flat_map(|number: u32| format!("line {number}\n").into_bytes()).collect();
    let mixed = [&text[..200_000], &sample::random_bytes(8, 300_000), &[0; 200_000], &text[..70_001]].concat();
    let fill = |folder: &Path| {
        let packed = folder.join("packed");
        fs::create_dir(&packed).unwrap();
        // The attribute that makes what is made in the directory compressed.
        succeeds("setfattr", &["-n", "system.ntfs_attrib_be", "-v", "0x00000800", packed.to_str().unwrap()]);
        fs::write(packed.join("text"), &text).unwrap();
        fs::write(packed.join("mixed"), &mixed).unwrap();
        fs::write(packed.join("noise"), sample::random_bytes(8, 200_000)).unwrap();
        let sparse = fs::File::create(folder.join("sparse")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, b"far", 40 * MIB).unwrap();
        // Two files in turn, so that each is in very many pieces.
        let (one, two) = (fs::File::create(folder.join("one")).unwrap(), fs::File::create(folder.join("two")).unwrap());
        for piece in 0..1500_u64 {
            for (file, seed) in [(&one, 1), (&two, 2)] {
                let bytes = sample::random_bytes(piece * 10 + seed, 4096);
                std::os::unix::fs::FileExt::write_all_at(file, &bytes, piece * 4096 * 3).unwrap();
                file.sync_all().unwrap();
            }
        }
    };
    let Some((_room, image)) = ntfs(96 * MIB, &[], "compression", fill) else { return };
    let filesystem = opened(&image);
    assert!(content(&*filesystem, "packed/text") == text);
    assert!(content(&*filesystem, "packed/mixed") == mixed);
    for path in ["packed/text", "packed/mixed", "packed/noise", "sparse", "one", "two"] {
        assert!(content(&*filesystem, path) == by_ntfscat(&image, path), "{path}");
    }
    let information = succeeds("ntfsinfo", &["-F", "packed/text", image.to_str().unwrap()]);
    assert!(information.contains("COMPRESSED"), "it was not compressed: {information}");
    let information = succeeds("ntfsinfo", &["-F", "one", image.to_str().unwrap()]);
    assert!(information.contains("ATTRIBUTE_LIST"), "it is in too few pieces: {information}");
}

#[test]
fn ntfs_of_large_clusters_and_by_ntfscp() {
    let room = TempDir::new().unwrap();
    let image = made(&room, 64 * MIB, &["mkntfs", "-F", "-Q", "-q", "-c", "65536"]);
    let file = room.path().join("file");
    fs::write(&file, sample::random_bytes(1, 3 * MIB as usize + 5)).unwrap();
    succeeds("ntfscp", &[image.to_str().unwrap(), file.to_str().unwrap(), "copied"]);
    let filesystem = opened(&image);
    assert!(content(&*filesystem, "copied") == fs::read(&file).unwrap());
    assert_eq!(listing(&*filesystem).len(), 1);
}

/// Found by the fuzzer: this went on for as long as the size said.
#[test]
fn an_index_of_ntfs_that_claims_to_be_endless_is_read_as_far_as_it_goes() {
    let room = TempDir::new().unwrap();
    let image = made(&room, 32 * MIB, &["mkntfs", "-F", "-Q", "-q"]);
    let file = room.path().join("file");
    fs::write(&file, "content").unwrap();
    succeeds("ntfscp", &[image.to_str().unwrap(), file.to_str().unwrap(), "copied"]);
    let mut bytes = fs::read(&image).unwrap();
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    // The root is the sixth file record; its index allocation has a name, and its size 48 bytes into it.
    let root = (number(48) * 4096) as usize + 5 * 1024;
    let attribute =
        (root..root + 1024).step_by(8).find(|at| bytes[*at..*at + 4] == [0xa0, 0, 0, 0] && bytes[*at + 8] == 1);
    let attribute = attribute.expect("an index allocation");
    bytes[attribute + 48..attribute + 56].copy_from_slice(&(1_u64 << 60).to_le_bytes());
    fs::write(&image, &bytes).unwrap();
    let filesystem = opened(&image);
    let names = files::list(&*filesystem, &filesystem.root().unwrap());
    assert!(names.is_err() || names.unwrap().iter().any(|entry| entry.name == b"copied"));
}

fn fat(size: u64, words: &[&str]) {
    if Peer::find("mcopy").is_none() {
        return;
    }
    let room = TempDir::new().unwrap();
    let folder = room.path().join("folder");
    fs::create_dir(&folder).unwrap();
    match size < 10 * MIB {
        true => fs::write(folder.join("tiny"), "tiny\n").unwrap(),
        false => furnish(&folder),
    }
    fs::create_dir(folder.join("SHORT")).unwrap();
    fs::write(folder.join("SHORT/NAME.TXT"), "short").unwrap();
    fs::write(folder.join("SHORT/lower.txt"), "lower").unwrap();
    fs::write(folder.join("SHORT/Ümläute und mehr als dreizehn Zeichen.text"), "long").unwrap();
    let image = made(&room, size, &[&["mkfs.fat"], words].concat());
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let mut mcopy = Command::new("mcopy");
        mcopy.args(["-s", "-m", "-Q", "-i"]).arg(&image).arg(&path).arg("::").env("LC_ALL", "C.UTF-8");
        let output = mcopy.env("MTOOLS_SKIP_CHECK", "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let filesystem = opened(&image);
    same_tree(&*filesystem, &folder);
    assert!(content(&*filesystem, "short/Name.txt") == b"short");
    let mut mcopy = Command::new("mcopy");
    let output = mcopy.arg("-i").arg(&image).args(["::tiny", "-"]).output().unwrap();
    assert!(output.stdout == content(&*filesystem, "tiny"));
    let (ours, theirs) = (files::find(&*filesystem, b"tiny").unwrap(), fs::metadata(folder.join("tiny")).unwrap());
    assert!((ours.modified.seconds - theirs.mtime()).abs() <= 2 || std::env::var_os("TZ").is_some());
}

#[test]
fn fat12() {
    fat(2 * MIB, &["-F12"]);
}

#[test]
fn fat16() {
    fat(96 * MIB, &["-F16"]);
}

#[test]
fn fat32() {
    fat(96 * MIB, &["-F32", "-s1"]);
}

#[test]
fn exfat() {
    if !is_root_or_skip() || Peer::find("mount.exfat-fuse").is_none() {
        return;
    }
    let (room, reference) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    furnish(reference.path());
    fs::write(reference.path().join("Größe 😀 und ein sehr langer Name, der viele Einträge braucht"), "unicode")
        .unwrap();
    let image = made(&room, 96 * MIB, &["mkfs.exfat"]);
    let folder = room.path().join("mounted");
    fs::create_dir(&folder).unwrap();
    let device = LoopDevice::attach(&image);
    succeeds("mount.exfat-fuse", &[device.name(), folder.to_str().unwrap()]);
    succeeds("cp", &["-r", reference.path().join(".").to_str().unwrap(), folder.to_str().unwrap()]);
    succeeds("umount", &[folder.to_str().unwrap()]);
    wait_for_end(device.path());
    drop(device);
    let filesystem = opened(&image);
    same_tree(&*filesystem, reference.path());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
    let entry: Entry = files::find(&*filesystem, b"tiny").unwrap();
    assert!((now - 86_400..=now + 86_400).contains(&entry.modified.seconds));
}
