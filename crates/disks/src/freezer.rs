//! The filesystems of some disks, frozen together, and thawed again whatever happens to us.
//!
//! While they are frozen, a process of its own watches the time (`platform::ThawGuard`): it thaws them when the budget is
//! used up, when we are stopped, and when we die. Between freezing and thawing nothing here writes to a file, prints or waits
//! for anybody.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use platform::{BlockDevice, DeviceNumber, HeldFilesystem, Mount, ThawGuard};

/// Why filesystems are not frozen. All are thawed again when this is told.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum FreezeError {
    #[error("cannot find out what is mounted: {0}")]
    Mounts(#[source] io::Error),
    #[error("cannot open the filesystem at {}: {cause}", mount_point.display())]
    Open { mount_point: PathBuf, cause: io::Error },
    #[error("cannot write out the filesystem at {}: {cause}", mount_point.display())]
    Sync { mount_point: PathBuf, cause: io::Error },
    #[error("cannot freeze the filesystem at {}: {cause}", mount_point.display())]
    Freeze { mount_point: PathBuf, cause: io::Error },
    #[error("cannot claim the filesystem at {} for freezing: {}", mount_point.display(), claimed(cause))]
    Claim { mount_point: PathBuf, cause: io::Error },
    #[error("the process that thaws in an emergency does not run: {0}")]
    Guard(#[source] io::Error),
}

fn claimed(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::TimedOut => "another backup has it frozen, or is about to".to_owned(),
        _ => cause.to_string(),
    }
}

/// How long the guard of one who died, or another backup, is waited for.
const CLAIM_PATIENCE: Duration = Duration::from_secs(10);

/// A mounted filesystem that lies on one of the disks.
#[derive(Debug)]
struct Mounted {
    mount_point: PathBuf,
    held: HeldFilesystem,
}

/// All filesystems of some disks that are mounted now, the deepest mount first.
#[derive(Debug)]
pub struct Freezer {
    filesystems: Vec<Mounted>,
}

impl Freezer {
    /// Finds and opens them. A filesystem on several devices counts if one of them is part of the disks.
    pub fn of(disks: &[BlockDevice]) -> Result<Freezer, FreezeError> {
        let devices = devices_on(disks).map_err(FreezeError::Mounts)?;
        let mut mounts = platform::mounts().map_err(FreezeError::Mounts)?;
        mounts.retain(|mount| lies_on(mount, &devices));
        let mut filesystems: Vec<Mounted> = Vec::new();
        let mut seen = BTreeSet::new();
        // The same filesystem may be mounted in several places, and be hidden in some: one that opens is enough.
        for number in mounts.iter().map(|mount| mount.device).filter(|number| seen.insert(*number)) {
            filesystems.push(open_one(mounts.iter().filter(|mount| mount.device == number))?);
        }
        let depth = |filesystem: &Mounted| filesystem.mount_point.components().count();
        filesystems.sort_by_key(|filesystem| std::cmp::Reverse(depth(filesystem)));
        Ok(Freezer { filesystems })
    }

    /// Where they are mounted, in the order in which they are frozen.
    pub fn mount_points(&self) -> impl Iterator<Item = &Path> {
        self.filesystems.iter().map(|filesystem| filesystem.mount_point.as_path())
    }

    /// Writes out what waits to be written.
    pub fn sync(&self) -> Result<(), FreezeError> {
        for Mounted { mount_point, held } in &self.filesystems {
            held.sync().map_err(|cause| FreezeError::Sync { mount_point: mount_point.clone(), cause })?;
        }
        Ok(())
    }

    /// Freezes all, for that long at most.
    pub fn freeze(self, limit: Duration) -> Result<Frozen, FreezeError> {
        for Mounted { mount_point, held } in &self.filesystems {
            let claimed = held.claim(CLAIM_PATIENCE);
            claimed.map_err(|cause| FreezeError::Claim { mount_point: mount_point.clone(), cause })?;
        }
        let (mount_points, held): (Vec<_>, Vec<_>) =
            self.filesystems.into_iter().map(|filesystem| (filesystem.mount_point, filesystem.held)).unzip();
        let guard = ThawGuard::spawn(&held, limit).map_err(FreezeError::Guard)?;
        let states = vec![State::Running; held.len()];
        let mut frozen = Frozen { mount_points, held, states, guard, since: Instant::now(), limit };
        frozen.guard.arm().map_err(FreezeError::Guard)?;
        frozen.since = Instant::now();
        for number in 0..frozen.held.len() {
            // If this fails, the ones before are thawed when `frozen` is dropped.
            frozen.freeze_one(number)?;
        }
        Ok(frozen)
    }
}

fn open_one<'a>(mounts: impl Iterator<Item = &'a Mount>) -> Result<Mounted, FreezeError> {
    let mut failure = FreezeError::Mounts(io::ErrorKind::NotFound.into());
    for mount in mounts {
        match HeldFilesystem::open(mount) {
            Ok(held) => return Ok(Mounted { mount_point: mount.mount_point.clone(), held }),
            Err(cause) => failure = FreezeError::Open { mount_point: mount.mount_point.clone(), cause },
        }
    }
    Err(failure)
}

/// The disks, their partitions, and whatever is made of them.
fn devices_on(disks: &[BlockDevice]) -> io::Result<BTreeSet<DeviceNumber>> {
    let mut waiting: Vec<BlockDevice> = disks.to_vec();
    let mut found = BTreeSet::new();
    while let Some(device) = waiting.pop() {
        if found.insert(device.number()) {
            waiting.extend(device.partitions()?);
            waiting.extend(device.holders()?);
        }
    }
    Ok(found)
}

fn lies_on(mount: &Mount, devices: &BTreeSet<DeviceNumber>) -> bool {
    let source = Path::new(&mount.source);
    let is_source = || source.is_absolute() && DeviceNumber::of(source).is_ok_and(|number| devices.contains(&number));
    devices.contains(&mount.device) || is_source() || (mount.kind == "btrfs" && btrfs_lies_on(source, devices))
}

/// btrfs has a device number of its own, and maybe several devices: `/sys` lists them.
fn btrfs_lies_on(source: &Path, devices: &BTreeSet<DeviceNumber>) -> bool {
    let Ok(name) = BlockDevice::at(source).map(|device| device.name()) else { return false };
    let Ok(filesystems) = std::fs::read_dir("/sys/fs/btrfs") else { return false };
    let members =
        filesystems.flatten().map(|entry| entry.path().join("devices")).find(|folder| folder.join(&name).exists());
    let Some(members) = members.and_then(|folder| std::fs::read_dir(folder).ok()) else { return false };
    let number = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("dev")).ok()?.parse().ok();
    members.flatten().filter_map(number).any(|number: DeviceNumber| devices.contains(&number))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Frozen,
    /// It cannot be frozen.
    Incapable,
}

/// Filesystems that stand still, until this is thawed or dropped.
#[derive(Debug)]
pub struct Frozen {
    mount_points: Vec<PathBuf>,
    held: Vec<HeldFilesystem>,
    states: Vec<State>,
    guard: ThawGuard,
    since: Instant,
    limit: Duration,
}

/// What was frozen, and how that ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thawed {
    /// From before the first was frozen until after the last was thawed.
    pub frozen_for: Duration,
    /// False if one of them was thawed by somebody else meanwhile: the guard, or a person.
    pub was_whole: bool,
    /// Mount points of those that cannot be frozen, such as FAT.
    pub incapable: Vec<PathBuf>,
}

impl Frozen {
    fn freeze_one(&mut self, number: usize) -> Result<(), FreezeError> {
        self.states[number] = match self.held[number].freeze() {
            Ok(()) => State::Frozen,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => State::Incapable,
            Err(cause) => return Err(FreezeError::Freeze { mount_point: self.mount_points[number].clone(), cause }),
        };
        Ok(())
    }

    /// What is left of the budget.
    pub fn time_left(&self) -> Duration {
        self.limit.saturating_sub(self.since.elapsed())
    }

    /// The process that watches.
    pub fn guard_pid(&self) -> u32 {
        self.guard.pid()
    }

    /// Writes out those that cannot be frozen.
    pub fn sync_incapable(&self) {
        let incapable = self.held.iter().zip(&self.states).filter(|(_, state)| **state == State::Incapable);
        incapable.for_each(|(held, _)| {
            let _ = held.sync();
        });
    }

    /// Lets all go on.
    pub fn thaw(mut self) -> Thawed {
        let was_whole = self.thaw_all();
        let incapable = self.mount_points.iter().zip(&self.states).filter(|(_, state)| **state == State::Incapable);
        Thawed {
            frozen_for: self.since.elapsed(),
            was_whole: was_whole && self.since.elapsed() <= self.limit + Duration::from_millis(100),
            incapable: incapable.map(|(mount_point, _)| mount_point.clone()).collect(),
        }
    }

    /// In the other order. What cannot be thawed is left to the guard, which tries on.
    fn thaw_all(&mut self) -> bool {
        let mut was_whole = true;
        let mut is_done = true;
        for (held, state) in self.held.iter().zip(&mut self.states).rev().filter(|(_, state)| **state == State::Frozen)
        {
            *state = State::Running;
            match held.thaw() {
                Ok(()) => {}
                Err(error) => {
                    was_whole = false;
                    is_done &= error.kind() == io::ErrorKind::InvalidInput;
                }
            }
        }
        if is_done {
            let _ = self.guard.disarm();
        }
        was_whole
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if self.states.contains(&State::Frozen) {
            self.thaw_all();
        } else {
            let _ = self.guard.disarm();
        }
    }
}
