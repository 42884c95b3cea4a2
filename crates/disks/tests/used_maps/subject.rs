//! A filesystem in a file: made, used for real, examined, and overwritten with rubbish where it is free.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use stead_disks::used::{self, Kind, State, Taken, Usage};
use stead_disks::{Extents, SizedFile};
use testkit::loop_device::{LoopDevice, Mounted, succeeds};

pub(crate) const MIB: u64 = 1 << 20;

/// A filesystem under test.
pub(crate) struct Subject {
    pub(crate) folder: tempfile::TempDir,
    size: u64,
}

impl Subject {
    /// An image of that size, made by a command that takes the file as its last word.
    pub(crate) fn made(size: u64, mkfs: &[&str]) -> Subject {
        let subject = Subject::empty(size);
        let image = subject.image();
        let words: Vec<&str> = mkfs[1..].iter().copied().chain([image.to_str().unwrap()]).collect();
        succeeds(mkfs[0], &words);
        subject
    }

    /// An image of nothing.
    pub(crate) fn empty(size: u64) -> Subject {
        let folder = tempfile::tempdir().unwrap();
        File::create(folder.path().join("image")).unwrap().set_len(size).unwrap();
        Subject { folder, size }
    }

    pub(crate) fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    pub(crate) fn name(&self) -> String {
        self.image().to_str().unwrap().to_owned()
    }

    /// Mounts it, lets `with` work in it, and unmounts it.
    pub(crate) fn mounted<T>(&self, words: &[&str], with: impl FnOnce(&Path) -> T) -> T {
        let device = LoopDevice::attach(&self.image());
        let mounted = Mounted::with(device.name(), &self.folder.path().join("mnt"), words);
        with(mounted.folder())
    }

    /// Mounts it with a program that takes image and folder (FUSE), and lets `with` work in it.
    pub(crate) fn served<T>(&self, program: &[&str], with: impl FnOnce(&Path) -> T) -> T {
        let folder = self.folder.path().join("mnt");
        fs::create_dir_all(&folder).unwrap();
        let device = LoopDevice::attach(&self.image());
        let words = [&program[1..], &[device.name(), folder.to_str().unwrap()]].concat();
        succeeds(program[0], &words);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| with(&folder)));
        succeeds("umount", &[folder.to_str().unwrap()]);
        wait_for_server(device.name());
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage_taken(Taken::AsFound)
    }

    pub(crate) fn usage_taken(&self, taken: Taken) -> Usage {
        used::examine(&SizedFile::new(File::open(self.image()).unwrap()).unwrap(), taken)
    }

    /// The first law; `slack` is how many bytes may be called used although the oracle calls them free.
    pub(crate) fn agrees(&self, oracle: &Extents, slack: u64) -> Usage {
        let usage = self.usage();
        assert!(matches!(usage.state, State::Clean | State::Unknown), "{:?}", usage.state);
        assert!(usage.free.end() <= self.size);
        let wrongly_free: Vec<_> = usage.free.iter().filter(|range| !oracle.covers(range.clone())).take(5).collect();
        assert!(wrongly_free.is_empty(), "used, but called free: {wrongly_free:?}; {:?}", usage.warnings);
        let missed = oracle.bytes() - usage.free.bytes();
        assert!(missed <= slack, "{missed} bytes are free, but called used; {:?}", usage.warnings);
        assert_eq!(usage.warnings, Vec::<String>::new());
        usage
    }

    /// The second law's deed: overwrites everything free with rubbish.
    pub(crate) fn spoil_free(&self) {
        self.spoil(&self.usage().free);
    }

    pub(crate) fn spoil(&self, free: &Extents) {
        let file = File::options().write(true).open(self.image()).unwrap();
        let rubbish: Vec<u8> = (0..MIB).map(|byte| ((byte * 31) >> 3) as u8 | 1).collect();
        for range in free.iter() {
            for at in range.clone().step_by(MIB as usize) {
                let length = (range.end - at).min(MIB);
                file.write_all_at(&rubbish[..length as usize], at).unwrap();
            }
        }
    }

    pub(crate) fn expect(&self, kind: Kind) -> Usage {
        let usage = self.usage();
        assert_eq!(usage.kind, kind, "{:?}", usage.warnings);
        usage
    }
}

/// FUSE servers write the last things after the unmount: waits until nobody has the device open.
fn wait_for_server(device: &str) {
    let is_open = || {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let mut files =
            processes.filter_map(|process| fs::read_dir(process.path().join("fd")).ok()).flatten().flatten();
        files.any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(device)))
    };
    while is_open() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Many small files, some large ones, holes, deletions and a second round, as a disk sees in its life.
pub(crate) fn use_for_real(folder: &Path, bytes: u64) {
    let mut noise = Noise(bytes);
    let small = bytes / 4 / 9000;
    for number in 0..small {
        let place = folder.join(format!("dir{}", number % 7));
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(format!("file{number}")), noise.bytes(noise.0 % 18_000)).unwrap();
    }
    for number in 0..3 {
        let mut file = File::create(folder.join(format!("large{number}"))).unwrap();
        (0..bytes / 4 / MIB).for_each(|_| file.write_all(&noise.bytes(MIB)).unwrap());
        file.sync_all().unwrap();
    }
    (0..small).step_by(3).for_each(|number| {
        fs::remove_file(folder.join(format!("dir{}/file{number}", number % 7))).unwrap();
    });
    fs::remove_file(folder.join("large1")).unwrap();
    (0..small / 5).for_each(|number| {
        fs::write(folder.join(format!("again{number}")), noise.bytes(noise.0 % 30_000)).unwrap();
    });
}

/// Punches holes and leaves a sparse file, where the filesystem can.
pub(crate) fn punch(folder: &Path) {
    let large = folder.join("large0");
    let name = large.to_str().unwrap();
    for offset in ["65536", "1048576", "1500000"] {
        succeeds("fallocate", &["--punch-hole", "--offset", offset, "--length", "131072", name]);
    }
    File::create(folder.join("sparse")).unwrap().set_len(100 * MIB).unwrap();
}

/// Names and contents of all files.
pub(crate) fn contents(folder: &Path) -> String {
    let script = "cd \"$0\" && find . -type f -print0 | sort -z | xargs -0 sha256sum";
    succeeds("sh", &["-c", script, folder.to_str().unwrap()])
}

/// Numbers that do not compress.
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, count: u64) -> Vec<u8> {
        let words = count.div_ceil(8);
        let mut bytes = Vec::with_capacity(words as usize * 8);
        for _ in 0..words {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend_from_slice(&self.0.to_le_bytes());
        }
        bytes.truncate(count as usize);
        bytes
    }
}
