//! Images of a disk side by side: stead, restic reading the device, partclone into zstd, and `dd` as the floor of restores.
//!
//! One disk of 20 GiB with ext4, 4 GiB of it in use (a tree of programs, and bytes that nothing compresses), on a loop device;
//! nobody writes it while it is read. Every program has a repository of its own on the disk below, and an empty page cache.

mod disk;
mod report;

use std::path::{Path, PathBuf};
use std::process::Command;

use disk::Disk;
use report::{Figure, Report};

use super::measure;
use crate::program::{self, Outcome};
use crate::workspace;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The first image.
    First,
    /// After one per cent was changed.
    Second,
    /// The same, while a tracker told what changed.
    Tracked,
    /// Onto another disk.
    Restore,
}

/// What the words after `bench disks` ask for.
struct Options {
    scale: Scale,
    /// The stead that is measured; built if none is named.
    stead: Option<PathBuf>,
}

/// How much is done.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    /// Bytes of the disk.
    pub(super) size: u64,
    /// Bytes in use, roughly.
    pub(super) used: u64,
    rounds: usize,
    is_quick: bool,
}

const GIB: u64 = 1 << 30;

/// Runs the rounds and writes the page.
pub(super) fn run(words: &[&str]) -> Outcome {
    let Options { scale, stead } = Options::parse(words)?;
    let tools = ["partclone.ext4", "zstd", "mkfs.ext4", "losetup"];
    if let Some(tool) = tools.iter().find(|tool| !program::succeeds(&mut program::command(["which", tool]))) {
        return Err(format!("no {tool} here; `cargo xtask setup`"));
    }
    let stead = stead.map_or_else(workspace::release_binary, Ok)?;
    let restic = workspace::peers().join("restic");
    let room = super::room()?;
    let disk = Disk::make(&room, scale)?;
    let mut report = Report::new(scale.is_quick, scale.rounds, &disk, &stead, &restic)?;
    for number in 1..=scale.rounds {
        println!("round {number} of {}", scale.rounds);
        let round = Round { room: room.join(format!("round-{number}")), disk: &disk, stead: &stead, restic: &restic };
        round.run(&mut report)?;
    }
    drop(disk);
    super::clear(&room)?;
    report.publish()
}

impl Options {
    fn parse(words: &[&str]) -> Outcome<Options> {
        let is_quick = words.contains(&"--quick");
        let (size, used, rounds) = if is_quick { (4 * GIB, GIB / 2, 1) } else { (20 * GIB, 4 * GIB, 3) };
        let mut options = Options { scale: Scale { size, used, rounds, is_quick }, stead: None };
        let mut words = words.iter().filter(|word| **word != "--quick");
        while let Some(word) = words.next() {
            let value = words.next().copied();
            match (*word, value, value.and_then(|value| value.parse().ok())) {
                ("--rounds", _, Some(rounds @ 1..)) => options.scale.rounds = rounds,
                ("--stead", Some(path), _) => options.stead = Some(path.into()),
                _ => return Err(format!("do not know `{word}`: bench disks [--quick] [--rounds N] [--stead PROGRAM]")),
            }
        }
        Ok(options)
    }
}

/// One round: all programs in turn, each with what it needs.
struct Round<'r> {
    room: PathBuf,
    disk: &'r Disk,
    stead: &'r Path,
    restic: &'r Path,
}

impl Round<'_> {
    fn run(&self, report: &mut Report) -> Outcome {
        program::run(program::command(["mkdir", "-p"]).arg(&self.room))?;
        program::run(self.stead(&["init"]).stdout(std::process::Stdio::null()))?;
        program::run(self.restic(&["init", "-q"]).stdout(std::process::Stdio::null()))?;
        let device = self.disk.device();
        let backup = ["disk", "backup", device, "--name", "disk"];
        let stdin = format!("exec \"$0\" backup -q --stdin --stdin-filename disk < {device}");
        self.measure(report, "stead", Step::First, &mut self.stead(&backup))?;
        self.measure(report, "restic", Step::First, &mut self.restic_by_shell(&stdin))?;
        self.measure(report, "partclone + zstd", Step::First, &mut self.partclone())?;
        if self.has_watch() {
            program::run(self.stead(&["disk", "watch", device]).stdout(std::process::Stdio::null()))?;
            // The tracker knows from the image after it on what changed.
            program::run(self.stead(&backup).stdout(std::process::Stdio::null()))?;
            self.disk.change_one_per_cent()?;
            self.measure(report, "stead", Step::Tracked, &mut self.stead(&backup))?;
            program::run(self.stead(&["disk", "unwatch", device]).stdout(std::process::Stdio::null()))?;
        }
        self.disk.change_one_per_cent()?;
        self.measure(report, "stead", Step::Second, &mut self.stead(&backup))?;
        self.measure(report, "restic", Step::Second, &mut self.restic_by_shell(&stdin))?;
        self.restore(report)?;
        super::clear(&self.room)
    }

    /// Onto a second device; `dd` writes as many bytes as were in use, with requests of 1 MiB past the page cache.
    fn restore(&self, report: &mut Report) -> Outcome {
        let target = self.disk.target()?;
        let restore = ["disk", "restore", "latest:disk", target.device(), "--unused", "leave"];
        let expected = self.disk.checksum()?;
        self.measure(report, "stead", Step::Restore, &mut self.stead(&restore))?;
        if target.checksum()? != expected {
            return Err("what was restored is not what was imaged".into());
        }
        drop(target);
        let target = self.disk.target()?;
        let (to, count) = (format!("of={}", target.device()), format!("count={}", self.disk.used() >> 20));
        let from = self.disk.noise();
        let words = ["dd", &from, &to, "bs=1M", "oflag=direct", "conv=fsync", &count, "status=none"];
        self.measure(report, "dd", Step::Restore, &mut program::command(words))
    }

    fn measure(&self, report: &mut Report, program: &'static str, step: Step, command: &mut Command) -> Outcome {
        program::run(&mut program::command(["sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches"]))?;
        let cost = measure::run(command, &self.room)?;
        let (wall, cpu, memory) = (cost.wall, cost.cpu, cost.memory >> 20);
        println!("  {program:<22}{step:?}: {wall:.2} s, {cpu:.2} s cpu, {memory} MiB");
        report.figures.push(Figure { program, step, cost });
        Ok(())
    }

    fn environment(&self, command: &mut Command, repository: &str) {
        command.env("RESTIC_REPOSITORY", self.room.join(repository)).env("RESTIC_PASSWORD", "benchmark");
        for variable in ["HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"] {
            command.env(variable, self.room.join("home"));
        }
    }

    fn stead(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.stead);
        self.environment(command.args(words), "stead");
        command
    }

    fn restic(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.restic);
        self.environment(command.args(words), "restic");
        command
    }

    fn restic_by_shell(&self, script: &str) -> Command {
        let mut command = program::command(["sh", "-c", script]);
        self.environment(command.arg(self.restic), "restic");
        command
    }

    fn partclone(&self) -> Command {
        let log = self.room.join("partclone.log");
        let out = self.room.join("partclone.zst");
        let script = format!(
            "partclone.ext4 -c -q -s {} -L {} -o - | zstd -1 -q -f -o {}",
            self.disk.device(),
            log.display(),
            out.display()
        );
        program::command(["bash", "-o", "pipefail", "-c", &script])
    }

    /// Whether this stead keeps trackers between backups.
    fn has_watch(&self) -> bool {
        program::succeeds(&mut self.stead(&["disk", "watch", "--help"]))
    }
}
