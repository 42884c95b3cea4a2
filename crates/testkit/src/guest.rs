//! Virtual machines: a Debian kernel and the machine's own programs in a QEMU guest, for what this kernel lacks or must not
//! be asked to do. No KVM is needed.
//!
//! The guest's root is in its memory; its disks are files of the test, which outlive it. It is given shell scripts and answers
//! with their output. Dropping it is a power cut: nothing is written out.

mod archive;
mod channel;
mod kernel;
mod programs;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::peer;
use archive::Archive;
use channel::Channel;
pub use channel::Ran;
pub use kernel::Kernel;

/// What the kernel starts.
const INIT: &str = include_str!("guest/init.sh");

/// LVM without udev.
const LVM_CONF: &str = "devices {\n\tobtain_device_list_from_udev = 0\n\tscan_lvs = 0\n}\nactivation {\n\tudev_sync = 0\n\tudev_rules = 0\n}\n";

/// Programs of this machine that are in every guest, where they are installed here.
const PROGRAMS: [&str; 16] = [
    "blkid",
    "btrfs",
    "cryptsetup",
    "dmsetup",
    "e2fsck",
    "findmnt",
    "fsfreeze",
    "losetup",
    "lvm",
    "mkfs.btrfs",
    "mkfs.ext4",
    "mkfs.xfs",
    "pdata_tools",
    "sgdisk",
    "xfs_io",
    "xfs_repair",
];

/// How long a guest may take to start on a machine that has other things to do.
const BOOT: Duration = Duration::from_secs(600);

/// A guest that can be booted, again and again on the same disks.
#[derive(Clone, Debug)]
pub struct Machine {
    kernel: Kernel,
    memory: u32,
    programs: Vec<(PathBuf, String)>,
    disks: Vec<PathBuf>,
    shared: Option<PathBuf>,
}

impl Machine {
    /// One with that kernel; reports a skip (or fails, see [`peer::skip`]) where QEMU or the kernel is missing.
    pub fn find(kernel: Kernel) -> Option<Machine> {
        let is_qemu_there = Command::new(QEMU).arg("--version").output().is_ok_and(|output| output.status.success());
        if !is_qemu_there || !kernel.is_there() {
            peer::skip(&format!("{QEMU} or Linux {} for guests not found; run `cargo xtask setup`", kernel.version()));
            return None;
        }
        Some(Machine { kernel, memory: 1024, programs: Vec::new(), disks: Vec::new(), shared: None })
    }

    /// MiB of memory, 1024 if nothing is said.
    pub fn memory(mut self, mib: u32) -> Machine {
        self.memory = mib;
        self
    }

    /// A program of the test's, with the libraries that it needs, as `/bin/NAME`.
    pub fn program(mut self, path: impl Into<PathBuf>, name: &str) -> Machine {
        self.programs.push((path.into(), name.to_owned()));
        self
    }

    /// A file as the next disk, which is made sparse if it is not there: the first is `/dev/vda`.
    pub fn disk(mut self, file: impl Into<PathBuf>, size: u64) -> Machine {
        let file = file.into();
        if !file.exists() {
            File::create(&file).and_then(|disk| disk.set_len(size)).expect("a disk of the guest");
        }
        self.disks.push(file);
        self
    }

    /// A folder of the test's, which the guest has as `/shared`.
    pub fn shared(mut self, folder: impl Into<PathBuf>) -> Machine {
        self.shared = Some(folder.into());
        self
    }

    /// Starts it and waits until it takes scripts.
    pub fn boot(&self) -> Guest {
        let room = tempfile::tempdir().expect("room");
        let begin = Instant::now();
        self.write_root(&room.path().join("root.cpio"));
        let made = begin.elapsed();
        let control = room.path().join("control");
        let listener = Channel::listen(&control);
        let mut qemu = self.qemu(room.path(), &control).spawn().expect("QEMU starts");
        let begin = Instant::now();
        let console = room.path().join("console");
        let channel = Channel::accept(&listener, begin + BOOT, || has_ended(&mut qemu));
        let mut guest = Guest { qemu, channel: None, console, made, booted: Duration::ZERO, _room: room };
        guest.channel = channel;
        let is_ready = guest.channel.as_mut().is_some_and(|channel| channel.is_ready(begin + BOOT));
        assert!(is_ready, "the guest did not boot in {:?}:\n{}", begin.elapsed(), guest.console());
        guest.booted = begin.elapsed();
        guest
    }

    /// What the guest has in memory when it starts.
    fn write_root(&self, file: &Path) {
        let mut archive = Archive::create(file).expect("an archive");
        for folder in ["dev", "proc", "sys", "run", "tmp", "root", "mnt", "shared", "etc", "var", "sbin", "usr"] {
            archive.folder(Path::new(folder)).expect("an archive");
        }
        archive.text("init", INIT, 0o755).expect("an archive");
        archive.text("etc/lvm/lvm.conf", LVM_CONF, 0o644).expect("an archive");
        archive.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644).expect("an archive");
        self.kernel.add_modules(&mut archive);
        programs::add(&mut archive, &PROGRAMS, &self.programs);
        archive.finish().expect("an archive");
    }

    fn qemu(&self, room: &Path, control: &Path) -> Command {
        // It ends when we do, however that happens.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", QEMU]);
        command.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", &self.memory.to_string()]);
        command.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-kernel"]);
        command.arg(self.kernel.image()).arg("-initrd").arg(room.join("root.cpio"));
        command.args([
            "-append",
            "console=ttyS0 quiet panic=-1 mitigations=off nokaslr no_timer_check nowatchdog random.trust_cpu=on",
        ]);
        command.args(["-serial", &format!("file:{}", room.join("console").display())]);
        command.args(["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
        command.args(["-chardev", &format!("socket,id=control,path={}", control.display())]);
        command.args(["-device", "virtserialport,chardev=control,name=control"]);
        for (number, disk) in self.disks.iter().enumerate() {
            // A power cut loses what the guest did not flush, not what it did: what QEMU wrote stays in the host's memory.
            let drive =
                format!("file={},if=none,format=raw,cache=writeback,discard=unmap,id=disk{number}", disk.display());
            let device = format!("virtio-blk-pci,drive=disk{number},serial=disk{number}");
            command.args(["-drive", &drive, "-device", &device]);
        }
        if let Some(folder) = &self.shared {
            let share = format!("local,path={},mount_tag=shared,security_model=none", folder.display());
            command.args(["-virtfs", &share]);
        }
        let errors = File::create(room.join("qemu")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors);
        command
    }
}

const QEMU: &str = "qemu-system-x86_64";

fn has_ended(qemu: &mut Child) -> bool {
    !matches!(qemu.try_wait(), Ok(None))
}

/// A machine that runs. Dropping it cuts its power.
#[derive(Debug)]
pub struct Guest {
    qemu: Child,
    channel: Option<Channel>,
    console: PathBuf,
    made: Duration,
    booted: Duration,
    _room: TempDir,
}

impl Guest {
    /// How long it took from QEMU's start until it took scripts.
    pub fn booted_in(&self) -> Duration {
        self.booted
    }

    /// How long making its root took.
    pub fn root_made_in(&self) -> Duration {
        self.made
    }

    /// Runs a script of the guest's shell (busybox) to its end, for that long at most, else the test fails.
    pub fn run(&mut self, script: &str, limit: Duration) -> Ran {
        let channel = self.channel.as_mut().expect("a guest that runs");
        let ran = channel.run(script, Instant::now() + limit);
        ran.unwrap_or_else(|error| panic!("{script}\n{error}\nThe console:\n{}", self.console()))
    }

    /// As [`Guest::run`], and fails the test unless every command succeeds; returns what was printed.
    pub fn succeeds(&mut self, script: &str, limit: Duration) -> String {
        let ran = self.run(&format!("set -e\n{script}"), limit);
        assert!(ran.status == 0, "{script}\nended with {}:\n{}\n{}", ran.status, ran.output, self.console());
        ran.output
    }

    /// What the kernel said so far.
    pub fn console(&self) -> String {
        let said = fs::read(&self.console).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        said.lines().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Ends it at once, as a power cut does.
    pub fn cut_power(self) {}
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::print_stderr, reason = "how long a boot takes is read in the test run's output")]
    fn a_guest_runs_scripts_and_its_disks_outlive_a_power_cut() {
        let Some(machine) = Machine::find(Kernel::Bookworm) else { return };
        let room = tempfile::tempdir().unwrap();
        let machine = machine.disk(room.path().join("disk"), 64 << 20).shared(room.path());
        let mut guest = machine.boot();
        eprintln!("root made in {:?}, booted in {:?}", guest.root_made_in(), guest.booted_in());
        let limit = Duration::from_secs(120);
        assert_eq!(guest.run("echo said; exit 3", limit), Ran { status: 3, output: "said\n".to_owned() });
        assert!(guest.succeeds("uname -r", limit).starts_with(Kernel::Bookworm.version()));
        guest.succeeds("mkfs.ext4 -q /dev/vda && mount /dev/vda /mnt && echo kept > /mnt/file && sync", limit);
        guest.succeeds("echo seen > /shared/from-guest", limit);
        assert_eq!(std::fs::read_to_string(room.path().join("from-guest")).unwrap(), "seen\n");
        guest.cut_power();
        let mut guest = machine.boot();
        assert_eq!(guest.succeeds("mount /dev/vda /mnt && cat /mnt/file", limit), "kept\n");
    }
}
