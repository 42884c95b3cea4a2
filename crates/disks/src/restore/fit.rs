//! How a disk fits a target of another size: which partition becomes larger or smaller, by what, and where each will be.
//!
//! Nothing is written here. What a file system needs at least is estimated from the map of what is in use; the program that
//! makes it smaller has the last word, before the target is touched.

use std::collections::BTreeMap;

use super::part::{Change, Fitting, Grow, Mounting, Part, Place, Tool};
use super::pieces::Pieces;
use crate::survey::Volume;
use crate::table::{Layout, LayoutError, Moved, Scheme, Table};
use crate::used::{Kind, State};
use crate::{Extent, Extents};

/// Sizes that are chosen here are multiples of this where they can be.
const ALIGNMENT: u64 = 1 << 20;

/// Less behind the end of a file system is not worth being cut off.
const LEAST_SLACK: u64 = 1 << 20;

/// BIOS boot loaders know the place of this partition by heart.
const BIOS_BOOT: &str = "21686148-6449-6E6F-744E-656564454649";

/// Which way a file system is to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Larger,
    Smaller,
}

/// What is known of the disk.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) table: Table,
    pub(super) volumes: Vec<Volume>,
    /// What is in use of the whole disk.
    pub(super) used: Extents,
    /// Which programs there are: asked by name.
    pub(super) has_program: fn(&str) -> bool,
    /// True if this process may make loop devices.
    pub(super) is_root: bool,
}

/// What will be where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fitted {
    /// In the order of the disk.
    pub(super) parts: Vec<Part>,
    /// The table for the target; none where the disk has none.
    pub(super) layout: Option<Layout>,
    pub(super) pieces: Pieces,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

impl Subject {
    /// True if it has neither a table nor a file system that is known.
    pub(super) fn is_unknown(&self) -> bool {
        self.table.scheme == Scheme::None && self.volumes.iter().all(|volume| volume.usage.kind == Kind::Unknown)
    }

    /// For a target of more bytes than the disk has. `None` if nothing of it is to be changed.
    pub(super) fn grown(&self, size: u64, fitting: &Fitting) -> Result<Option<Fitted>, String> {
        match self.table.scheme {
            Scheme::None => self.grown_volume(size, fitting),
            Scheme::Damaged => Ok(None),
            Scheme::Mbr | Scheme::Gpt => self.grown_table(self.reach(size), fitting).map(Some),
        }
    }

    /// For a target of fewer bytes.
    pub(super) fn shrunk(&self, size: u64, fitting: &Fitting) -> Result<Fitted, String> {
        match self.table.scheme {
            Scheme::None => self.shrunk_volume(size, fitting),
            Scheme::Damaged => Err("its partition table is damaged".into()),
            Scheme::Mbr | Scheme::Gpt => self.shrunk_table(size, fitting),
        }
    }

    /// A boot record counts sectors in 32 bits.
    fn reach(&self, size: u64) -> u64 {
        match self.table.scheme {
            Scheme::Mbr => size.min(u64::from(u32::MAX) * self.table.sector),
            _ => size,
        }
    }

    fn grown_table(&self, size: u64, fitting: &Fitting) -> Result<Fitted, String> {
        let mut notes = Vec::new();
        let mut sizes = BTreeMap::new();
        if let Some(number) = self.to_grow(fitting, &mut notes)? {
            let partition = self.table.partition(number).ok_or("it is gone")?;
            let most = self.table.most(number, size).map_err(words)?;
            let end = (partition.start + most) / ALIGNMENT * ALIGNMENT;
            sizes.extend(Some((number, end.saturating_sub(partition.start))).filter(|(_, new)| *new > partition.size));
        }
        let layout = self.table.lay_out(size, &sizes).map_err(words)?;
        let change = |volume: &Volume, moved: &Moved| match moved.size > moved.old_size {
            true => self.growth(volume, fitting),
            false => Change::None,
        };
        Ok(self.placed(layout, size, notes, change))
    }

    /// The partition that is to grow.
    fn to_grow(&self, fitting: &Fitting, notes: &mut Vec<String>) -> Result<Option<u32>, String> {
        let numbers =
            || self.table.partitions.iter().map(|part| part.number.to_string()).collect::<Vec<_>>().join(", ");
        match fitting.grow {
            Grow::Nothing => Ok(None),
            Grow::Partition(number) if self.table.partition(number).is_some() => Ok(Some(number)),
            Grow::Partition(number) => {
                Err(format!("there is no partition {number} that could grow; there are {}", numbers()))
            }
            Grow::Last => {
                let last = self.volumes.iter().max_by_key(|volume| volume.range.start);
                let Some((number, last)) = last.and_then(|last| Some((last.number?, last))) else { return Ok(None) };
                if grows_unasked(last.usage.kind) {
                    return Ok(Some(number));
                }
                let kind = last.usage.kind;
                notes.push(format!(
                    "partition {number} ({kind}) is the last one and stays as it is: `--grow` chooses another"
                ));
                Ok(None)
            }
        }
    }

    fn grown_volume(&self, size: u64, fitting: &Fitting) -> Result<Option<Fitted>, String> {
        let Some(volume) = self.volumes.first().filter(|volume| Tool::of(volume.usage.kind).is_some()) else {
            return match fitting.grow {
                Grow::Partition(number) => Err(format!("the disk has no partition {number} that could grow")),
                _ => Ok(None),
            };
        };
        match fitting.grow {
            Grow::Partition(number) => Err(format!("the disk has no partition {number} that could grow")),
            Grow::Nothing => Ok(None),
            Grow::Last => {
                let to = Place { start: 0, size: size / 4096 * 4096 };
                let part = self.part(volume, to, self.growth(volume, fitting));
                Ok(Some(Fitted { parts: vec![part], pieces: Pieces::same(self.table.size), ..Fitted::default() }))
            }
        }
    }

    /// How what is in a larger partition becomes larger.
    fn growth(&self, volume: &Volume, fitting: &Fitting) -> Change {
        match self.usable(volume, fitting, Direction::Larger) {
            Ok(Tool::Mkswap) => Change::Remake { tool: Tool::Mkswap },
            Ok(tool) => Change::Grow { tool },
            Err(advice) => Change::GrowAround { advice },
        }
    }

    /// The program for a volume, or what stands against using it here.
    fn usable(&self, volume: &Volume, fitting: &Fitting, direction: Direction) -> Result<Tool, String> {
        let usage = &volume.usage;
        let tool = Tool::of(usage.kind).ok_or_else(|| by_hand(usage.kind))?;
        if let Some(missing) = tool.programs().iter().find(|program| !(self.has_program)(program)) {
            return Err(format!("`{missing}` is not installed here"));
        }
        let is_ntfs = usage.kind == Kind::Ntfs;
        match &usage.state {
            State::Hibernated => return Err("a sleeping system has parts of it in its memory".into()),
            State::Dirty(why) | State::NeedsRecovery(why) if is_ntfs => {
                return Err(format!("Windows has to check it first: {why}"));
            }
            _ => {}
        }
        if tool.mounts() && fitting.mounting == Mounting::Refused {
            return Err(format!(
                "{} does so only while it is mounted: `--grow-mounted` mounts it here for that",
                usage.kind
            ));
        }
        if tool.mounts() && usage.kind == Kind::Btrfs && self.is_mounted_here(usage.uuid.as_deref()) {
            return Err("a btrfs of the same UUID is in use on this machine".into());
        }
        // What becomes smaller lies in a file of its own.
        let is_in_file = direction == Direction::Smaller && !tool.needs_device();
        match self.is_root || is_in_file {
            true => Ok(tool),
            false => Err(format!("only root can let {tool} do it here")),
        }
    }

    /// The kernel takes two btrfs with one UUID for one.
    fn is_mounted_here(&self, uuid: Option<&str>) -> bool {
        uuid.is_some_and(|uuid| std::path::Path::new("/sys/fs/btrfs").join(uuid.to_lowercase()).exists())
    }

    fn shrunk_table(&self, size: u64, fitting: &Fitting) -> Result<Fitted, String> {
        let mut sizes = BTreeMap::new();
        for (number, new) in self.cuts() {
            if self.fits(size, &sizes)? {
                break;
            }
            sizes.insert(number, new);
        }
        for room in self.smaller(fitting) {
            if self.fits(size, &sizes)? {
                break;
            }
            let Some(partition) = self.table.partition(room.number) else { continue };
            let before = sizes.insert(room.number, room.least).unwrap_or(partition.size);
            if self.fits(size, &sizes)? {
                let most = self.table.most_beside(room.number, size, &sizes).map_err(words)?;
                sizes.insert(room.number, (most / ALIGNMENT * ALIGNMENT).clamp(room.least, before));
            }
        }
        if !self.fits(size, &sizes)? {
            return Err(self.too_small(size, &sizes, fitting));
        }
        let layout = self.table.lay_out(size, &sizes).map_err(words)?;
        let change = |volume: &Volume, moved: &Moved| self.shrinkage(volume, moved.size, fitting);
        let mut fitted = self.placed(layout, size, Vec::new(), change);
        fitted.check_scratch(fitting)?;
        fitted.notes.extend(self.lost_rest(size));
        Ok(fitted)
    }

    fn fits(&self, size: u64, sizes: &BTreeMap<u32, u64>) -> Result<bool, String> {
        match self.table.lay_out(size, sizes) {
            Ok(_) => Ok(true),
            Err(LayoutError::TooSmall { .. }) => Ok(false),
            Err(error) => Err(words(error)),
        }
    }

    /// Partitions with something behind the end of their file system, and their sizes without; the most first.
    fn cuts(&self) -> Vec<(u32, u64)> {
        let slack = |volume: &Volume| volume_size(volume).saturating_sub(cut_size(volume));
        let mut cut: Vec<&Volume> = self.volumes.iter().filter(|volume| slack(volume) >= LEAST_SLACK).collect();
        cut.sort_by_key(|volume| std::cmp::Reverse(slack(volume)));
        cut.into_iter().filter_map(|volume| Some((volume.number?, cut_size(volume)))).collect()
    }

    /// Partitions that can become smaller, those with the most free space first and swap space last.
    fn smaller(&self, fitting: &Fitting) -> Vec<Smaller> {
        let mut found: Vec<Smaller> = self
            .volumes
            .iter()
            .filter_map(|volume| {
                let (number, least) = (volume.number?, self.least(volume, fitting).ok()?);
                let gain = volume_size(volume).checked_sub(least).filter(|gain| *gain > 0)?;
                Some(Smaller { number, least, gain, is_swap: volume.usage.kind == Kind::Swap })
            })
            .collect();
        found.sort_by_key(|one| (one.is_swap, std::cmp::Reverse(one.gain)));
        found
    }

    /// Bytes that a volume can be made smaller to, or why it cannot.
    fn least(&self, volume: &Volume, fitting: &Fitting) -> Result<u64, String> {
        let kind = volume.usage.kind;
        if kind == Kind::Xfs {
            return Err("XFS never gets smaller; a larger disk takes it, or its files can be restored instead".into());
        }
        let tool = self.usable(volume, fitting, Direction::Smaller)?;
        let used = self.used_of(&volume.range);
        let least = match tool {
            Tool::Mkswap => ALIGNMENT,
            Tool::BtrfsResize => used + used / 5 + (256 << 20),
            _ => used + used / 10 + (16 << 20),
        };
        Ok(least.next_multiple_of(ALIGNMENT))
    }

    fn shrinkage(&self, volume: &Volume, new: u64, fitting: &Fitting) -> Change {
        if new >= volume_size(volume) {
            return Change::None;
        }
        if new >= cut_size(volume) {
            return Change::Cut;
        }
        match self.usable(volume, fitting, Direction::Smaller) {
            Ok(Tool::Mkswap) => Change::Remake { tool: Tool::Mkswap },
            // What lies beyond the new end is there twice for a while.
            Ok(tool) => {
                let beyond = volume.range.start + new..volume.range.end;
                let scratch = self.used_of(&volume.range) + self.used_of(&beyond) + volume_size(volume) / 100;
                Change::Shrink { tool, scratch }
            }
            Err(_) => Change::None,
        }
    }

    fn shrunk_volume(&self, size: u64, fitting: &Fitting) -> Result<Fitted, String> {
        let volume = self.volumes.first().ok_or("nothing is known about it")?;
        let new = size / 4096 * 4096;
        let to = Place { start: 0, size: new };
        if cut_size(volume) > new {
            let least = self.least(volume, fitting).map_err(|why| self.cannot(volume, &why))?;
            if least > new {
                let used = self.used_of(&volume.range);
                return Err(format!("{used} bytes are in use, which need about {least}, and it has {size}"));
            }
        }
        let change = self.shrinkage(volume, new, fitting);
        let pieces = match change {
            Change::Cut => Pieces::only(0..new),
            _ => Pieces::default(),
        };
        let fitted = Fitted { parts: vec![self.part(volume, to, change)], pieces, ..Fitted::default() };
        fitted.check_scratch(fitting)?;
        Ok(fitted)
    }

    fn placed(
        &self,
        layout: Layout,
        size: u64,
        mut notes: Vec<String>,
        change: impl Fn(&Volume, &Moved) -> Change,
    ) -> Fitted {
        let mut parts = Vec::new();
        for moved in &layout.partitions {
            let Some(volume) = self.volumes.iter().find(|volume| volume.number == Some(moved.number)) else { continue };
            let to = Place { start: moved.to, size: moved.size };
            parts.push(self.part(volume, to, change(volume, moved)));
            let kind = self.table.partition(moved.number).map(|partition| &*partition.kind);
            if moved.from != moved.to && kind == Some(BIOS_BOOT) {
                notes.push(format!("partition {} moves: the boot loader has to be installed again", moved.number));
            }
        }
        let elsewhere: Vec<u32> = parts
            .iter()
            .filter(|part| matches!(part.change, Change::Shrink { .. } | Change::Remake { .. }))
            .filter_map(|part| part.number)
            .collect();
        let pieces = Pieces::of_layout(&self.table, &layout.partitions, &elsewhere, size);
        Fitted { parts, layout: Some(layout), pieces, notes }
    }

    fn part(&self, volume: &Volume, to: Place, change: Change) -> Part {
        let usage = &volume.usage;
        Part {
            number: volume.number,
            kind: usage.kind,
            label: usage.label.clone(),
            uuid: usage.uuid.clone(),
            from: Place { start: volume.range.start, size: volume_size(volume) },
            to,
            used: self.used_of(&volume.range),
            change,
        }
    }

    fn used_of(&self, range: &Extent) -> u64 {
        self.used.within(range.clone()).map(|part| part.end - part.start).sum()
    }

    /// What lies behind the last partition goes with the end of the disk.
    fn lost_rest(&self, size: u64) -> Option<String> {
        let last = self.table.partitions.iter().map(|partition| partition.range().end).max().unwrap_or(0);
        let backup = self.table.backup();
        let is_beyond = last < backup.start && backup.start > size;
        is_beyond
            .then(|| format!("{} bytes behind the last partition belong to none and are left out", backup.start - last))
    }

    fn cannot(&self, volume: &Volume, why: &str) -> String {
        let part = volume.number.map_or("it".to_owned(), |number| format!("partition {number}"));
        let (used, last) = (self.used_of(&volume.range), volume.usage.last_used());
        let kind = volume.usage.kind;
        format!("{part} ({kind}, {used} bytes in use, the last of them at {last}) cannot be made smaller: {why}")
    }

    fn too_small(&self, size: u64, sizes: &BTreeMap<u32, u64>, fitting: &Fitting) -> String {
        let needs = match self.table.lay_out(size, sizes) {
            Err(LayoutError::TooSmall { needs, .. }) => needs,
            _ => self.table.size,
        };
        // What is small does not matter.
        let counted = self.volumes.iter().filter(|volume| volume_size(volume) >= size / 16);
        let each = counted.map(|volume| match (self.least(volume, fitting), volume.number) {
            (Ok(least), Some(number)) => {
                let used = self.used_of(&volume.range);
                format!("partition {number} ({}, {used} bytes in use) about {least}", volume.usage.kind)
            }
            (Ok(least), None) => format!("it needs about {least}"),
            (Err(why), _) => self.cannot(volume, &why),
        });
        let whole = format!("its partitions need {needs} bytes at least and it has {size}");
        let reasons: Vec<String> = std::iter::once(whole).chain(each).collect();
        reasons.join("; ")
    }
}

impl Fitted {
    /// Everything below `size` where it was.
    pub(super) fn same(size: u64) -> Fitted {
        Fitted { pieces: Pieces::same(size), ..Fitted::default() }
    }

    /// Bytes that are needed for scratch files: they are made one after the other.
    pub(super) fn scratch(&self) -> u64 {
        let needs = self.parts.iter().map(|part| match part.change {
            Change::Shrink { scratch, .. } => scratch,
            _ => 0,
        });
        needs.sum()
    }

    fn check_scratch(&self, fitting: &Fitting) -> Result<(), String> {
        match (self.scratch(), &fitting.scratch) {
            (0, _) | (_, Some(_)) => Ok(()),
            (needed, None) => {
                Err(format!("it has to shrink first, which needs {needed} bytes elsewhere (`--scratch`)"))
            }
        }
    }
}

/// A partition that can become smaller.
struct Smaller {
    number: u32,
    least: u64,
    gain: u64,
    is_swap: bool,
}

fn volume_size(volume: &Volume) -> u64 {
    volume.range.end - volume.range.start
}

/// What a partition needs for its file system as it is.
fn cut_size(volume: &Volume) -> u64 {
    let whole = volume_size(volume);
    let own = volume.usage.size;
    match volume.usage.kind {
        // The last sector is a copy of the first.
        Kind::Ntfs => (own + 4096).next_multiple_of(4096).min(whole),
        Kind::Ext2 | Kind::Ext3 | Kind::Ext4 | Kind::Xfs | Kind::Btrfs | Kind::Fat32 | Kind::Exfat if own > 0 => {
            own.next_multiple_of(4096).min(whole)
        }
        _ => whole,
    }
}

/// Whether a last partition grows if nobody chose one. Swap space would hardly be what is meant.
fn grows_unasked(kind: Kind) -> bool {
    matches!(kind, Kind::Lvm | Kind::Luks) || Tool::of(kind).is_some_and(|tool| tool != Tool::Mkswap)
}

/// What a person does about what no program here does.
fn by_hand(kind: Kind) -> String {
    match kind {
        Kind::Lvm => "`pvresize` on the partition afterwards".into(),
        Kind::Luks => "`cryptsetup resize` once it is open, then what is in it".into(),
        Kind::Fat12 | Kind::Fat16 | Kind::Fat32 => "`fatresize`, or make it again and copy its files".into(),
        Kind::Unknown => "what is on it is not known".into(),
        kind => format!("{kind} is not resized here"),
    }
}

fn words(error: LayoutError) -> String {
    error.to_string()
}
