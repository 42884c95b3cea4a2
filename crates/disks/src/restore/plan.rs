//! What a restore would do, as a value: shown, agreed to, and executed exactly so.

use std::fmt;
use std::path::{Path, PathBuf};

use backend::Id;
use platform::hardware::System;
use repo::Repository;
use serde::Serialize;

use super::fit::{Fitted, Subject};
use super::look::Look;
use super::marker::Marker;
use super::part::{Fitting, Part};
use super::reader::ImageReader;
use super::{Options, RestoreError, resize};
use crate::image::{StoredDisk, StoredImages};
use crate::manifest;
use crate::survey::Survey;
use crate::used::Taken;

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
    /// Bytes of the target that are made use of.
    pub room: u64,
    /// What becomes of partitions and file systems, in the order of the disk, if the target has another size.
    pub parts: Vec<Part>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// Where file systems are made smaller first; `None` if none is.
    pub scratch: Option<Scratch>,
    /// How it is written; `delta` where an earlier run is continued.
    pub how: Options,
    /// An earlier run that was cut off is continued.
    pub continues: bool,
    /// What stands in the way unless somebody agrees.
    pub cautions: Vec<Caution>,
    /// Why it cannot be done at all.
    pub refusal: Option<String>,
    #[serde(skip)]
    pub(super) fitted: Fitted,
}

/// Room for file systems that are made smaller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scratch {
    /// Where.
    pub directory: PathBuf,
    /// Bytes that may be needed.
    pub bytes: u64,
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
    /// The target is larger, and the partition table or the file system is made to fit it.
    Grown,
    /// The target is smaller, and everything that is in use has its place on it.
    Smaller,
    /// The target is smaller, and file systems have to be made smaller for it.
    Shrunk,
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

/// What somebody wants.
#[derive(Clone, Debug)]
pub struct Wish<'w> {
    /// Which disk; may be left out if there is only one.
    pub disk: Option<&'w str>,
    /// Where to.
    pub target: &'w Path,
    /// How it is written.
    pub how: Options,
    /// What is to happen if the target has another size.
    pub fitting: Fitting,
}

/// Says what restoring a disk of a snapshot would do. Where the target has another size, the image's tables and the records of
/// its file systems are read for that.
pub fn plan(
    repo: &Repository,
    images: &StoredImages,
    wish: &Wish<'_>,
    around: &Surroundings,
) -> Result<Plan, RestoreError> {
    let name = chosen(images, wish.disk)?;
    let (stored, said) = images.disk(&name).ok_or_else(|| no_disk(images, &name))?;
    let look = Look { path: wish.target, around };
    let (target, cautions) = look.at_target()?;
    let mut refusal = look.refusal(&target)?;
    let source = Source { repo, stored, said };
    let (room, is_odd) = (room(source.size(), &target, wish.fitting.size), has_other_sectors(&target, said));
    if wish.fitting.size.is_some() && target.kind == TargetKind::Device {
        refusal.get_or_insert_with(|| "a device has the size that it has; `--size` is for files".into());
    }
    let (fit, fitted) = match refusal.is_some() {
        true => (Fit::Exactly, Fitted::same(source.size())),
        false => source.fit(room, is_odd, &wish.fitting)?,
    };
    if let Fit::Not { because } = &fit {
        refusal.get_or_insert_with(|| format!("the disk does not fit, because {because}"));
    }
    let scratch = scratch(&fitted, &wish.fitting);
    if let Some(scratch) = &scratch {
        refusal = refusal.or(look.refusal_of_scratch(&target, scratch)?);
    }
    let mut plan = Plan {
        snapshot: images.snapshot,
        disk: name,
        size: source.size(),
        used: said.used.extents(source.size()).bytes(),
        fit,
        room,
        parts: fitted.parts.clone(),
        notes: fitted.notes.clone(),
        scratch,
        refusal,
        target,
        how: wish.how,
        continues: false,
        cautions,
        fitted,
    };
    if let Some(sector) = plan.target.sector.filter(|_| is_odd) {
        plan.cautions.push(Caution::OtherSectors { image: said.logical_sector, target: sector });
    }
    if around.state.as_deref().is_some_and(|state| plan.marker().is_set(state)) {
        plan.continues = true;
        plan.how.delta = true;
        plan.cautions.retain(|caution| *caution != Caution::NotEmpty);
    }
    Ok(plan)
}

/// A disk of a snapshot.
struct Source<'s> {
    repo: &'s Repository,
    stored: &'s StoredDisk,
    said: &'s manifest::Disk,
}

impl Source<'_> {
    fn size(&self) -> u64 {
        self.stored.geometry.size()
    }

    /// Whether and how it fits that many bytes; `is_odd` if their sectors are others, so that tables cannot be changed.
    fn fit(&self, room: u64, is_odd: bool, fitting: &Fitting) -> Result<(Fit, Fitted), RestoreError> {
        let size = self.size();
        let same = |fit| Ok((fit, Fitted::same(size)));
        let not = |because| Ok((Fit::Not { because }, Fitted::same(size)));
        match room.checked_sub(size) {
            Some(0) => same(Fit::Exactly),
            Some(rest) if is_odd => same(Fit::Larger { rest }),
            Some(rest) => match self.subject()?.grown(room, fitting) {
                Ok(Some(fitted)) => Ok((Fit::Grown, fitted)),
                Ok(None) => same(Fit::Larger { rest }),
                Err(because) => not(because),
            },
            None if is_odd => not("its sectors have another size and it is smaller".to_owned()),
            None => self.fit_smaller(room, fitting),
        }
    }

    fn fit_smaller(&self, room: u64, fitting: &Fitting) -> Result<(Fit, Fitted), RestoreError> {
        let subject = self.subject()?;
        let not = |because| Ok((Fit::Not { because }, Fitted::same(self.size())));
        if subject.is_unknown() {
            let is_zero = ImageReader::new(self.repo, self.stored).is_zero_from(room).map_err(RestoreError::Look)?;
            return match is_zero {
                true => Ok((Fit::Smaller, Fitted::same(room))),
                false => not(format!("there is something beyond its {room} bytes, and nothing is known about what")),
            };
        }
        match subject.shrunk(room, fitting) {
            Ok(fitted) if fitted.scratch() > 0 => Ok((Fit::Shrunk, fitted)),
            Ok(fitted) => Ok((Fit::Smaller, fitted)),
            Err(because) => not(because),
        }
    }

    fn subject(&self) -> Result<Subject, RestoreError> {
        let reader = ImageReader::new(self.repo, self.stored);
        let survey = Survey::of(&reader, self.said.logical_sector.into(), Taken::AsFound);
        let Survey { table, volumes, .. } = survey.map_err(RestoreError::Look)?;
        Ok(Subject {
            table,
            volumes,
            used: self.said.used.extents(self.size()),
            has_program: resize::has_program,
            is_root: platform::effective_uid() == 0,
        })
    }
}

/// Bytes that the target has for the disk.
fn room(size: u64, target: &TargetFacts, wished: Option<u64>) -> u64 {
    match target.kind {
        TargetKind::Device => target.size,
        TargetKind::File | TargetKind::NewFile => wished.unwrap_or(target.size.max(size)),
    }
}

fn has_other_sectors(target: &TargetFacts, said: &manifest::Disk) -> bool {
    target.sector.is_some_and(|sector| sector != said.logical_sector)
}

fn scratch(fitted: &Fitted, fitting: &Fitting) -> Option<Scratch> {
    let directory = fitting.scratch.clone().filter(|_| fitted.scratch() > 0)?;
    Some(Scratch { directory, bytes: fitted.scratch() })
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

impl Plan {
    pub(super) fn marker(&self) -> Marker {
        let TargetFacts { path, serial, .. } = &self.target;
        let target = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        // A file grows with the restore.
        let size = self.room;
        Marker { snapshot: self.snapshot, disk: self.disk.clone(), target, size, serial: serial.clone() }
    }

    /// The warnings in one line.
    pub fn warnings(&self) -> String {
        self.cautions.iter().map(Caution::to_string).collect::<Vec<_>>().join("; ")
    }
}
