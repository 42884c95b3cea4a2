//! What an image in the making needs to go on after its process died: a small file per disk, rewritten every few seconds,
//! and the list of packs that no index file names yet.
//!
//! Nothing in it is believed blindly: chunks count only if the repository's index has them, and chunks that may have changed
//! since are read again. A file that is damaged or of another disk is as good as none.

mod adopt;
mod file;
mod keeper;
mod packs;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use backend::Id;
use jiff::Timestamp;
use repo::{BlobHandle, BlobKind, Repository};
use serde::{Deserialize, Serialize};

pub use keeper::Keeper;
pub(crate) use packs::PackNotes;

use crate::image::{Geometry, ImageError, SegmentState, TableState, read_segment, zero_chunk};
use crate::manifest::Identity;
use crate::{CHUNK, Extents};

/// Which image is being made. Another disk, repository or parent is another image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIdentity {
    /// The repository.
    pub repository: Id,
    /// The disk's name in the snapshot.
    pub disk: String,
    /// The device or file.
    pub device: String,
    /// Bytes.
    pub size: u64,
    /// What tells the disk from others.
    pub identity: Identity,
    /// The snapshot that the image continues.
    pub parent: Option<Id>,
}

/// What is written beside the chunks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobNote {
    /// Which image.
    pub identity: JobIdentity,
    /// A number of its own for the job, the same over all its runs.
    pub job: uuid::Uuid,
    /// When it was begun.
    pub started: Timestamp,
    /// Changes whenever the disk may have changed (see [`crate::session::Request::stamp`]).
    pub stamp: Option<String>,
    /// The tracker's epoch that ended before the first chunk was read; 0 without a tracker.
    #[serde(default)]
    pub epoch: u8,
}

/// The place where one disk's state is kept.
#[derive(Clone, Debug)]
pub struct JobPlace {
    directory: PathBuf,
}

/// A job that did not come to its end.
#[derive(Clone, Debug)]
pub struct Interrupted {
    /// What it was.
    pub note: JobNote,
    /// What it had put.
    pub table: TableState,
    /// Packs that it had stored, or was about to store, and that perhaps no index file names.
    pub packs: Vec<Id>,
}

/// What can be used of an interrupted job.
#[derive(Clone, Debug)]
pub struct Usable {
    /// For [`crate::image::Base::Resumed`].
    pub table: TableState,
    /// What need not be read again.
    pub done: Extents,
    /// What had been put and must be put again, whether it is in use or not.
    pub again: Extents,
}

impl JobPlace {
    /// The place for an image below a directory for state. Two images of one disk share it.
    pub fn new(state: &Path, identity: &JobIdentity) -> JobPlace {
        let key = format!("{}\0{}\0{}", identity.repository, identity.disk, identity.device);
        JobPlace { directory: state.join("disk").join(Id::of(key.as_bytes()).short()) }
    }

    /// What an earlier run left here for the same image, though perhaps of another parent; `None` if nothing, or nothing that
    /// can be used.
    pub fn interrupted(&self, identity: &JobIdentity) -> Option<Interrupted> {
        let content = fs::read(self.directory.join(file::JOB)).ok()?;
        let is_same = |note: &JobNote| JobIdentity { parent: identity.parent, ..note.identity.clone() } == *identity;
        let (note, table) = file::parse(&content).ok().filter(|(note, _)| is_same(note))?;
        let geometry = Geometry::new(note.identity.size)?;
        file::check(&table, &geometry).ok()?;
        let packs = fs::read(self.directory.join(file::PACKS)).unwrap_or_default();
        let packs = packs.chunks_exact(32).filter_map(|id| Some(Id::from_bytes(id.try_into().ok()?))).collect();
        Some(Interrupted { note, table, packs })
    }

    /// Forgets the job: it is done.
    pub fn clear(&self) {
        // What stays is of no use to anybody and no harm.
        let _ = fs::remove_dir_all(&self.directory);
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let new = self.directory.join(format!("{name}.new"));
        fs::write(&new, content)?;
        fs::rename(&new, self.directory.join(name))
    }

    /// Writes the state. A crash leaves the old one or the new one.
    pub fn save(&self, note: &JobNote, table: &TableState) -> io::Result<()> {
        self.write(file::JOB, &file::encode(note, table)?)
    }
}

impl Interrupted {
    /// Names the packs that the job stored in an index file, where none does; returns how many. Call it before [`Interrupted::usable`].
    pub fn adopt(&self, repo: &Repository) -> repo::Result<u64> {
        adopt::packs(repo, &self.packs)
    }

    /// Which chunks the repository still has, without those that touch `changed`. Those are as the job found them; the rest
    /// is zeros, or, if an earlier image is continued, unknown where it had been put, and must be put again. `None` if that
    /// cannot be told.
    pub fn usable(self, repo: &Repository, changed: &Extents) -> Result<Option<Usable>, ImageError> {
        let size = self.note.identity.size;
        let geometry = Geometry::new(size).ok_or(ImageError::TooLarge { size })?;
        let forget = self.note.identity.parent.is_none();
        let mut table = self.table;
        let mut check = Check { repo, geometry, changed, forget, done: Extents::new(), again: Extents::new() };
        for (number, state) in table.segments.iter_mut().enumerate() {
            let is_known = check.segment(number as u64, state, &table.done)?;
            if !is_known && !forget {
                return Ok(None);
            }
        }
        let Check { done, again, .. } = check;
        table.done = bits(&done, &geometry);
        Ok(Some(Usable { table, done, again }))
    }
}

/// Checks what a state file says against the repository.
struct Check<'c> {
    repo: &'c Repository,
    geometry: Geometry,
    changed: &'c Extents,
    /// Chunks that cannot be used become zeros: what they were before is not known, or was zeros.
    forget: bool,
    done: Extents,
    again: Extents,
}

impl Check<'_> {
    /// False if what the segment was is lost.
    fn segment(&mut self, number: u64, state: &mut SegmentState, done: &[u64]) -> Result<bool, ImageError> {
        let put: Vec<u64> = self.geometry.chunks_of(number).filter(|chunk| is_set(done, *chunk)).collect();
        if put.is_empty() {
            return Ok(true);
        }
        let mut ids = match state {
            SegmentState::Zero => self.geometry.chunks_of(number).map(|chunk| self.zero(chunk)).collect(),
            SegmentState::Chunks(ids) => std::mem::take(ids),
            SegmentState::Stored(tree) => match read_segment(self.repo, tree, &self.geometry, number) {
                Ok(ids) => ids,
                // The tree was lost: the chunks have to be read again, and nothing else is known of them.
                Err(_) => {
                    *state = SegmentState::Zero;
                    return Ok(false);
                }
            },
        };
        let first = self.geometry.chunks_of(number).start;
        for chunk in put {
            let id = &mut ids[(chunk - first) as usize];
            let bytes = self.geometry.bytes_of(chunk);
            if !self.changed.touches(bytes.clone()) && self.has(chunk, id) {
                self.done.insert(bytes);
                continue;
            }
            self.again.insert(bytes);
            if self.forget {
                *id = self.zero(chunk);
            }
        }
        *state = SegmentState::Chunks(ids);
        Ok(true)
    }

    fn zero(&self, chunk: u64) -> Id {
        zero_chunk(self.geometry.chunk_length(chunk))
    }

    fn has(&self, chunk: u64, id: &Id) -> bool {
        let known = self.repo.index().is_ok_and(|index| index.contains(&BlobHandle { kind: BlobKind::Data, id: *id }));
        known || *id == self.zero(chunk)
    }
}

fn is_set(bits: &[u64], chunk: u64) -> bool {
    bits.get((chunk / 64) as usize).is_some_and(|word| word >> (chunk % 64) & 1 == 1)
}

fn bits(done: &Extents, geometry: &Geometry) -> Vec<u64> {
    let mut bits = vec![0; geometry.chunks().div_ceil(64) as usize];
    for range in done.iter() {
        for chunk in range.start / CHUNK..range.end.div_ceil(CHUNK) {
            bits[(chunk / 64) as usize] |= 1 << (chunk % 64);
        }
    }
    bits
}
