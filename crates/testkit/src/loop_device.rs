//! Loop devices over files, and mounts of them, which are gone when their guards are dropped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long what an earlier test left may take to go away.
const PATIENCE: Duration = Duration::from_secs(30);

/// True for root; otherwise the test is skipped by name (or fails where nothing may be skipped).
pub fn is_root_or_skip() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        crate::peer::skip("needs root");
    }
    is_root
}

/// Runs a program and fails the test unless it succeeds; returns what it printed.
pub fn succeeds(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {} failed ({}):\n{out}\n{err}", args.join(" "), output.status);
    out.into_owned()
}

/// Of a btrfs whose device is gone the kernel still knows, and takes the next one with its id for a part of it: no more.
pub fn forget_btrfs() {
    let _ = Command::new("btrfs").args(["device", "scan", "--forget"]).output();
}

/// A file that the kernel shows as a disk.
#[derive(Debug)]
pub struct LoopDevice {
    path: PathBuf,
}

impl LoopDevice {
    /// Attaches a file; its partitions do not show before [`LoopDevice::show_partitions`].
    pub fn attach(file: &Path) -> LoopDevice {
        LoopDevice::attach_with(file, &[])
    }

    /// As [`LoopDevice::attach`], with more words for `losetup`, such as `--read-only` or `--sector-size=4096`.
    pub fn attach_with(file: &Path, words: &[&str]) -> LoopDevice {
        let file = file.to_str().expect("tests name their files in UTF-8");
        let args: Vec<&str> = ["--find", "--show"].iter().chain(words).copied().chain([file]).collect();
        let device = LoopDevice { path: PathBuf::from(succeeds("losetup", &args).trim()) };
        device.forget_earlier_partitions();
        device
    }

    /// Partitions of the disk that had this number before stay as long as somebody has them open (btrfs lets go late).
    fn forget_earlier_partitions(&self) {
        let name = self.path.file_name().expect("a device has a name").to_string_lossy().into_owned();
        let is_partition = |entry: &std::fs::DirEntry| entry.path().join("partition").exists();
        let entries = || std::fs::read_dir(format!("/sys/block/{name}")).into_iter().flatten().flatten();
        let begin = Instant::now();
        while entries().any(|entry| is_partition(&entry)) {
            assert!(begin.elapsed() < PATIENCE, "partitions of an earlier {name} do not go away");
            self.hide_partitions();
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A new sparse file of that size, attached.
    pub fn create(file: &Path, size: u64) -> LoopDevice {
        std::fs::File::create(file).unwrap().set_len(size).unwrap();
        LoopDevice::attach(file)
    }

    /// Such as `/dev/loop3`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As [`LoopDevice::path`], for a command's arguments.
    pub fn name(&self) -> &str {
        self.path.to_str().expect("loop devices have plain names")
    }

    /// Where a partition is once it shows; the first is 1.
    pub fn partition(&self, number: u32) -> String {
        format!("{}p{number}", self.name())
    }

    /// Has the kernel show the partitions of the table on the disk (by `partx`: kernels without parsers can do it too).
    pub fn show_partitions(&self) {
        succeeds("partx", &["--update", self.name()]);
    }

    /// Takes the partitions away again; the disk stays.
    pub fn hide_partitions(&self) {
        let _ = Command::new("partx").args(["--delete", self.name()]).output();
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        self.hide_partitions();
        let _ = Command::new("losetup").args(["--detach", self.name()]).output();
    }
}

/// A filesystem that is mounted while this lives.
#[derive(Debug)]
pub struct Mounted {
    folder: PathBuf,
}

impl Mounted {
    /// Mounts a device on a folder, which is made if it is not there.
    pub fn new(device: &str, folder: &Path) -> Mounted {
        Mounted::with(device, folder, &[])
    }

    /// As [`Mounted::new`], with more words for `mount`, such as `-oro,nouuid`.
    pub fn with(device: &str, folder: &Path, words: &[&str]) -> Mounted {
        std::fs::create_dir_all(folder).unwrap();
        let folder_name = folder.to_str().expect("tests name their folders in UTF-8");
        succeeds("mount", &words.iter().copied().chain([device, folder_name]).collect::<Vec<_>>());
        Mounted { folder: folder.to_owned() }
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Mounted {
    /// Waits a while for whoever is still in it.
    fn drop(&mut self) {
        let unmount = || Command::new("umount").arg(&self.folder).output().is_ok_and(|output| output.status.success());
        let gone = (0..50).any(|_| unmount() || pause());
        if !gone {
            let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
        }
    }
}

fn pause() -> bool {
    std::thread::sleep(std::time::Duration::from_millis(100));
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_device_shows_its_partitions_and_goes_away() {
        if !is_root_or_skip() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let device = LoopDevice::create(&folder.path().join("disk"), 64 << 20);
        succeeds("sgdisk", &["-n1:0:0", device.name()]);
        device.show_partitions();
        succeeds("mkfs.ext4", &["-q", &device.partition(1)]);
        let mounted = Mounted::new(&device.partition(1), &folder.path().join("mnt"));
        assert!(mounted.folder().join("lost+found").is_dir());
        let name = device.name().to_owned();
        drop(mounted);
        drop(device);
        assert!(!succeeds("losetup", &["--list", "--noheadings"]).contains(&format!("{name} ")));
    }
}
