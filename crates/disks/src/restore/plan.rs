//! What a restore would do, as a value: shown, agreed to, and executed exactly so.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use backend::Id;
use platform::hardware::{self, System};
use platform::{DeviceNumber, direct};
use serde::Serialize;

use super::marker::Marker;
use super::{Options, RestoreError};
use crate::image::StoredImages;
use crate::inventory::{self, Inventory};

/// What would be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// From which snapshot.
    pub snapshot: Id,
    /// Which of its disks.
    pub disk: String,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes of it that were in use.
    pub used: u64,
    /// Where to.
    pub target: TargetFacts,
    /// Whether it fits.
    pub fit: Fit,
    /// How it is written; `delta` where an earlier run is continued.
    pub how: Options,
    /// An earlier run that was cut off is continued.
    pub continues: bool,
    /// What stands in the way unless somebody agrees.
    pub cautions: Vec<Caution>,
    /// Why it cannot be done at all.
    pub refusal: Option<String>,
}

/// What is known about the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetFacts {
    /// As it was named.
    pub path: PathBuf,
    /// What has to be typed to agree: the kernel's name of a device, the name of a file.
    pub name: String,
    /// A file or a device.
    pub kind: TargetKind,
    /// Bytes; of a file that does not exist, 0.
    pub size: u64,
    /// Maker and model of a device.
    pub model: Option<String>,
    /// Serial number of a device.
    pub serial: Option<String>,
    /// Bytes of a device's sectors.
    pub sector: Option<u32>,
    /// Partitions and file systems on it, one a line.
    pub content: Vec<String>,
}

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// A file that does not exist yet.
    NewFile,
    /// A file.
    File,
    /// A block device.
    Device,
}

/// Whether the disk fits the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "fits")]
pub enum Fit {
    /// Exactly, or the target grows.
    Exactly,
    /// With bytes left behind it, which stay as they are.
    Larger {
        /// How many.
        rest: u64,
    },
    /// Not.
    Not {
        /// Why.
        because: String,
    },
}

/// What stands in the way unless somebody agrees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "caution")]
pub enum Caution {
    /// File systems on it are mounted.
    Mounted {
        /// Where.
        at: Vec<String>,
    },
    /// Something is built on it or swaps to it.
    InUse {
        /// What.
        by: Vec<String>,
    },
    /// There is something on it.
    NotEmpty,
    /// Its sectors have another size, with which tables and some file systems do not work.
    OtherSectors {
        /// The image's, in bytes.
        image: u32,
        /// The target's, in bytes.
        target: u32,
    },
}

impl fmt::Display for Caution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Caution::Mounted { at } => write!(f, "it is mounted at {}", at.join(", ")),
            Caution::InUse { by } => write!(f, "it is in use by {}", by.join(", ")),
            Caution::NotEmpty => f.write_str("it is not empty"),
            Caution::OtherSectors { image, target } => {
                write!(f, "its sectors have {target} bytes, those of the imaged disk {image}")
            }
        }
    }
}

/// What a plan has to know besides image and target.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The machine.
    pub system: System,
    /// The directory of the repository, if it is on this machine.
    pub repository: Option<PathBuf>,
    /// Where notes about begun restores are kept; `None` for nowhere.
    pub state: Option<PathBuf>,
}

/// Says what restoring a disk of a snapshot would do. `disk` may be left out if there is only one.
pub fn plan(
    images: &StoredImages,
    disk: Option<&str>,
    target: &Path,
    how: Options,
    around: &Surroundings,
) -> Result<Plan, RestoreError> {
    let name = chosen(images, disk)?;
    let (stored, said) = images.disk(&name).ok_or_else(|| no_disk(images, &name))?;
    let look = Look { path: target, around };
    let (target, mut cautions) = look.at_target()?;
    let size = stored.geometry.size();
    let mut plan = Plan {
        snapshot: images.snapshot,
        disk: name,
        size,
        used: said.used.extents(size).bytes(),
        fit: fit(size, &target),
        refusal: look.refusal(&target)?,
        target,
        how,
        continues: false,
        cautions: Vec::new(),
    };
    if let Some(sector) = plan.target.sector.filter(|sector| *sector != said.logical_sector) {
        cautions.push(Caution::OtherSectors { image: said.logical_sector, target: sector });
    }
    if around.state.as_deref().is_some_and(|state| plan.marker().is_set(state)) {
        plan.continues = true;
        plan.how.delta = true;
        cautions.retain(|caution| *caution != Caution::NotEmpty);
    }
    if let Fit::Not { because } = &plan.fit {
        plan.refusal.get_or_insert_with(|| format!("the disk does not fit, because {because}"));
    }
    plan.cautions = cautions;
    Ok(plan)
}

fn chosen(images: &StoredImages, disk: Option<&str>) -> Result<String, RestoreError> {
    match (disk, &images.disks[..]) {
        // The name of the disk, or that of its directory; a file's own name may end like a directory's.
        (Some(name), disks) if disks.iter().any(|disk| disk.name.as_str() == name) => Ok(name.to_owned()),
        (Some(name), _) => Ok(name.strip_suffix(".img").unwrap_or(name).to_owned()),
        (None, [only]) => Ok(only.name.to_string()),
        (None, _) => Err(no_disk(images, "")),
    }
}

fn no_disk(images: &StoredImages, name: &str) -> RestoreError {
    let names: Vec<&str> = images.disks.iter().map(|disk| disk.name.as_str()).collect();
    RestoreError::NoDisk { snapshot: images.snapshot, name: name.to_owned(), known: names.join(", ") }
}

fn fit(size: u64, target: &TargetFacts) -> Fit {
    match (target.kind, target.size.checked_sub(size)) {
        (TargetKind::NewFile, _) | (_, Some(0)) => Fit::Exactly,
        (_, Some(rest)) => Fit::Larger { rest },
        (TargetKind::File, None) => Fit::Exactly,
        (TargetKind::Device, None) => {
            let has = target.size;
            Fit::Not { because: format!("it has {size} bytes and {} has {has}", target.path.display()) }
        }
    }
}

impl Plan {
    pub(super) fn marker(&self) -> Marker {
        let TargetFacts { path, serial, .. } = &self.target;
        let target = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        // A file grows with the restore.
        let size = if self.target.kind == TargetKind::Device { self.target.size } else { self.size };
        Marker { snapshot: self.snapshot, disk: self.disk.clone(), target, size, serial: serial.clone() }
    }

    /// The warnings in one line.
    pub fn warnings(&self) -> String {
        self.cautions.iter().map(Caution::to_string).collect::<Vec<_>>().join("; ")
    }
}

/// A look at a target.
pub(super) struct Look<'l> {
    pub(super) path: &'l Path,
    pub(super) around: &'l Surroundings,
}

impl Look<'_> {
    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> RestoreError {
        let path = self.path.to_owned();
        move |cause| RestoreError::Target { action, path: path.clone(), cause }
    }

    pub(super) fn at_target(&self) -> Result<(TargetFacts, Vec<Caution>), RestoreError> {
        use std::os::unix::fs::FileTypeExt;
        let metadata = match std::fs::metadata(self.path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((self.new_file(), Vec::new())),
            Err(error) => return Err(self.failed("look at")(error)),
        };
        match metadata.file_type() {
            kind if kind.is_block_device() => self.at_device(),
            kind if kind.is_file() => {
                let cautions = if metadata.len() > 0 { vec![Caution::NotEmpty] } else { Vec::new() };
                Ok((TargetFacts { kind: TargetKind::File, size: metadata.len(), ..self.new_file() }, cautions))
            }
            _ => Err(RestoreError::Refused(format!("{} is neither a file nor a block device", self.path.display()))),
        }
    }

    fn new_file(&self) -> TargetFacts {
        TargetFacts {
            path: self.path.to_owned(),
            name: self.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            kind: TargetKind::NewFile,
            size: 0,
            model: None,
            serial: None,
            sector: None,
            content: Vec::new(),
        }
    }

    fn at_device(&self) -> Result<(TargetFacts, Vec<Caution>), RestoreError> {
        let failed = || self.failed("look at");
        let inventory = Inventory::of(&self.around.system, "").map_err(failed())?;
        let number = DeviceNumber::of(self.path).map_err(failed())?;
        let device = self.around.system.device_of(number).map_err(failed())?;
        let disk = device.as_ref().and_then(|device| inventory.disk(&device.name));
        let partition = device.as_ref().and_then(|device| {
            let is_it = |partition: &&hardware::Partition| partition.number == number;
            device.partitions.iter().find(is_it)
        });
        let mut file = File::open(self.path).map_err(self.failed("open"))?;
        let size = file.seek(SeekFrom::End(0)).map_err(failed())?;
        let sectors = direct::sector_sizes(&file).map_err(failed())?;
        let part = partition.and_then(|part| disk?.partitions.iter().find(|known| known.name == part.name));
        let facts = TargetFacts {
            name: part
                .map(|part| part.name.clone())
                .or(disk.map(|disk| disk.name.clone()))
                .unwrap_or(self.new_file().name),
            kind: TargetKind::Device,
            size,
            model: disk.and_then(|disk| disk.model.clone()),
            serial: disk.and_then(|disk| disk.serial.clone()),
            sector: Some(sectors.0),
            content: disk.map(|disk| content(disk, part)).unwrap_or_default(),
            ..self.new_file()
        };
        let mut cautions = disk.map(|disk| in_use(disk, part)).unwrap_or_default();
        if !facts.content.is_empty() || !is_blank(&mut file, size).map_err(self.failed("read"))? {
            cautions.push(Caution::NotEmpty);
        }
        Ok((facts, cautions))
    }

    /// A disk that holds the repository must not be overwritten with what is in it.
    fn refusal(&self, target: &TargetFacts) -> Result<Option<String>, RestoreError> {
        let Some(repository) = self.around.repository.as_deref().filter(|_| target.kind == TargetKind::Device) else {
            return Ok(None);
        };
        let failed = || self.failed("look at");
        let below = inventory::disks_below(&self.around.system, repository).map_err(failed())?;
        let number = DeviceNumber::of(self.path).map_err(failed())?;
        let device = self.around.system.device_of(number).map_err(failed())?;
        Ok(device.filter(|device| below.contains(&device.name)).map(|device| {
            format!("the repository at {} lies on {}, which would overwrite it", repository.display(), device.name)
        }))
    }
}

/// What is on a disk, or on a partition of it.
fn content(disk: &inventory::Disk, part: Option<&inventory::Partition>) -> Vec<String> {
    let line = |name: &str, size: u64, content: &inventory::Content| {
        let mut line = format!("{name}, {size} bytes");
        for (word, text) in [("", &content.file_system), ("label ", &content.label)] {
            line.extend(text.iter().map(|text| format!(", {word}{text}")));
        }
        line.extend(content.mounted.iter().map(|place| format!(", mounted at {place}")));
        line
    };
    match part {
        Some(part) if part.content == inventory::Content::default() => Vec::new(),
        Some(part) => vec![line(&part.name, part.size, &part.content)],
        None => {
            let whole =
                (disk.content != inventory::Content::default()).then(|| line(&disk.name, disk.size, &disk.content));
            let parts = disk.partitions.iter().map(|part| line(&part.name, part.size, &part.content));
            whole.into_iter().chain(parts).collect()
        }
    }
}

fn in_use(disk: &inventory::Disk, part: Option<&inventory::Partition>) -> Vec<Caution> {
    let (mounted, users): (Vec<&str>, Vec<&str>) = match part {
        None => (disk.mounted(), disk.users()),
        Some(part) => (
            part.content.mounted.iter().map(String::as_str).collect(),
            part.content.used_by.iter().map(String::as_str).chain(part.content.swap.then_some("swap")).collect(),
        ),
    };
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mounted = (!mounted.is_empty()).then(|| Caution::Mounted { at: owned(mounted) });
    let users = (!users.is_empty()).then(|| Caution::InUse { by: owned(users) });
    mounted.into_iter().chain(users).collect()
}

/// True if there is nothing where tables and file systems begin and end.
fn is_blank(file: &mut File, size: u64) -> io::Result<bool> {
    const LOOK: u64 = 1 << 20;
    let mut content = Vec::new();
    for start in [0, size.saturating_sub(LOOK)] {
        file.seek(SeekFrom::Start(start))?;
        content.clear();
        file.take(LOOK).read_to_end(&mut content)?;
        if content.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
    }
    Ok(true)
}
