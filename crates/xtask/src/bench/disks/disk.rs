//! The disk that is imaged: ext4 on a loop device over a sparse file, with programs and noise on it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Scale;
use crate::program::{self, Outcome, at};

/// A loop device, which goes when this goes.
pub(super) struct Loop {
    file: PathBuf,
    device: String,
}

impl Loop {
    fn make(file: PathBuf, size: u64) -> Outcome<Loop> {
        at(&file, File::create(&file).and_then(|file| file.set_len(size)))?;
        let said = program::output(program::command(["losetup", "--find", "--show", "--direct-io=on"]).arg(&file))?;
        Ok(Loop { file, device: said.trim().to_owned() })
    }

    pub(super) fn device(&self) -> &str {
        &self.device
    }

    /// Of the whole device, by the files on it: what is free may differ.
    pub(super) fn checksum(&self) -> Outcome<String> {
        let folder = self.file.with_extension("mounted");
        at(&folder, fs::create_dir_all(&folder))?;
        program::run(program::command(["mount", "-o", "ro,noload", &self.device]).arg(&folder))?;
        let script = "cd \"$0\" && find . -type f -print0 | sort -z | xargs -0 -r sha256sum | sha256sum";
        let sum = program::output(program::command(["bash", "-o", "pipefail", "-c", script]).arg(&folder));
        program::run(program::command(["umount"]).arg(&folder))?;
        sum
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        program::succeeds(&mut program::command(["losetup", "--detach", &self.device]));
        let _ = fs::remove_file(&self.file);
    }
}

/// The disk.
pub(super) struct Disk {
    place: Loop,
    room: PathBuf,
    scale: Scale,
    used: u64,
}

/// Pieces that are rewritten to change one per cent.
const PIECE: u64 = 1 << 20;

/// Folders of programs, from which is copied until half of the bytes are there.
const PROGRAMS: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/share", "/usr/lib"];

impl Disk {
    pub(super) fn make(room: &Path, scale: Scale) -> Outcome<Disk> {
        let place = Loop::make(room.join("disk"), scale.size)?;
        program::run(&mut program::command(["mkfs.ext4", "-q", "-F", place.device()]))?;
        let mut disk = Disk { place, room: room.to_owned(), scale, used: 0 };
        disk.used = disk.mounted(|folder| disk.fill(folder))?;
        println!("a disk of {} GiB, {} MiB in use", scale.size >> 30, disk.used >> 20);
        Ok(disk)
    }

    fn fill(&self, folder: &Path) -> Outcome<u64> {
        for from in PROGRAMS {
            copy_up_to(Path::new(from), folder, self.scale.used / 2)?;
        }
        let rest = self.scale.used.saturating_sub(bytes_in(folder)?);
        write_noise(&folder.join("noise"), rest)?;
        bytes_in(folder)
    }

    /// Runs something with the disk mounted.
    fn mounted<T>(&self, run: impl FnOnce(&Path) -> Outcome<T>) -> Outcome<T> {
        let folder = self.room.join("mounted");
        at(&folder, fs::create_dir_all(&folder))?;
        program::run(program::command(["mount", self.device()]).arg(&folder))?;
        let done = run(&folder);
        program::run(program::command(["umount"]).arg(&folder))?;
        done
    }

    pub(super) fn device(&self) -> &str {
        self.place.device()
    }

    pub(super) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn size(&self) -> u64 {
        self.scale.size
    }

    pub(super) fn checksum(&self) -> Outcome<String> {
        self.place.checksum()
    }

    /// Where `dd` reads what it writes: the device itself, so that both read and write a disk.
    pub(super) fn noise(&self) -> String {
        format!("if={}", self.room.join("noise").display())
    }

    /// A second device of the same size, empty.
    pub(super) fn target(&self) -> Outcome<Loop> {
        let noise = self.room.join("noise");
        if !noise.exists() {
            write_noise(&noise, self.used)?;
        }
        Loop::make(self.room.join("target"), self.scale.size)
    }

    /// Rewrites pieces here and there in the noise: one per cent of what is in use.
    pub(super) fn change_one_per_cent(&self) -> Outcome {
        self.mounted(|folder| {
            let path = folder.join("noise");
            let file = at(&path, File::options().write(true).open(&path))?;
            let pieces = (self.used / 100 / PIECE).max(1);
            let length = at(&path, file.metadata())?.len();
            let mut random = at(Path::new("/dev/urandom"), File::open("/dev/urandom"))?;
            for number in 0..pieces {
                let mut bytes = vec![0; PIECE as usize];
                at(&path, std::io::Read::read_exact(&mut random, &mut bytes))?;
                at(&path, file.write_all_at(&bytes, length / pieces * number))?;
            }
            at(&path, file.sync_all())
        })
    }
}

/// Copies a folder's entries one after the other until the target has so many bytes.
fn copy_up_to(from: &Path, to: &Path, most: u64) -> Outcome {
    let name = from.file_name().ok_or("a folder without a name")?;
    let target = to.join(name);
    at(&target, fs::create_dir_all(&target))?;
    let mut entries: Vec<PathBuf> =
        at(from, fs::read_dir(from))?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    entries.sort();
    let mut have = bytes_in(to)?;
    for entry in entries {
        if have >= most {
            return Ok(());
        }
        program::run(program::command(["cp", "-a"]).arg(&entry).arg(&target))?;
        have += entry.file_name().map_or(Ok(0), |name| bytes_in(&target.join(name)))?;
    }
    Ok(())
}

fn write_noise(path: &Path, mut length: u64) -> Outcome {
    let mut file = at(path, File::create(path))?;
    let mut random = at(Path::new("/dev/urandom"), File::open("/dev/urandom"))?;
    let mut bytes = vec![0; PIECE as usize];
    while length > 0 {
        let part = length.min(PIECE) as usize;
        at(path, std::io::Read::read_exact(&mut random, &mut bytes[..part]))?;
        at(path, file.write_all(&bytes[..part]))?;
        length -= part as u64;
    }
    at(path, file.sync_all())
}

fn bytes_in(folder: &Path) -> Outcome<u64> {
    let said = program::output(program::command(["du", "-s", "--block-size=1"]).arg(folder))?;
    let first = said.split_whitespace().next().and_then(|word| word.parse().ok());
    first.ok_or_else(|| format!("du said `{said}`"))
}
