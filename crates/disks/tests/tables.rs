//! Partition tables against sfdisk and sgdisk: what they say, damage, and what is written for disks of other sizes.

#![expect(clippy::print_stdout, reason = "a failed test shows which variant it was at")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use stead_disks::survey::Survey;
use stead_disks::table::{Layout, LayoutError, Scheme, Table};
use stead_disks::used::{Kind, Taken};
use stead_disks::{Extents, ReadAt, SizedFile};
use testkit::loop_device::{LoopDevice, is_root_or_skip, succeeds};

const MIB: u64 = 1 << 20;

struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(size: u64) -> Disk {
        let disk = Disk { folder: tempfile::tempdir().unwrap() };
        File::create(disk.path()).unwrap().set_len(size).unwrap();
        disk
    }

    /// Partitioned by a script for sfdisk.
    fn with(size: u64, script: &str) -> Disk {
        let disk = Disk::new(size);
        sfdisk(&disk.name(), script);
        disk
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn name(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    fn file(&self) -> File {
        File::options().read(true).write(true).open(self.path()).unwrap()
    }

    fn source(&self) -> SizedFile {
        SizedFile::new(self.file()).unwrap()
    }

    fn table(&self) -> Table {
        Table::read(&self.source(), 512).unwrap()
    }

    fn damage(&self, offset: u64) {
        self.file().write_all_at(&[0xee; 64], offset).unwrap();
    }

    /// A disk of another size with this one's bytes as far as they go, and the layout's patches.
    fn onto(&self, size: u64, layout: &Layout) -> Disk {
        let disk = Disk { folder: tempfile::tempdir().unwrap() };
        std::fs::copy(self.path(), disk.path()).unwrap();
        let file = disk.file();
        file.set_len(size).unwrap();
        layout.patches.iter().for_each(|patch| {
            assert!(patch.offset + patch.bytes.len() as u64 <= size);
            file.write_all_at(&patch.bytes, patch.offset).unwrap();
        });
        disk
    }

    /// As sgdisk or sfdisk see it.
    fn is_found_good(&self, scheme: Scheme) {
        if scheme == Scheme::Gpt {
            let text = succeeds("sgdisk", &["--verify", &self.name()]);
            assert!(text.contains("No problems found"), "{text}");
        }
        let output = Command::new("sfdisk").args(["--verify", &self.name()]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

fn sfdisk(device: &str, script: &str) {
    let mut command = Command::new("sfdisk");
    command.args(["--quiet", "--no-reread", "--no-tell-kernel", device]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{script}");
}

/// What sfdisk says of a disk: number, first sector, sectors, type, id and name of each partition, and its own id.
fn oracle(device: &str) -> (String, Vec<(u64, u64, String, String)>) {
    let json: serde_json::Value = serde_json::from_str(&succeeds("sfdisk", &["--json", device])).unwrap();
    let table = &json["partitiontable"];
    let partitions = table["partitions"].as_array().into_iter().flatten().map(|partition| {
        let text = |name: &str| partition[name].as_str().unwrap_or_default().to_owned();
        let number = |name: &str| partition[name].as_u64().unwrap();
        (number("start"), number("size"), text("type"), text("uuid") + &text("name"))
    });
    (table["id"].as_str().unwrap().to_owned(), partitions.collect())
}

fn agrees(device: &str, table: &Table) {
    let (id, expected) = oracle(device);
    let expected: Vec<_> = expected.into_iter().filter(|(.., kind, _)| !matches!(kind.as_str(), "5" | "f")).collect();
    assert_eq!(table.id.as_deref().unwrap(), id.trim_start_matches("0x"));
    let found: Vec<_> = table
        .partitions
        .iter()
        .map(|partition| {
            let kind = partition.kind.trim_start_matches("0x").trim_start_matches('0').to_owned();
            let is_gpt = table.scheme == Scheme::Gpt;
            let text =
                if is_gpt { partition.id.clone() + partition.name.as_deref().unwrap_or("") } else { String::new() };
            let kind = if is_gpt { partition.kind.clone() } else { kind };
            (partition.start / table.sector, partition.size / table.sector, kind, text)
        })
        .collect();
    assert_eq!(found, expected);
}

const GPT: &str = "label: gpt\nstart=2048,size=4096,type=21686148-6449-6E6F-744E-656564454649,name=grub\nsize=100M,type=U,name=\"Ä boot\"\nsize=200M,type=L,attrs=\"RequiredPartition\"\ntype=S,size=50M\n";
const MBR: &str = "label: dos\nsize=50M,type=83,bootable\nsize=100M,type=c\nsize=300M,type=5\nsize=40M,type=82\nsize=60M,type=83\nsize=70M,type=8e\nsize=50M,type=7\n";

#[test]
fn tables_say_what_sfdisk_says() {
    let scripts = [
        GPT,
        MBR,
        "label: dos\nsize=10M\n",
        "label: gpt\ntable-length: 256\nsize=10M\n",
        "label: gpt\nfirst-lba: 34\nstart=40,size=1000\n",
    ];
    for script in scripts {
        println!("{script}");
        let disk = Disk::with(600 * MIB + 512, script);
        let table = disk.table();
        agrees(&disk.name(), &table);
        assert_eq!(table.warnings, Vec::<String>::new());
        let first = table.partitions.iter().map(|partition| partition.start).min().unwrap();
        assert!(table.fixed.covers(0..first), "boot code and what follows it");
        let inside: Extents = table.partitions.iter().map(|partition| partition.range()).collect();
        assert!(inside.intersection(&table.unpartitioned()).is_empty());
        let all = inside.bytes() + table.unpartitioned().bytes() + table.fixed.bytes();
        assert_eq!(all, table.size, "every byte belongs to one of them");
    }
    let table = Disk::with(600 * MIB, GPT).table();
    let names: Vec<&str> = table.partitions.iter().map(|partition| partition.kind_name.as_str()).collect();
    assert_eq!(names, ["BIOS boot", "EFI system", "Linux filesystem", "Linux swap"]);
    let table = Disk::with(600 * MIB, MBR).table();
    let logical: Vec<u32> = table.partitions.iter().filter(|p| p.is_logical).map(|p| p.number).collect();
    assert_eq!((logical, table.partitions[0].flags), (vec![5, 6, 7], 0x80));
}

#[test]
fn a_table_of_a_disk_with_large_sectors_is_read_whatever_the_device_says() {
    if !is_root_or_skip() {
        return;
    }
    let disk = Disk::new(600 * MIB);
    let device = LoopDevice::attach_with(&disk.path(), &["--sector-size=4096"]);
    sfdisk(device.name(), "label: gpt\nsize=100M\nsize=200M\n");
    let table = Table::read(&SizedFile::new(File::open(device.path()).unwrap()).unwrap(), 4096).unwrap();
    agrees(device.name(), &table);
    assert!(table.warnings.is_empty(), "{:?}", table.warnings);
    let as_file = disk.table();
    assert_eq!((as_file.partitions, as_file.sector), (table.partitions, 4096));
    assert!(as_file.warnings[0].contains("4096"));
}

#[test]
fn a_damaged_table_is_read_from_its_backup_and_says_so() {
    let disk = Disk::with(600 * MIB, GPT);
    let good = disk.table();
    for offset in [512 + 20, 1024 + 10] {
        let hurt = disk.onto(600 * MIB, &Layout { partitions: vec![], patches: vec![] });
        hurt.damage(offset);
        let table = hurt.table();
        assert_eq!(table.partitions, good.partitions);
        assert!(table.warnings[0].contains("backup"), "{:?}", table.warnings);
        let repaired = hurt.onto(600 * MIB, &table.lay_out(600 * MIB, &BTreeMap::new()).unwrap());
        repaired.is_found_good(Scheme::Gpt);
        let table = repaired.table();
        assert_eq!(
            (table.partitions, table.fixed, table.warnings),
            (good.partitions.clone(), good.fixed.clone(), vec![])
        );
    }
    disk.damage(600 * MIB - 512 + 20);
    let table = disk.table();
    assert_eq!(table.partitions, good.partitions);
    assert!(table.warnings[0].contains("is damaged"), "{:?}", table.warnings);

    disk.damage(512 + 20);
    let table = disk.table();
    assert_eq!((table.scheme, table.partitions.len()), (Scheme::Damaged, 0));
    assert_eq!(table.fixed, Extents::all(600 * MIB));
    assert!(table.warnings[0].contains("whole disk counts as used"), "{:?}", table.warnings);
    let survey = Survey::of(&disk.source(), 512, Taken::AsFound).unwrap();
    assert!(survey.free().is_empty());
    assert_eq!(table.lay_out(700 * MIB, &BTreeMap::new()), Err(LayoutError::NoTable));
}

#[test]
fn a_lost_boot_record_does_not_hide_gpt() {
    let disk = Disk::with(600 * MIB, GPT);
    let good = disk.table();
    disk.file().write_all_at(&[0; 512], 0).unwrap();
    let table = disk.table();
    assert_eq!(table.partitions, good.partitions);
    assert!(table.warnings[0].contains("boot record"), "{:?}", table.warnings);
}

#[test]
fn a_broken_or_endless_chain_of_logical_partitions_makes_the_disk_one_unknown_region() {
    let disk = Disk::with(600 * MIB, MBR);
    let record = disk.table().partitions.iter().find(|partition| partition.number == 6).unwrap().start - MIB;
    let broken = disk.onto(600 * MIB, &Layout { partitions: vec![], patches: vec![] });
    broken.file().write_all_at(&[0; 2], record + 510).unwrap();
    assert_eq!(broken.table().scheme, Scheme::Damaged);
    // The second record points to itself.
    let distance = u32::try_from((record - 151 * MIB) / 512).unwrap();
    disk.file().write_all_at(&distance.to_le_bytes(), record + 446 + 16 + 8).unwrap();
    assert_eq!(disk.table().scheme, Scheme::Damaged);
}

#[test]
fn on_a_larger_disk_the_backup_moves_to_the_end_and_a_partition_can_grow() {
    for (script, scheme) in [(GPT, Scheme::Gpt), (MBR, Scheme::Mbr)] {
        let disk = Disk::with(600 * MIB, script);
        let old = disk.table();
        let larger = 1000 * MIB + 3 * 512;
        let same = disk.onto(larger, &old.lay_out(larger, &BTreeMap::new()).unwrap());
        same.is_found_good(scheme);
        assert_eq!(same.table().partitions, old.partitions);
        assert_eq!(same.table().warnings, Vec::<String>::new());
        for partition in &old.partitions {
            let number = partition.number;
            let most = old.most(number, larger).unwrap();
            assert!(most > partition.size + 300 * MIB, "{number}: {most}");
            let layout = old.lay_out(larger, &BTreeMap::from([(number, most)])).unwrap();
            let grown = disk.onto(larger, &layout);
            grown.is_found_good(scheme);
            let table = grown.table();
            agrees(&grown.name(), &table);
            assert_eq!(table.partition(number).unwrap().size, most);
            for (old, new) in old.partitions.iter().zip(&table.partitions) {
                assert_eq!((&old.id, &old.kind, &old.name, old.flags), (&new.id, &new.kind, &new.name, new.flags));
                assert!(old.number == number || old.size == new.size);
                let moved = layout.partitions.iter().find(|moved| moved.number == old.number).unwrap();
                assert_eq!((moved.from, moved.to, moved.size), (old.start, new.start, new.size));
            }
            let beyond = BTreeMap::from([(number, most + 200 * MIB)]);
            assert!(matches!(old.lay_out(larger, &beyond), Err(LayoutError::TooSmall { .. })));
        }
    }
}

#[test]
fn on_a_smaller_disk_partitions_shrink_and_move_together() {
    for (script, scheme, shrunk) in [(GPT, Scheme::Gpt, 3), (MBR, Scheme::Mbr, 2)] {
        let disk = Disk::with(600 * MIB, script);
        let old = disk.table();
        let smaller = 340 * MIB;
        assert!(matches!(old.lay_out(smaller, &BTreeMap::new()), Err(LayoutError::TooSmall { .. })));
        let sizes = BTreeMap::from([(shrunk, 30 * MIB)]);
        let layout = old.lay_out(smaller, &sizes).unwrap();
        let result = disk.onto(smaller, &layout);
        result.is_found_good(scheme);
        agrees(&result.name(), &result.table());
        assert_eq!(result.table().partition(shrunk).unwrap().size, 30 * MIB);
        assert_eq!(result.table().warnings, Vec::<String>::new());
        let places: Vec<u64> = layout.partitions.iter().map(|moved| moved.to).collect();
        assert!(places.is_sorted() && layout.partitions.iter().all(|moved| moved.to <= moved.from));
    }
    let disk = Disk::with(600 * MIB, GPT);
    assert_eq!(disk.table().lay_out(700 * MIB, &BTreeMap::from([(9, MIB)])), Err(LayoutError::NoPartition(9)));
}

#[test]
fn a_hybrid_boot_record_is_told_and_not_changed() {
    let disk = Disk::with(600 * MIB, GPT);
    succeeds("sgdisk", &["--hybrid=2:3", &disk.name()]);
    let table = disk.table();
    assert!(table.is_hybrid && table.warnings[0].contains("hybrid") && table.partitions.len() == 4);
    assert_eq!(table.lay_out(700 * MIB, &BTreeMap::from([(4, 60 * MIB)])), Err(LayoutError::Hybrid));
    assert!(table.lay_out(700 * MIB, &BTreeMap::new()).is_ok());
}

#[test]
fn a_survey_frees_what_volumes_prove_free_and_keeps_all_else() {
    let disk = furnished(GPT, 4);
    let table = disk.table();
    let mut survey = Survey::of(&disk.source(), 512, Taken::AsFound).unwrap();
    let kinds: Vec<Kind> = survey.volumes.iter().map(|volume| volume.usage.kind).collect();
    assert_eq!(kinds, [Kind::Unknown, Kind::Fat32, Kind::Ext4, Kind::Swap]);
    let used = survey.used();
    assert!(used.covers(0..4 * MIB) && used.covers(table.partition(1).unwrap().range()));
    assert!(survey.free().intersection(&table.unpartitioned()).is_empty());
    assert!(survey.free().bytes() > 300 * MIB, "{}", survey.free().bytes());
    assert_eq!(survey.free().bytes() + used.bytes(), 600 * MIB);
    let ext = table.partition(3).unwrap().range();
    survey.replace_free(Some(3), &Extents::from(0..1 << 40));
    assert!(survey.free().covers(ext));
}

/// Partitioned by a script for sfdisk, with a FAT and an ext4 on partitions 2 and 3, and a swap space.
fn furnished(script: &str, swap: u32) -> Disk {
    let disk = Disk::with(600 * MIB, script);
    let table = disk.table();
    let mkfs = |number: u32, program: &str, words: &[&str]| {
        let partition = table.partition(number).unwrap();
        let volume = disk.folder.path().join("volume");
        File::create(&volume).unwrap().set_len(partition.size).unwrap();
        let words: Vec<&str> = words.iter().copied().chain([volume.to_str().unwrap()]).collect();
        succeeds(program, &words);
        disk.file().write_all_at(&std::fs::read(&volume).unwrap(), partition.start).unwrap();
    };
    mkfs(2, "mkfs.fat", &["-F32", "-s1"]);
    mkfs(3, "mkfs.ext4", &["-q", "-F"]);
    mkfs(swap, "mkswap", &[]);
    disk
}

/// A disk with one sector that the medium does not give.
struct Scratched {
    disk: SizedFile,
    sector: u64,
}

impl ReadAt for Scratched {
    fn size(&self) -> u64 {
        self.disk.size()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> std::io::Result<()> {
        const EIO: i32 = 5;
        let scratch = self.sector * 512..(self.sector + 1) * 512;
        match offset < scratch.end && scratch.start < offset + into.len() as u64 {
            true => Err(std::io::Error::from_raw_os_error(EIO)),
            false => self.disk.read_at(offset, into),
        }
    }
}

#[test]
fn a_sector_of_a_table_that_cannot_be_read_is_told_and_makes_nothing_free() {
    const DOS: &str =
        "label: dos\nsize=4M\nsize=100M,type=c\nsize=200M\nsize=200M,type=5\nsize=50M,type=82\nsize=60M\n";
    for (script, swap) in [(GPT, 4), (DOS, 5)] {
        let disk = furnished(script, swap);
        let free = Survey::of(&disk.source(), 512, Taken::AsFound).unwrap().free();
        let table = disk.table();
        let firsts = table.partitions.iter().map(|partition| partition.start / 512);
        // Both ends, the records before logical partitions, the superblocks.
        let around = firsts.flat_map(|first| [first - 2048, first, first + 2]);
        for sector in (0..40).chain(600 * 2048 - 40..600 * 2048).chain(around) {
            let survey = Survey::of(&Scratched { disk: disk.source(), sector }, 512, Taken::AsFound).unwrap();
            assert_eq!(survey.free().intersection(&free), survey.free(), "sector {sector}");
            assert!(sector != 0 || survey.all_warnings().iter().any(|text| text.contains("512 bytes at 0")));
        }
    }
}

#[test]
fn a_disk_that_is_one_volume_has_no_table() {
    for (program, words, kind) in [
        ("mkfs.ext4", vec!["-q", "-F"], Kind::Ext4),
        ("mkfs.fat", vec!["-F32", "-I"], Kind::Fat32),
        ("mkfs.exfat", vec![], Kind::Exfat),
        ("mkfs.ntfs", vec!["-F", "-Q", "-q"], Kind::Ntfs),
    ] {
        let disk = Disk::new(300 * MIB);
        succeeds(program, &words.into_iter().chain([disk.name().as_str()]).collect::<Vec<_>>());
        let survey = Survey::of(&disk.source(), 512, Taken::AsFound).unwrap();
        assert_eq!((survey.table.scheme, survey.volumes.len()), (Scheme::None, 1), "{program}");
        assert_eq!((survey.volumes[0].number, survey.volumes[0].usage.kind), (None, kind));
        assert!(survey.free().bytes() > 200 * MIB && survey.warnings.is_empty());
    }
    assert_eq!(Disk::new(0).table().scheme, Scheme::None);
}

#[test]
fn a_disk_with_partitions_that_looks_like_a_volume_too_is_used_as_a_whole() {
    let disk = Disk::new(600 * MIB);
    succeeds("mkfs.ext4", &["-q", "-F", &disk.name()]);
    let copy = disk.onto(600 * MIB, &Layout { partitions: vec![], patches: vec![] });
    sfdisk(&copy.name(), "label: dos\nwipe: never\nsize=50M\n");
    // sfdisk wipes the old superblock's name when asked nothing.
    let mut superblock = vec![0; 4096];
    disk.file().read_exact_at(&mut superblock, 1024).unwrap();
    copy.file().write_all_at(&superblock, 1024).unwrap();
    let survey = Survey::of(&copy.source(), 512, Taken::AsFound).unwrap();
    assert!(survey.free().is_empty() && survey.warnings[0].contains("ext4"), "{:?}", survey.warnings);
}
