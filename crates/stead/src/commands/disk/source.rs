//! What a disk image is read from: a device that nobody uses, or a file.

use std::fs::File;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use disks::inventory::{Disk, Inventory, Partition};
use disks::manifest::Identity;
use disks::{Extents, ReadAt, SizedFile};
use platform::direct::{self, Claim, DirectFile};
use platform::hardware::System;
use platform::{DeviceNumber, Span};

use crate::failure::{Failure, Outcome};

/// An open device or file.
pub(super) struct Source {
    /// Absolute.
    pub(super) path: PathBuf,
    /// Its content.
    pub(super) reader: SizedFile,
    /// What is in use of it.
    pub(super) used: Extents,
    /// Bytes of its sectors.
    pub(super) sectors: (u32, u32),
    /// What tells it from others.
    pub(super) identity: Identity,
    /// The kernel's name of the disk; `None` for a file.
    disk: Option<String>,
    handle: File,
    /// Keeps others from mounting the device meanwhile.
    _claim: Option<DirectFile>,
}

/// Sectors of files.
const SECTORS: (u32, u32) = (512, 512);

impl Source {
    /// Opens what a path names.
    pub(super) fn open(path: &Path, inventory: &Inventory) -> Outcome<Source> {
        let absolute = std::path::absolute(path).map_err(|error| Failure::io("find", path, error))?;
        let metadata = std::fs::metadata(&absolute).map_err(|error| Failure::io("look at", path, error))?;
        match metadata.file_type() {
            kind if kind.is_block_device() => Source::device(absolute, inventory),
            kind if kind.is_file() => Source::file(absolute),
            _ => Err(Failure::new(format!("{} is neither a block device nor a file", path.display()))
                .hint("`stead disk list` shows the disks of this machine; folders are for `stead backup`")),
        }
    }

    fn file(path: PathBuf) -> Outcome<Source> {
        let failed = |error| Failure::io("read", &path, error);
        let handle = File::open(&path).map_err(failed)?;
        let reader = SizedFile::new(handle.try_clone().map_err(failed)?).map_err(failed)?;
        let used = written_parts(&handle, reader.size()).map_err(failed)?;
        Ok(Source {
            path,
            reader,
            used,
            sectors: SECTORS,
            identity: Identity::default(),
            disk: None,
            handle,
            _claim: None,
        })
    }

    fn device(path: PathBuf, inventory: &Inventory) -> Outcome<Source> {
        let failed = |error| Failure::io("read", &path, error);
        let device = DeviceNumber::of(&path).and_then(|number| System::this().device_of(number)).map_err(failed)?;
        let disk = device.as_ref().and_then(|device| inventory.disk(&device.name));
        if let Some(disk) = disk {
            refuse_used(&path, disk, disk.partitions.iter().find(|part| path.ends_with(&part.name)))?;
        }
        let claim = DirectFile::open(&path, Claim::Exclusive).map_err(|error| match error.kind() {
            std::io::ErrorKind::ResourceBusy => in_use(&path, "somebody has it open for themselves"),
            _ => failed(error),
        })?;
        // By way of the page cache, which reads ahead: what others wrote through it is seen, too.
        let handle = File::open(&path).map_err(failed)?;
        let sectors = direct::sector_sizes(&handle).map_err(failed)?;
        let reader = SizedFile::new(handle.try_clone().map_err(failed)?).map_err(failed)?;
        let identity = disk.map_or_else(Identity::default, |disk| Identity {
            model: disk.model.clone(),
            serial: disk.serial.clone(),
            wwn: disk.wwn.clone(),
        });
        let used = Extents::all(reader.size());
        let disk = disk.map(|disk| disk.name.clone());
        Ok(Source { path, reader, used, sectors, identity, disk, handle, _claim: Some(claim) })
    }

    /// Something that changes whenever the disk is written to: of a file its times, of a device the kernel's count of written
    /// sectors since this start of the machine. `None` where nobody counts.
    pub(super) fn stamp(&self) -> Option<String> {
        match &self.disk {
            None => {
                let now = self.handle.metadata().ok()?;
                let (mtime, ctime) = ((now.mtime(), now.mtime_nsec()), (now.ctime(), now.ctime_nsec()));
                Some(format!("file {} {} {} {mtime:?} {ctime:?}", now.dev(), now.ino(), now.len()))
            }
            Some(disk) => {
                self.handle.sync_all().ok()?;
                let boot = platform::boot_id().ok()?;
                Some(format!("device {disk} {boot} {}", System::this().sectors_written(disk)?))
            }
        }
    }
}

/// What is mounted cannot be read as one instant by reading it.
fn refuse_used(path: &Path, disk: &Disk, part: Option<&Partition>) -> Outcome {
    let (mounted, users) = match part {
        Some(part) => {
            let users = part.content.used_by.iter().map(String::as_str).chain(part.content.swap.then_some("swap"));
            (part.content.mounted.iter().map(String::as_str).collect(), users.collect())
        }
        None => (disk.mounted(), disk.users()),
    };
    if !mounted.is_empty() {
        return Err(in_use(path, &format!("it is mounted at {}", mounted.join(", "))));
    }
    if !users.is_empty() {
        return Err(in_use(path, &format!("it is in use by {}", users.join(", "))));
    }
    Ok(())
}

fn in_use(path: &Path, why: &str) -> Failure {
    Failure::new(format!("cannot take a consistent image of {}: {why}", path.display()))
        .hint("unmount it first, or back up its files with `stead backup`")
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
