//! Parsers of volumes and partition tables, fed with rubbish and with damaged copies of what mkfs makes: never a panic, never
//! anything free beyond the end, time and memory bounded.
//!
//! As ordinary tests they run for some seconds each; `cargo bolero test -p stead-disks <name>` runs one for as long as you like.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bolero::check;
use stead_disks::ReadAt;
use stead_disks::files::{self, FilesError};
use stead_disks::survey::Survey;
use stead_disks::used::{self, Taken};
use testkit::loop_device::{LoopDevice, is_root_or_skip, succeeds};
use testkit::{Peer, sample};

const SHORT: Duration = Duration::from_secs(3);
const MIB: u64 = 1 << 20;

/// An image of which only the pages that are not zero are kept, with some bytes changed.
#[derive(Clone)]
struct Sparse {
    size: u64,
    pages: Arc<Vec<(u64, Vec<u8>)>>,
    changes: Vec<(u64, u8)>,
}

const PAGE: usize = 4096;

impl Sparse {
    fn of(image: &[u8]) -> Sparse {
        let pages = image.chunks(PAGE).enumerate().filter(|(_, page)| page.iter().any(|byte| *byte != 0));
        let pages = pages.map(|(number, page)| (number as u64, page.to_vec())).collect();
        Sparse { size: image.len() as u64, pages: Arc::new(pages), changes: Vec::new() }
    }

    /// Changes bytes of the records: the page and place are taken from those that are there.
    fn damaged(&self, edits: &[(u16, u16, u8)]) -> Sparse {
        let change = |(page, at, value): &(u16, u16, u8)| {
            // Most edits hit the first pages, where headers are.
            let count = if value % 3 == 0 { self.pages.len() } else { self.pages.len().min(4) };
            let (number, page) = &self.pages[usize::from(*page) % count];
            (number * PAGE as u64 + u64::from(*at) % page.len() as u64, *value)
        };
        Sparse { changes: edits.iter().take(64).map(change).collect(), ..self.clone() }
    }
}

impl ReadAt for Sparse {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        let end = offset.checked_add(into.len() as u64).filter(|end| *end <= self.size);
        let Some(end) = end else { return Err(std::io::ErrorKind::UnexpectedEof.into()) };
        into.fill(0);
        let first = self.pages.partition_point(|(number, page)| number * PAGE as u64 + page.len() as u64 <= offset);
        for (number, page) in self.pages[first..].iter().take_while(|(number, _)| number * (PAGE as u64) < end) {
            let start = number * PAGE as u64;
            let (from, to) = (offset.max(start), end.min(start + page.len() as u64));
            let part = &page[(from - start) as usize..(to - start) as usize];
            into[(from - offset) as usize..(to - offset) as usize].copy_from_slice(part);
        }
        for (at, value) in self.changes.iter().filter(|(at, _)| (offset..end).contains(at)) {
            into[(at - offset) as usize] = *value;
        }
        Ok(())
    }
}

/// What must hold whatever the bytes are.
fn examine(volume: &dyn ReadAt) {
    for taken in [Taken::AsFound, Taken::Frozen] {
        let usage = used::examine(volume, taken);
        assert!(usage.free.end() <= volume.size());
        assert!(usage.free.is_empty() || usage.size <= volume.size());
        let _ = (usage.bytes_used(), usage.last_used(), usage.used(volume.size()));
    }
}

fn survey(disk: &dyn ReadAt) {
    for sector in [512, 4096] {
        let survey = Survey::of(disk, sector, Taken::AsFound).unwrap();
        assert!(survey.free().end() <= disk.size() && survey.table.fixed.end() <= disk.size());
        assert!(survey.table.partitions.iter().all(|partition| partition.range().end <= disk.size()));
        for size in [disk.size(), disk.size() / 2, disk.size() * 2] {
            for number in survey.table.partitions.iter().map(|partition| partition.number).take(3) {
                let _ = survey.table.most(number, size);
                let _ = survey.table.lay_out(size, &[(number, size / 3)].into());
            }
            let _ = survey.table.lay_out(size, &Default::default());
        }
    }
}

fn made(size: u64, words: &str) -> Sparse {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(size).unwrap();
    let words: Vec<&str> = words.split(' ').chain([image.to_str().unwrap()]).collect();
    succeeds(words[0], &words[1..]);
    Sparse::of(&std::fs::read(&image).unwrap())
}

/// Runs on damaged copies of what a command makes.
fn fuzz(size: u64, words: &str, run: fn(&dyn ReadAt)) {
    let good = Mutex::new(made(size, words));
    run(&*good.lock().unwrap());
    check!().with_test_time(SHORT).with_type::<Vec<(u16, u16, u8)>>().for_each(|edits| {
        let damaged = good.lock().unwrap().damaged(edits);
        run(&damaged);
    });
}

/// Reads files out of a volume: whatever the bytes are, it ends, and hands over no more than it says.
fn read_files(volume: &Sparse) {
    let Ok(filesystem) = files::open_volume(Arc::new(volume.clone())) else { return };
    let Ok(root) = filesystem.root() else { return };
    let (mut entries, mut bytes) = (0, 0);
    let walked = files::walk(&*filesystem, &root, &mut |path, found| {
        entries += 1;
        if entries > 2000 {
            return Err(FilesError::Stopped);
        }
        let Ok(entry) = found else { return Ok(()) };
        assert!(!path.is_empty() && !entry.name.is_empty());
        let mut own = 0;
        let read = filesystem.read(entry, &mut |piece| {
            (own, bytes) = (own + piece.len() as u64, bytes + piece.len());
            if bytes > 64 << 20 { Err(FilesError::Stopped) } else { Ok(()) }
        });
        assert!(read.is_err() || own == entry.size, "{own} bytes of {}", entry.size);
        _ = filesystem.link(entry);
        Ok(())
    });
    _ = (walked, files::find(&*filesystem, b"folder/inner/large"));
}

/// Damages a volume with files in it. Edits go everywhere, and in pairs to the same page, so that one may undo a checksum.
fn fuzz_files(image: &[u8]) {
    let good = Mutex::new(Sparse::of(image));
    read_files(&good.lock().unwrap());
    check!().with_test_time(SHORT).with_type::<Vec<(u16, u16, u8)>>().for_each(|edits| {
        let damaged = good.lock().unwrap().damaged(edits);
        read_files(&damaged);
    });
}

/// A folder with some files and folders.
fn folder() -> tempfile::TempDir {
    let room = tempfile::tempdir().unwrap();
    let inner = room.path().join("folder/inner");
    std::fs::create_dir_all(&inner).unwrap();
    std::fs::write(inner.join("large"), sample::random_bytes(1, 300_000)).unwrap();
    std::os::unix::fs::symlink("large", inner.join("link")).unwrap();
    (0..40).for_each(|number| std::fs::write(inner.join(format!("a name of some length {number}")), "x").unwrap());
    room
}

fn made_with(size: u64, words: &str, fill: impl FnOnce(&str)) -> Vec<u8> {
    let room = tempfile::tempdir().unwrap();
    let image = room.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(size).unwrap();
    let name = image.to_str().unwrap();
    let words: Vec<&str> = words.split(' ').chain([name]).collect();
    succeeds(words[0], &words[1..]);
    fill(name);
    std::fs::read(&image).unwrap()
}

#[test]
fn files_of_ext() {
    let folder = folder();
    for features in ["metadata_csum", "^metadata_csum", "^metadata_csum,^extents,^64bit,^has_journal"] {
        let words = format!("mkfs.ext4 -q -F -b1024 -N 256 -O {features} -d {}", folder.path().display());
        fuzz_files(&made_with(20 * MIB, &words, |_| {}));
    }
}

#[test]
fn files_of_ntfs() {
    let folder = folder();
    let image = made_with(20 * MIB, "mkntfs -F -Q -q", |image| {
        for (number, file) in ["large", "a name of some length 1", "a name of some length 2"].iter().enumerate() {
            let from = folder.path().join("folder/inner").join(file);
            succeeds("ntfscp", &[image, from.to_str().unwrap(), &format!("file {number}")]);
        }
    });
    fuzz_files(&image);
}

#[test]
fn files_of_fat() {
    if Peer::find("mcopy").is_none() {
        return;
    }
    let folder = folder();
    for words in ["mkfs.fat -F12", "mkfs.fat -F16", "mkfs.fat -F32 -s1"] {
        let size = if words.contains("12") { 2 } else { 40 };
        let image = made_with(size * MIB, words, |image| {
            let from = folder.path().join("folder");
            std::fs::remove_file(from.join("inner/link")).unwrap_or_default();
            succeeds("mcopy", &["-s", "-Q", "-i", image, from.to_str().unwrap(), "::"]);
        });
        fuzz_files(&image);
    }
}

#[test]
fn files_of_exfat() {
    if !is_root_or_skip() || Peer::find("mount.exfat-fuse").is_none() {
        return;
    }
    let folder = folder();
    std::fs::remove_file(folder.path().join("folder/inner/link")).unwrap();
    let image = made_with(20 * MIB, "mkfs.exfat", |image| {
        let mounted = folder.path().join("mounted");
        std::fs::create_dir(&mounted).unwrap();
        let place = mounted.to_str().unwrap();
        let device = LoopDevice::attach(std::path::Path::new(image));
        succeeds("mount.exfat-fuse", &[device.name(), place]);
        succeeds("cp", &["-r", folder.path().join("folder").to_str().unwrap(), place]);
        succeeds("umount", &[place]);
        while Command::new("fuser").arg(device.path()).output().is_ok_and(|output| output.status.success()) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    fuzz_files(&image);
}

/// Puts the right checksums under what was changed of LVM's metadata, so that the parser behind them is reached.
fn resealed(damaged: &Sparse) -> Sparse {
    const HEADER: u64 = 4096;
    let crc = |bytes: &[u8]| {
        let mut hasher = crc32fast::Hasher::new_with_initial(!0xf597_a6cf);
        hasher.update(bytes);
        !hasher.finalize()
    };
    let mut sealed = damaged.clone();
    let mut header = [0; 512];
    sealed.read_at(HEADER, &mut header).unwrap();
    let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
    let (offset, size) = (number(40), number(48));
    let mut text = vec![0; size.min(1 << 20) as usize];
    if offset < MIB && sealed.read_at(HEADER + offset, &mut text).is_ok() {
        header[56..60].copy_from_slice(&crc(&text).to_le_bytes());
    }
    let sum = crc(&header[4..]);
    header[..4].copy_from_slice(&sum.to_le_bytes());
    let mut label = [0; 512];
    sealed.read_at(512, &mut label).unwrap();
    let label_sum = crc(&label[20..]).to_le_bytes();
    for (at, bytes) in [(HEADER, &header[..4]), (HEADER + 56, &header[56..60]), (512 + 16, &label_sum[..])] {
        sealed.changes.extend((at..).zip(bytes.iter().copied()));
    }
    sealed
}

#[test]
fn lvm() {
    if !is_root_or_skip() {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let image = room.path().join("image");
    let name = format!("fuzz{}", std::process::id());
    {
        let device = LoopDevice::create(&image, 40 * MIB);
        succeeds("vgcreate", &["--yes", &name, device.name()]);
        let (backup, volumes) = (room.path().join("backup"), include_str!("used_maps/volumes.txt"));
        let file = backup.to_str().unwrap();
        succeeds("vgcfgbackup", &["-f", file, &name]);
        let text = std::fs::read_to_string(&backup).unwrap();
        let end = text.rfind("\n}").unwrap();
        std::fs::write(&backup, format!("{}{volumes}{}", &text[..end], &text[end..])).unwrap();
        succeeds("vgcfgrestore", &["-f", file, &name]);
    }
    let good = Sparse::of(&std::fs::read(&image).unwrap());
    let usage = used::examine(&good, Taken::AsFound);
    assert!(matches!(&usage.inside, Some(used::Inside::Lvm(lvm)) if lvm.volumes.len() == 1), "{:?}", usage.warnings);
    assert_eq!(used::examine(&resealed(&good), Taken::AsFound), usage, "the same checksums");
    let good = Mutex::new(good);
    check!().with_test_time(SHORT).with_type::<Vec<(u16, u16, u8)>>().for_each(|edits| {
        let damaged = good.lock().unwrap().damaged(edits);
        examine(&damaged);
        examine(&resealed(&damaged));
    });
}

#[test]
fn luks() {
    if Peer::find("cryptsetup").is_none() {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let key = room.path().join("key");
    std::fs::write(&key, "secret").unwrap();
    for version in ["luks1", "luks2"] {
        let image = room.path().join(version);
        std::fs::File::create(&image).unwrap().set_len(40 * MIB).unwrap();
        let words = ["-q", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--type", version, "luksFormat"];
        let files = [image.to_str().unwrap(), key.to_str().unwrap()];
        succeeds("cryptsetup", &[&words[..], &files].concat());
        let good = Mutex::new(Sparse::of(&std::fs::read(&image).unwrap()));
        assert!(used::examine(&*good.lock().unwrap(), Taken::AsFound).inside.is_some());
        check!().with_test_time(SHORT).with_type::<Vec<(u16, u16, u8)>>().for_each(|edits| {
            let damaged = good.lock().unwrap().damaged(edits);
            examine(&damaged);
        });
    }
}

#[test]
fn ext() {
    fuzz(20 * MIB, "mkfs.ext4 -q -F -b1024", examine);
}

#[test]
fn ext_without_checksums() {
    fuzz(20 * MIB, "mkfs.ext4 -q -F -b1024 -O ^metadata_csum,^uninit_bg,^has_journal", examine);
}

#[test]
fn xfs() {
    fuzz(310 * MIB, "mkfs.xfs -q -f", examine);
}

#[test]
fn xfs_without_checksums() {
    fuzz(310 * MIB, "mkfs.xfs -q -f -m crc=0", examine);
}

#[test]
fn btrfs() {
    fuzz(120 * MIB, "mkfs.btrfs -q -f", examine);
}

#[test]
fn btrfs_with_checksums_that_are_not_verified() {
    fuzz(120 * MIB, "mkfs.btrfs -q -f --csum xxhash", examine);
}

#[test]
fn ntfs() {
    fuzz(20 * MIB, "mkfs.ntfs -F -Q -q", examine);
}

#[test]
fn fat12() {
    fuzz(MIB, "mkfs.fat -F12", examine);
}

#[test]
fn fat16() {
    fuzz(20 * MIB, "mkfs.fat -F16", examine);
}

#[test]
fn fat32() {
    fuzz(40 * MIB, "mkfs.fat -F32 -s1", examine);
}

#[test]
fn exfat() {
    fuzz(20 * MIB, "mkfs.exfat", examine);
}

#[test]
fn swap() {
    fuzz(MIB, "mkswap", examine);
}

#[test]
fn gpt() {
    fuzz(20 * MIB, "sgdisk --new=1:2048:+4M --new=2:0:+4M", survey);
}

#[test]
fn hybrid_gpt() {
    fuzz(20 * MIB, "sgdisk --new=1:2048:+4M --new=2:0:+4M --hybrid=1", survey);
}

#[test]
fn rubbish() {
    check!().with_test_time(SHORT).for_each(|bytes: &[u8]| {
        examine(&bytes.to_vec());
        survey(&bytes.to_vec());
    });
}

#[test]
fn mbr() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    std::fs::File::create(&image).unwrap().set_len(40 * MIB).unwrap();
    let script = "printf 'label: dos\\nsize=4M\\nsize=20M,type=5\\nsize=2M\\nsize=2M\\nsize=2M\\n' | sfdisk -q \"$0\"";
    assert!(Command::new("sh").args(["-c", script]).arg(&image).status().unwrap().success());
    let good = Mutex::new(Sparse::of(&std::fs::read(&image).unwrap()));
    check!().with_test_time(SHORT).with_type::<Vec<(u16, u16, u8)>>().for_each(|edits| {
        let damaged = good.lock().unwrap().damaged(edits);
        survey(&damaged);
    });
}
