//! Parsers of volumes and partition tables, fed with rubbish and with damaged copies of what mkfs makes: never a panic, never
//! anything free beyond the end, time and memory bounded.
//!
//! As ordinary tests they run for some seconds each; `cargo bolero test -p stead-disks <name>` runs one for as long as you like.

use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bolero::check;
use stead_disks::ReadAt;
use stead_disks::survey::Survey;
use stead_disks::used::{self, Taken};
use testkit::loop_device::succeeds;

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
