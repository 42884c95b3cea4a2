//! What of a tracker is pinned, so that it outlives its process: a folder for each disk in the kernel's bpf filesystem.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use platform::BlockDevice;
use platform::bpf::{ArrayMap, Link, Program};

use super::TrackerError;

const FILESYSTEM: &str = "/sys/fs/bpf";
const FOLDER: &str = "/sys/fs/bpf/stead";

/// A disk's folder. Unless it is kept, it is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Pins {
    folder: PathBuf,
    is_kept: bool,
}

impl Pins {
    /// The folder of that disk, there or not. Its name has what tells the disk from a later one that is called the same.
    pub(super) fn of(disk: &BlockDevice) -> Pins {
        let name = disk.name().replace(['/', '.'], "_");
        Pins::at(Path::new(FOLDER).join(format!("{name}-{}", disk.sequence().unwrap_or(0))))
    }

    fn at(folder: PathBuf) -> Pins {
        Pins { folder, is_kept: true }
    }

    /// All that are there.
    pub(super) fn all() -> io::Result<Vec<Pins>> {
        let entries = match fs::read_dir(FOLDER) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut folders = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
        folders.sort();
        Ok(folders.into_iter().map(Pins::at).collect())
    }

    /// Makes the folder. Until [`Pins::keep`], it is gone with this.
    pub(super) fn create(mut self) -> Result<Pins, TrackerError> {
        mount_if_needed().and_then(|()| make(Path::new(FOLDER))).map_err(|cause| self.error(cause))?;
        fs::create_dir(&self.folder).map_err(|cause| self.error(cause))?;
        self.is_kept = false;
        Ok(self)
    }

    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    pub(super) fn error(&self, cause: io::Error) -> TrackerError {
        TrackerError::Pin { path: self.folder.clone(), cause }
    }

    pub(super) fn name(&self) -> String {
        self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    pub(super) fn is_there(&self) -> bool {
        self.folder.is_dir()
    }

    pub(super) fn pin_map(&self, map: &ArrayMap) -> Result<(), TrackerError> {
        map.pin(&self.folder.join("marks")).map_err(|cause| self.error(cause))
    }

    pub(super) fn pin_program(&self, program: &Program) -> Result<(), TrackerError> {
        program.pin(&self.folder.join("program")).map_err(|cause| self.error(cause))
    }

    pub(super) fn pin_link(&self, link: &Link) -> Result<(), TrackerError> {
        link.pin(&self.folder.join("link")).map_err(|cause| self.error(cause))
    }

    pub(super) fn open_map(&self) -> io::Result<ArrayMap> {
        ArrayMap::open(&self.folder.join("marks"))
    }

    pub(super) fn open_program(&self) -> io::Result<Program> {
        Program::open(&self.folder.join("program"))
    }

    /// `None` if it is attached in another way, or not.
    pub(super) fn open_link(&self) -> io::Result<Option<Link>> {
        match Link::open(&self.folder.join("link")) {
            Ok(link) => Ok(Some(link)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn remove_link(&self) {
        let _ = fs::remove_file(self.folder.join("link"));
    }

    /// Takes everything away, the link first, so that nothing writes marks that nobody can find.
    pub(super) fn remove(&self) -> io::Result<()> {
        for name in ["link", "program", "marks"] {
            ignore_missing(fs::remove_file(self.folder.join(name)))?;
        }
        ignore_missing(fs::remove_dir(&self.folder))?;
        // Others may have theirs in it.
        let _ = fs::remove_dir(FOLDER);
        Ok(())
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        if !self.is_kept {
            let _ = self.remove();
        }
    }
}

fn mount_if_needed() -> io::Result<()> {
    let is_mounted =
        platform::mounts()?.iter().any(|mount| mount.kind == "bpf" && mount.mount_point == Path::new(FILESYSTEM));
    if is_mounted { Ok(()) } else { platform::mount_special("bpf", Path::new(FILESYSTEM)) }
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn ignore_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
