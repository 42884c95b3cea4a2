//! Files whose content is left out of the image of the disk that they lie on: those of a spool, which would become part of
//! what it holds.
//!
//! Their blocks count as free. What filesystems say of the place of a file is exact once they are frozen, if they write into
//! the place that a file has: then no other file has those blocks. Before that it may be out of date as the map of what is free
//! may be, and is asked for again. What cannot be told is not left out, which costs room and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use platform::{BlockDevice, DeviceNumber};

use crate::provider::Programs;
use crate::{Extents, Places, PlacesError};

/// Kinds of filesystems, as `statfs(2)` numbers them.
const EXT: u64 = 0xef53;
const XFS: u64 = 0x5846_5342;

/// Why files cannot be left out.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LeftOutError {
    #[error("cannot look at {}: {cause}", path.display())]
    Look { path: PathBuf, cause: io::Error },
    #[error("only of ext4 and XFS it is known which blocks are a file's, and {} is on another file system", .0.display())]
    Kind(PathBuf),
    #[error("the file system does not tell where the files of {} lie", .0.display())]
    Untold(PathBuf),
    #[error("the file system of {} was moved or resized while it was read", .0.display())]
    Moved(PathBuf),
    #[error(transparent)]
    Places(#[from] PlacesError),
}

/// The files below a folder of a mounted filesystem.
#[derive(Debug)]
pub struct LeftOut {
    folder: PathBuf,
    device: u64,
    places: Places,
    /// All are open, so that nothing need be opened, or closed, while the filesystem is frozen.
    files: BTreeMap<PathBuf, File>,
    /// So many at most.
    most_files: usize,
    is_settled: bool,
}

impl LeftOut {
    /// The files below a folder, which must have one already. All of them are kept open: if there are more than `most_files`,
    /// the others are part of the image.
    pub fn below(folder: &Path, most_files: usize, programs: &dyn Programs) -> Result<LeftOut, LeftOutError> {
        check_kind(folder)?;
        let look = |cause| LeftOutError::Look { path: folder.to_owned(), cause };
        let device = fs::metadata(folder).map_err(look)?.dev();
        let places = places_of(device, folder, programs)?;
        let folder = folder.to_owned();
        let mut left_out = LeftOut { folder, device, places, files: BTreeMap::new(), most_files, is_settled: false };
        left_out.look()?;
        match left_out.on_disk().is_empty() {
            true => Err(LeftOutError::Untold(left_out.folder)),
            false => Ok(left_out),
        }
    }

    /// The disk that they lie on.
    pub fn disk(&self) -> &BlockDevice {
        self.places.disk()
    }

    /// Fails if their filesystem lies elsewhere on the disk by now, so that wrong blocks may have been left out.
    pub fn check(&self, programs: &dyn Programs) -> Result<(), LeftOutError> {
        match places_of(self.device, &self.folder, programs)? == self.places {
            true => Ok(()),
            false => Err(LeftOutError::Moved(self.folder.clone())),
        }
    }

    /// All of the disk that is their filesystem's.
    pub fn filesystem(&self) -> Extents {
        self.places.all_on_disk()
    }

    /// Where their content lies on the disk now. Files that are new are found before [`LeftOut::settle`], not after it: then
    /// nothing is opened, and nobody waited for.
    pub fn now_on_disk(&mut self) -> Result<Extents, LeftOutError> {
        if !self.is_settled {
            self.look()?;
        }
        Ok(self.on_disk())
    }

    /// Looks for new files once more: the filesystem is about to be frozen.
    pub fn settle(&mut self) -> Result<(), LeftOutError> {
        self.look()?;
        self.is_settled = true;
        Ok(())
    }

    /// It is thawed.
    pub fn unsettle(&mut self) {
        self.is_settled = false;
    }

    fn on_disk(&self) -> Extents {
        let mut ranges = Extents::new();
        for file in self.files.values() {
            // One that cannot be asked is part of the image.
            let mut its = Vec::new();
            if platform::own_ranges(file, |range| its.push(range)).is_ok() {
                ranges.extend(its);
            }
        }
        self.places.on_disk(&ranges)
    }

    fn look(&mut self) -> Result<(), LeftOutError> {
        let mut found = BTreeSet::new();
        let mut folders = vec![self.folder.clone()];
        while let Some(folder) = folders.pop() {
            let look = |cause| LeftOutError::Look { path: folder.clone(), cause };
            for entry in fs::read_dir(&folder).map_err(look)? {
                let entry = entry.map_err(look)?;
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    Ok(kind) if kind.is_file() => {
                        found.insert(entry.path());
                    }
                    _ => {}
                }
            }
        }
        self.files.retain(|path, _| found.contains(path));
        for path in found {
            // One that was renamed meanwhile, that cannot be opened or has another name elsewhere is part of the image.
            let is_ours = |its: fs::Metadata| its.is_file() && its.dev() == self.device && its.nlink() == 1;
            if self.files.len() < self.most_files
                && !self.files.contains_key(&path)
                && let Ok(file) = File::open(&path)
                && file.metadata().is_ok_and(is_ours)
            {
                self.files.insert(path, file);
            }
        }
        Ok(())
    }
}

fn places_of(device: u64, folder: &Path, programs: &dyn Programs) -> Result<Places, LeftOutError> {
    let block = BlockDevice::new(DeviceNumber::from_stat(device));
    let look = |cause| LeftOutError::Look { path: folder.to_owned(), cause };
    Ok(Places::of(&block.map_err(look)?, programs)?)
}

/// Fails unless the filesystem of a folder writes into the place that a file has, and tells where that is.
pub fn check_kind(folder: &Path) -> Result<(), LeftOutError> {
    let volume = platform::volume(folder.as_os_str().as_encoded_bytes());
    match volume.map_err(|cause| LeftOutError::Look { path: folder.to_owned(), cause })?.kind {
        EXT | XFS => Ok(()),
        _ => Err(LeftOutError::Kind(folder.to_owned())),
    }
}
