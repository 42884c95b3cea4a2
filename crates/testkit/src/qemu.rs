//! A machine that boots from a disk in a file, and what it says on its serial console.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Where Debian puts the firmware for UEFI.
const OVMF: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";

/// What starts the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// The boot record.
    Bios,
    /// The EFI system partition.
    Uefi,
}

/// A machine that runs until it is dropped. Nothing that it writes reaches its disk's file.
#[derive(Debug)]
pub struct Machine {
    child: Child,
    room: TempDir,
}

impl Machine {
    /// Starts a machine without network, its processor emulated in software: that works everywhere, and slowly.
    pub fn boot(disk: &Path, firmware: Firmware) -> Machine {
        let room = TempDir::new().expect("room");
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-accel", "tcg", "-m", "512", "-display", "none", "-monitor", "none", "-net", "none"]);
        command.args(["-no-reboot", "-snapshot", "-serial"]).arg(format!("file:{}", console(&room).display()));
        command.arg("-drive").arg(format!("file={},format=raw,if=virtio", disk.display()));
        if firmware == Firmware::Uefi {
            command.args(["-machine", "q35", "-drive"]).arg(format!("file={OVMF},format=raw,if=pflash,readonly=on"));
        }
        // Its snapshot of what it writes goes where our files go.
        command.env("TMPDIR", room.path()).stdin(Stdio::null()).stdout(Stdio::null());
        let errors = File::create(room.path().join("errors")).expect("a file");
        let child = command.stderr(errors).spawn().expect("qemu-system-x86_64 starts");
        Machine { child, room }
    }

    /// What it has said so far, without what only terminals understand.
    pub fn said(&self) -> String {
        let bytes = fs::read(console(&self.room)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).chars().filter(|one| !one.is_control() || *one == '\n').collect()
    }

    /// Waits until it says something; fails the test if it ends before or the time is up. Returns how long it took.
    #[track_caller]
    pub fn waits_for(&mut self, text: &str, at_most: Duration) -> Duration {
        let begin = Instant::now();
        loop {
            let (said, has_ended) = (self.said(), self.child.try_wait().expect("a state").is_some());
            if said.contains(text) {
                return begin.elapsed();
            }
            let errors = || fs::read_to_string(self.room.path().join("errors")).unwrap_or_default();
            let is_over = has_ended || begin.elapsed() > at_most;
            assert!(!is_over, "no {text:?} on the console after {:?}; {}\n{said}", begin.elapsed(), errors());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn console(room: &TempDir) -> PathBuf {
    room.path().join("console")
}
