//! What a disk image is read from: a device, in use or not, or a file.

use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use disks::inventory::{Disk, Inventory, disks_below};
use disks::manifest::Identity;
use disks::provider::Inconsistent;
use disks::survey::{LiveSurvey, Survey};
use disks::used::Taken;
use disks::{Extents, ReadAt, SizedFile};
use platform::hardware::System;
use platform::{DeviceNumber, Span};

use super::view::{Purpose, Seen, Trackers};
use crate::failure::{Failure, Outcome};

/// What is imaged.
pub(super) struct Source {
    /// Absolute.
    pub(super) path: PathBuf,
    /// Bytes.
    pub(super) size: u64,
    /// Bytes of its sectors.
    pub(super) sectors: (u32, u32),
    /// What tells it from others.
    pub(super) identity: Identity,
    /// What it is read from.
    pub(super) content: Content,
}

/// What a disk is read from.
pub(super) enum Content {
    /// A file, which nobody is expected to write.
    File(Box<ImageFile>),
    /// A device.
    Device(Box<Device>),
}

/// A file that holds a disk.
pub(super) struct ImageFile {
    pub(super) reader: SizedFile,
    pub(super) survey: Survey,
    /// What is in use and no hole.
    pub(super) used: Extents,
    handle: File,
}

/// A device, with the view that was chosen for it.
pub(super) struct Device {
    pub(super) seen: Seen,
    pub(super) survey: LiveSurvey,
    /// What was on the snapshot that it was read from, if it was.
    pub(super) seen_survey: Option<Survey>,
    /// What was in use when it was opened.
    pub(super) used: Extents,
    /// The kernel's name of the disk.
    pub(super) disk: Option<String>,
}

/// How devices are opened.
#[derive(Clone, Copy)]
pub(super) struct Opening<'o> {
    pub(super) inventory: &'o Inventory,
    pub(super) inconsistent: Inconsistent,
    pub(super) purpose: Purpose,
    pub(super) trackers: &'o Trackers,
    /// When the run began.
    pub(super) now: jiff::Timestamp,
    /// A device that a snapshot may keep changes on.
    pub(super) store: Option<&'o Path>,
    /// The directory of the repository, if it is on this machine.
    pub(super) repository: Option<&'o Path>,
}

/// Sectors of files.
const SECTORS: (u32, u32) = (512, 512);

impl Source {
    /// Opens what a path names.
    pub(super) fn open(path: &Path, opening: Opening<'_>) -> Outcome<Source> {
        let absolute = std::path::absolute(path).map_err(|error| Failure::io("find", path, error))?;
        let metadata = std::fs::metadata(&absolute).map_err(|error| Failure::io("look at", path, error))?;
        match metadata.file_type() {
            kind if kind.is_block_device() => Source::device(absolute, opening),
            kind if kind.is_file() => Source::file(absolute),
            _ => Err(Failure::new(format!("{} is neither a block device nor a file", path.display()))
                .hint("`stead disk list` shows the disks of this machine; folders are for `stead backup`")),
        }
    }

    fn file(path: PathBuf) -> Outcome<Source> {
        let failed = |error| Failure::io("read", &path, error);
        let handle = File::open(&path).map_err(failed)?;
        let reader = SizedFile::new(handle.try_clone().map_err(failed)?).map_err(failed)?;
        let survey = Survey::of(&reader, u64::from(SECTORS.0), Taken::AsFound).map_err(failed)?;
        let used = written_parts(&handle, reader.size()).map_err(failed)?.intersection(&survey.used());
        let (size, identity) = (reader.size(), Identity::default());
        let content = Content::File(Box::new(ImageFile { reader, survey, used, handle }));
        Ok(Source { path, size, sectors: SECTORS, identity, content })
    }

    fn device(path: PathBuf, opening: Opening<'_>) -> Outcome<Source> {
        let failed = |error: std::io::Error| {
            let is_denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            let failure = Failure::io("read", &path, error);
            if is_denied { failure.hint("only root may read disks") } else { failure }
        };
        let device = DeviceNumber::of(&path).and_then(|number| System::this().device_of(number)).map_err(failed)?;
        let disk = device.as_ref().and_then(|device| opening.inventory.disk(&device.name));
        if let Some((disk, repository)) = disk.zip(opening.repository) {
            refuse_own(&path, disk, repository)?;
        }
        // What waits in the page cache would be written while it is read.
        File::open(&path).and_then(|handle| handle.sync_all()).map_err(failed)?;
        let mut survey = LiveSurvey::open(&path).map_err(failed)?;
        let used = survey.used().map_err(failed)?;
        let seen = Seen::choose(&path, opening)?;
        let identity = disk.map_or_else(Identity::default, |disk| Identity {
            model: disk.model.clone(),
            serial: disk.serial.clone(),
            wwn: disk.wwn.clone(),
        });
        let (size, sectors, disk) = (survey.size(), survey.sectors(), disk.map(|disk| disk.name.clone()));
        let content = Content::Device(Box::new(Device { seen, survey, seen_survey: None, used, disk }));
        Ok(Source { path, size, sectors, identity, content })
    }

    /// False if it is a file.
    pub(super) fn is_device(&self) -> bool {
        matches!(self.content, Content::Device(_))
    }

    /// What was in use when it was opened.
    pub(super) fn used(&self) -> &Extents {
        match &self.content {
            Content::File(file) => &file.used,
            Content::Device(device) => &device.used,
        }
    }

    /// The first byte on its disk; 0 of a whole disk or a file, `None` if that cannot be told.
    pub(super) fn start(&self) -> Option<u64> {
        match &self.content {
            Content::File(_) => Some(0),
            Content::Device(device) => device.seen.span().ok().map(|span| span.start),
        }
    }

    /// What is on it, as of when it was looked at last.
    pub(super) fn survey(&self) -> &Survey {
        match &self.content {
            Content::File(file) => &file.survey,
            Content::Device(device) => device.seen_survey.as_ref().unwrap_or(device.survey.survey()),
        }
    }
}

impl ImageFile {
    /// Something that changes whenever the file is written to.
    pub(super) fn stamp(&self) -> Option<String> {
        let now = self.handle.metadata().ok()?;
        let (mtime, ctime) = ((now.mtime(), now.mtime_nsec()), (now.ctime(), now.ctime_nsec()));
        Some(format!("file {} {} {} {mtime:?} {ctime:?}", now.dev(), now.ino(), now.len()))
    }
}

impl Device {
    /// Something that changes whenever an unused device is written to: the kernel's count of written sectors since this start
    /// of the machine. Nothing of one that is in use.
    pub(super) fn count_stamp(&self) -> Option<String> {
        self.count().filter(|_| !self.seen.is_live())
    }

    fn count(&self) -> Option<String> {
        let disk = self.disk.as_ref()?;
        let boot = platform::boot_id().ok()?;
        Some(format!("device {disk} {boot} {}", System::this().sectors_written(disk)?))
    }
}

/// Whatever is stored would be read again, without end.
fn refuse_own(path: &Path, disk: &Disk, repository: &Path) -> Outcome {
    let below = disks_below(&System::this(), repository).map_err(|error| Failure::io("look at", repository, error))?;
    if !below.contains(&disk.name) {
        return Ok(());
    }
    let (path, repository) = (path.display(), repository.display());
    let why = format!("cannot image {path}: the repository at {repository} lies on {}", disk.name);
    Err(Failure::new(format!("{why}, so the image would contain itself"))
        .hint("keep the repository on another disk, or back up the files with `stead backup`"))
}

/// The parts of a file that are no holes.
fn written_parts(file: &File, size: u64) -> std::io::Result<Extents> {
    let mut used = Extents::new();
    let mut at = 0;
    while let Some(span) = platform::next_span(file, at, size)? {
        let (Span::Hole(range) | Span::Data(range)) = &span;
        at = range.end;
        if let Span::Data(range) = span {
            used.insert(range);
        }
    }
    Ok(used)
}
