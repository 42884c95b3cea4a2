//! Sending what a spool holds: packs as they are, then index files that name them, snapshots last.
//!
//! Every step may be repeated: what the repository has is not sent again, however often sending was cut off. A snapshot is
//! written when everything that it needs is in the repository's index, and only then does anything leave the spool.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use backend::{Backend, FileInfo, FileKind, FileName, Part};

use crate::index::{IndexFile, IndexPack, MAX_BLOBS};
use crate::progress::{Amount, Progress, Step};
use crate::used::{IdSet, References, TreeVisitor, find_references, walk_new_trees};
use crate::workers::{self, Workers};
use crate::{BlobHandle, BlobKind, Error, Id, Repository, Result};

/// What is sent from where to where.
#[derive(Clone, Copy)]
pub struct Sending<'s> {
    /// The files of the spool alone.
    pub near: &'s dyn Backend,
    /// The repository as the spool shows it: what is in the spool, and what is in the repository.
    pub spooled: &'s Repository,
    /// The repository, under a lock.
    pub to: &'s Repository,
}

/// What was sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Packs that finished snapshots are made of.
    pub packs: u64,
    /// Of these, those that the repository had already.
    pub there: u64,
    /// Bytes of the packs that were sent.
    pub bytes: u64,
    /// Snapshots that are in the repository now.
    pub snapshots: Vec<Id>,
}

/// What waits in a spool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Snapshots, whole and not in the repository.
    pub snapshots: Vec<Id>,
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Looks what waits.
pub fn waiting(near: &dyn Backend) -> Result<Waiting> {
    let packs = near.list(FileKind::Pack)?;
    let snapshots = near.list(FileKind::Snapshot)?.into_iter().map(|file| file.id).collect();
    Ok(Waiting { snapshots, packs: packs.len() as u64, bytes: packs.iter().map(|pack| pack.size).sum() })
}

/// Sends everything that finished snapshots in the spool need, and the snapshots; takes them out of the spool.
///
/// # Errors
/// [`Error::MissingBlob`] if something that a snapshot needs is in neither place any more; the spool stays as it is.
pub fn send(sending: Sending<'_>, progress: &dyn Progress) -> Result<Sent> {
    let mut sent = Sent::default();
    let snapshots = sending.near.list(FileKind::Snapshot)?;
    if snapshots.is_empty() {
        return Ok(sent);
    }
    let indexes = sending.near.list(FileKind::Index)?;
    let named = sending.named_packs(&indexes)?;
    sending.packs(&named, &mut sent, progress)?;
    sending.index_files(&named)?;
    sending.prove(&snapshots, progress)?;
    for snapshot in &snapshots {
        sending.snapshot(&snapshot.id)?;
        sent.snapshots.push(snapshot.id);
    }
    sending.clear(&snapshots, &indexes, &named)?;
    Ok(sent)
}

/// The packs that the spool's index files name.
type Named = HashMap<Id, IndexPack>;

impl Sending<'_> {
    fn named_packs(&self, indexes: &[FileInfo]) -> Result<Named> {
        let mut named = Named::new();
        for file in indexes {
            let content = self.spooled.read_index_file(&file.id)?;
            named.extend(content.packs.into_iter().map(|pack| (pack.id, pack)));
        }
        Ok(named)
    }

    fn packs(&self, named: &Named, sent: &mut Sent, progress: &dyn Progress) -> Result<()> {
        let here = self.near.list(FileKind::Pack)?;
        let here: Vec<FileInfo> = here.into_iter().filter(|pack| named.contains_key(&pack.id)).collect();
        let total = Amount { items: here.len() as u64, bytes: here.iter().map(|pack| pack.size).sum() };
        progress.begin(Step::SendPacks, total);
        let (there, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let work = |content: &mut Vec<u8>, pack: &FileInfo| {
            self.to.cancel().check()?;
            match self.pack(pack, content)? {
                true => bytes.fetch_add(pack.size, Relaxed),
                false => there.fetch_add(1, Relaxed),
            };
            progress.advance(Amount { items: 1, bytes: pack.size });
            Ok(())
        };
        workers::for_each(Workers::requests(self.to.backend()), &here, Vec::new, work)?;
        (sent.packs, sent.there, sent.bytes) = (total.items, there.into_inner(), bytes.into_inner());
        Ok(())
    }

    /// True if it had to be sent.
    fn pack(&self, pack: &FileInfo, content: &mut Vec<u8>) -> Result<bool> {
        let file = FileName::new(FileKind::Pack, pack.id);
        match self.to.backend().size(&file) {
            Ok(size) if size == pack.size => return Ok(false),
            Err(error) if !error.is_not_found() => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        self.near.read(&file, Part::Whole, content)?;
        if Id::of(content) != pack.id {
            return Err(Error::damaged(file, "in the spool, its content does not have the hash that its name says"));
        }
        self.to.backend().write(&file, content)?;
        Ok(true)
    }

    /// Names in the repository's index what it does not name yet.
    fn index_files(&self, named: &Named) -> Result<()> {
        let index = self.to.index()?;
        let is_new = |pack: &&IndexPack| {
            let known = |blob: &BlobHandle| index.locations(blob).iter().any(|location| location.pack == pack.id);
            !pack.blobs.iter().all(|packed| known(&packed.blob))
        };
        let (mut file, mut blobs) = (IndexFile::default(), 0);
        for pack in named.values().filter(is_new) {
            if blobs + pack.blobs.len() > MAX_BLOBS {
                self.index_file(&mut file)?;
                blobs = 0;
            }
            blobs += pack.blobs.len();
            file.packs.push(pack.clone());
        }
        self.index_file(&mut file)
    }

    fn index_file(&self, file: &mut IndexFile) -> Result<()> {
        let file = std::mem::take(file);
        if file.packs.is_empty() {
            return Ok(());
        }
        // A pack that never lay in the spool, because it was full, must be in the storage.
        for pack in &file.packs {
            self.to.backend().size(&FileName::new(FileKind::Pack, pack.id))?;
        }
        self.to.write_index_file(&file)?;
        let index = self.to.index()?;
        file.packs.iter().for_each(|pack| index.add_pack(pack.id, &pack.blobs));
        Ok(())
    }

    /// Everything that the snapshots need is in the repository's index.
    fn prove(&self, snapshots: &[FileInfo], progress: &dyn Progress) -> Result<()> {
        let mut roots = Vec::with_capacity(snapshots.len());
        for snapshot in snapshots {
            roots.push(self.spooled.read_snapshot(&snapshot.id)?.tree);
        }
        progress.begin(Step::WalkTrees, Amount::default());
        walk_new_trees(self.spooled, &roots, &IdSet::default(), &Prover { to: self.to }, progress)
    }

    fn snapshot(&self, id: &Id) -> Result<()> {
        let file = FileName::new(FileKind::Snapshot, *id);
        let mut content = Vec::new();
        self.near.read(&file, Part::Whole, &mut content)?;
        if Id::of(&content) != *id {
            return Err(Error::damaged(file, "in the spool, its content does not have the hash that its name says"));
        }
        self.to.check_lock()?;
        self.to.backend().write(&file, &content)?;
        crate::known::note_written(self.to, FileKind::Snapshot, id);
        Ok(())
    }

    /// The snapshots first: without them nothing in the spool is needed any more. Packs of an image that is being made are
    /// named by no index file, or go on as blobs of the repository.
    fn clear(&self, snapshots: &[FileInfo], indexes: &[FileInfo], named: &Named) -> Result<()> {
        let remove = |kind, id: Id| self.near.remove(&FileName::new(kind, id));
        snapshots.iter().try_for_each(|file| remove(FileKind::Snapshot, file.id))?;
        indexes.iter().try_for_each(|file| remove(FileKind::Index, file.id))?;
        named.keys().try_for_each(|id| remove(FileKind::Pack, *id))?;
        Ok(())
    }
}

/// Looks for every blob of a tree in the repository's index.
struct Prover<'p> {
    to: &'p Repository,
}

impl TreeVisitor for Prover<'_> {
    fn tree(&self, _: &Repository, id: &Id, json: &[u8], below: &mut Vec<Id>) -> Result<()> {
        let References { data, trees } = find_references(id, json)?;
        let index = self.to.index()?;
        let tree = std::iter::once(BlobHandle { kind: BlobKind::Tree, id: *id });
        let mut blobs = tree.chain(data.into_iter().map(|id| BlobHandle { kind: BlobKind::Data, id }));
        if let Some(missing) = blobs.find(|blob| !index.contains(blob)) {
            return Err(Error::MissingBlob(missing));
        }
        below.extend(trees);
        Ok(())
    }

    fn unreadable(&self, _: &Id, error: Error) -> Result<()> {
        Err(error)
    }
}
