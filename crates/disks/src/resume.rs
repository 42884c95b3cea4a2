//! What an image in the making needs to go on after its process died: a small file per disk, rewritten every few seconds,
//! and the list of packs that no index file names yet.
//!
//! Nothing in it is believed blindly: chunks count only if the repository's index has them, and chunks that may have changed
//! since are read again. A file that is damaged or of another disk is as good as none.

mod adopt;
mod file;
mod keeper;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use backend::Id;
use jiff::Timestamp;
use repo::{BlobHandle, BlobKind, Repository};
use serde::{Deserialize, Serialize};

pub use keeper::Keeper;

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
    /// Packs that it had stored and that no index file may name.
    pub packs: Vec<Id>,
}

/// What can be used of an interrupted job.
#[derive(Clone, Debug)]
pub struct Usable {
    /// For [`crate::image::Base::Resumed`].
    pub table: TableState,
    /// What need not be read again.
    pub done: Extents,
}

impl JobPlace {
    /// The place for an image below a directory for state. Two images of one disk share it.
    pub fn new(state: &Path, identity: &JobIdentity) -> JobPlace {
        let key = format!("{}\0{}\0{}", identity.repository, identity.disk, identity.device);
        JobPlace { directory: state.join("disk").join(Id::of(key.as_bytes()).short()) }
    }

    /// What an earlier run left here for the same image; `None` if nothing, or nothing that can be used.
    pub fn interrupted(&self, identity: &JobIdentity) -> Option<Interrupted> {
        let content = fs::read(self.directory.join(file::JOB)).ok()?;
        let (note, table) = file::parse(&content).ok().filter(|(note, _)| note.identity == *identity)?;
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

    /// Writes which packs are stored that no index file names.
    pub fn save_packs(&self, packs: &[Id]) -> io::Result<()> {
        let bytes: Vec<u8> = packs.iter().flat_map(|id| id.as_bytes().iter().copied()).collect();
        self.write(file::PACKS, &bytes)
    }
}

impl Interrupted {
    /// Names the packs that the job stored in an index file, where none does; returns how many. Call it before [`Interrupted::usable`].
    pub fn adopt(&self, repo: &Repository) -> repo::Result<u64> {
        adopt::packs(repo, &self.packs)
    }

    /// Which chunks the repository still has, without those that touch `changed`. Those are as the job found them; the rest
    /// is zeros, or, if an earlier image is continued, unknown where it had been put, and must be put again.
    pub fn usable(self, repo: &Repository, changed: &Extents) -> Result<Usable, ImageError> {
        let size = self.note.identity.size;
        let geometry = Geometry::new(size).ok_or(ImageError::TooLarge { size })?;
        let forget = self.note.identity.parent.is_none();
        let mut usable = Usable { table: self.table, done: Extents::new() };
        let mut check = Check { repo, geometry, changed, forget, done: Vec::new() };
        for (number, state) in usable.table.segments.iter_mut().enumerate() {
            check.segment(number as u64, state, &usable.table.done)?;
        }
        for chunk in check.done {
            usable.done.insert(geometry.bytes_of(chunk));
        }
        usable.table.done = bits(&usable.done, &geometry);
        Ok(usable)
    }
}

/// Checks what a state file says against the repository.
struct Check<'c> {
    repo: &'c Repository,
    geometry: Geometry,
    changed: &'c Extents,
    /// Chunks that cannot be used become zeros: what they were before is not known, or was zeros.
    forget: bool,
    done: Vec<u64>,
}

impl Check<'_> {
    fn segment(&mut self, number: u64, state: &mut SegmentState, done: &[u64]) -> Result<(), ImageError> {
        let put: Vec<u64> = self.geometry.chunks_of(number).filter(|chunk| is_set(done, *chunk)).collect();
        if put.is_empty() {
            return Ok(());
        }
        let mut ids = match state {
            SegmentState::Zero => self.geometry.chunks_of(number).map(|chunk| self.zero(chunk)).collect(),
            SegmentState::Chunks(ids) => std::mem::take(ids),
            SegmentState::Stored(tree) => match read_segment(self.repo, tree, &self.geometry, number) {
                Ok(ids) => ids,
                // The tree was lost: the chunks have to be read again, and nothing else is known of them.
                Err(_) => {
                    *state = SegmentState::Zero;
                    return Ok(());
                }
            },
        };
        let first = self.geometry.chunks_of(number).start;
        for chunk in put {
            let id = &mut ids[(chunk - first) as usize];
            if !self.changed.touches(self.geometry.bytes_of(chunk)) && self.has(chunk, id) {
                self.done.push(chunk);
            } else if self.forget {
                *id = self.zero(chunk);
            }
        }
        *state = SegmentState::Chunks(ids);
        Ok(())
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
