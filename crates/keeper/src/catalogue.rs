//! A machine's catalogue: the names of all that its snapshots hold, so that a search reads no repository.
//!
//! What is kept are folders, each once however many snapshots have it, and the roots of snapshots. New snapshots add the
//! folders that are new in them. A search goes through the snapshots from the newest on, and passes over folders that it
//! saw at the same path in a newer one: so an old snapshot costs what is different in it.
//!
//! Everything is sealed with a key that is derived from the keeper's; folders and snapshots are named by a keyed hash.
//! Inside disk images nothing is searched: of them the names of the disks are known.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use api::wire::keeper::{EntryKind, Place};
use aws_lc_rs::hmac;
use disks::image::StoredImages;
use fleet::MachineId;
use jiff::Timestamp;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use repo::node::{Node, NodeKind};
use repo::retention::Stored;
use repo::{Id, Repository};
use serde::{Deserialize, Serialize};

use crate::storage::Stop;
use crate::vault::Vault;
use crate::{Error, Result};

mod folder;
mod search;

use folder::{Folder, Name};
pub use search::Search;

const FOLDERS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("folders");
const SNAPSHOTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("snapshots");

/// Folders that are written at a time.
const BATCH: usize = 2_000;

/// What is known of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Root {
    id: Id,
    at: Timestamp,
    tree: Id,
}

/// Bytes of a catalogue that are kept in memory.
const IN_MEMORY: usize = 16 << 20;

/// Catalogues that stay open though nobody uses them.
const OPEN: usize = 16;

/// The catalogues of all machines, in one directory.
pub struct Catalogues {
    directory: PathBuf,
    open: Mutex<HashMap<MachineId, Arc<Catalogue>>>,
}

impl Catalogues {
    /// Those in a directory.
    pub fn at(directory: impl Into<PathBuf>) -> Catalogues {
        Catalogues { directory: directory.into(), open: Mutex::default() }
    }

    /// A machine's, open once however many use it.
    pub fn of(&self, machine: MachineId, vault: &Vault) -> Result<Arc<Catalogue>> {
        let mut open = self.open.lock();
        if let Some(catalogue) = open.get(&machine) {
            return Ok(Arc::clone(catalogue));
        }
        if open.len() >= OPEN {
            // Nobody can begin to use one while we hold the list.
            open.retain(|_, catalogue| Arc::strong_count(catalogue) > 1);
        }
        let catalogue = Arc::new(Catalogue::open(&self.directory, machine, vault)?);
        open.insert(machine, Arc::clone(&catalogue));
        Ok(catalogue)
    }
}

/// A machine's catalogue.
pub struct Catalogue {
    updating: Mutex<()>,
    database: Database,
    vault: Vault,
    names: hmac::Key,
}

/// How far an update came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Updated {
    /// Snapshots whose names are all known.
    pub known: u64,
    /// Snapshots whose names are not known yet.
    pub missing: u64,
}

impl Catalogue {
    /// Opens a machine's catalogue in a directory, made if it is missing.
    pub fn open(directory: &Path, machine: MachineId, vault: &Vault) -> Result<Catalogue> {
        let path = directory.join(format!("{machine}.redb"));
        let database = Database::builder().set_cache_size(IN_MEMORY).create(path).map_err(Error::memory("open"))?;
        let write = database.begin_write().map_err(Error::memory("prepare"))?;
        write.open_table(FOLDERS).map_err(Error::memory("prepare"))?;
        write.open_table(SNAPSHOTS).map_err(Error::memory("prepare"))?;
        write.commit().map_err(Error::memory("prepare"))?;
        let vault = vault.of(&format!("catalogue {machine}"));
        let names = hmac::Key::new(hmac::HMAC_SHA256, &*vault.secret("names"));
        Ok(Catalogue { updating: Mutex::default(), database, vault, names })
    }

    /// The name under which something is kept.
    fn name(&self, id: &Id) -> Vec<u8> {
        hmac::sign(&self.names, id.as_bytes()).as_ref().to_vec()
    }

    /// Adds what is new in a repository and forgets what is gone. Stops early, with what it has, when `enough` says so, and
    /// adds nothing while somebody else does.
    pub fn update(&self, repo: &Repository, stop: &Stop, enough: &dyn Fn() -> bool) -> Result<Updated> {
        let all = repo.snapshots()?.all;
        let all: Vec<Stored> = all.into_iter().filter(|(_, snapshot)| !snapshot.is_partial()).collect();
        let turn = self.updating.try_lock();
        let enough = || turn.is_none() || enough();
        if turn.is_some() {
            self.forget_all_but(&all)?;
        }
        let mut updated = Updated::default();
        for (id, snapshot) in all.into_iter().rev() {
            stop.check()?;
            let is_known = self.sealed(SNAPSHOTS, &id)?.is_some();
            if is_known || (!enough() && self.add(repo, &id, &snapshot, stop, &enough)?) {
                updated.known += 1;
            } else {
                updated.missing += 1;
            }
        }
        Ok(updated)
    }

    /// Adds a snapshot; false if there was not enough time. Folders that were added stay, and are not read again.
    fn add(
        &self,
        repo: &Repository,
        id: &Id,
        snapshot: &repo::snapshot::Snapshot,
        stop: &Stop,
        enough: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let is_image = StoredImages::is_image(repo, &snapshot.tree)?;
        let (mut left, mut batch) = (vec![(snapshot.tree, false)], Vec::new());
        // A folder is written after all that is below it: one that is there is whole.
        while let Some((tree, is_below_done)) = left.pop() {
            stop.check()?;
            if enough() {
                self.write(batch)?;
                return Ok(false);
            }
            if !is_below_done && self.sealed(FOLDERS, &tree)?.is_some() {
                continue;
            }
            let nodes = repo.read_tree(&tree)?.nodes;
            let folder = Folder::of(&nodes, is_image && tree == snapshot.tree);
            let below: Vec<Id> = folder.below().collect();
            if is_below_done || below.is_empty() {
                batch.push((tree, folder));
            } else {
                left.push((tree, true));
                left.extend(below.into_iter().map(|below| (below, false)));
            }
            if batch.len() >= BATCH {
                self.write(std::mem::take(&mut batch))?;
            }
        }
        self.write(batch)?;
        let at = snapshot.timestamp().map_err(|why| Error::Refused(format!("snapshot {}: {why}", id.short())))?;
        let root = Root { id: *id, at, tree: snapshot.tree };
        let text = serde_json::to_vec(&root).map_err(|error| Error::Refused(error.to_string()))?;
        self.put(SNAPSHOTS, [(*id, text)])?;
        Ok(true)
    }

    fn write(&self, folders: Vec<(Id, Folder)>) -> Result<()> {
        self.put(FOLDERS, folders.into_iter().map(|(id, folder)| (id, folder.to_bytes())))
    }

    fn put(&self, into: TableDefinition<&[u8], &[u8]>, rows: impl IntoIterator<Item = (Id, Vec<u8>)>) -> Result<()> {
        let write = self.database.begin_write().map_err(Error::memory("change"))?;
        {
            let mut table = write.open_table(into).map_err(Error::memory("change"))?;
            for (id, text) in rows {
                let name = self.name(&id);
                let sealed = self.vault.seal(&name, &text);
                table.insert(name.as_slice(), sealed.as_slice()).map_err(Error::memory("change"))?;
            }
        }
        write.commit().map_err(Error::memory("change"))
    }

    fn sealed(&self, of: TableDefinition<&[u8], &[u8]>, id: &Id) -> Result<Option<Vec<u8>>> {
        let read = self.database.begin_read().map_err(Error::memory("read"))?;
        let table = read.open_table(of).map_err(Error::memory("read"))?;
        let name = self.name(id);
        let found = table.get(name.as_slice()).map_err(Error::memory("read"))?;
        Ok(found.map(|sealed| sealed.value().to_vec()))
    }

    fn folder(&self, id: &Id) -> Result<Option<Folder>> {
        let Some(sealed) = self.sealed(FOLDERS, id)? else { return Ok(None) };
        let plain = self.vault.open(&self.name(id), &sealed)?;
        Ok(Folder::from_bytes(&plain))
    }

    /// The snapshots whose names are known, the newest first.
    fn roots(&self) -> Result<Vec<Root>> {
        let read = self.database.begin_read().map_err(Error::memory("read"))?;
        let table = read.open_table(SNAPSHOTS).map_err(Error::memory("read"))?;
        let mut roots = Vec::new();
        for entry in table.iter().map_err(Error::memory("read"))? {
            let (name, sealed) = entry.map_err(Error::memory("read"))?;
            let plain = self.vault.open(name.value(), sealed.value())?;
            roots.extend(serde_json::from_slice::<Root>(&plain).ok());
        }
        roots.sort_by(|a, b| b.at.cmp(&a.at).then(b.id.cmp(&a.id)));
        Ok(roots)
    }

    /// Forgets snapshots that are gone, and the folders that only they had.
    fn forget_all_but(&self, all: &[Stored]) -> Result<()> {
        let there: HashSet<Id> = all.iter().map(|(id, _)| *id).collect();
        let (stay, gone): (Vec<Root>, Vec<Root>) = self.roots()?.into_iter().partition(|root| there.contains(&root.id));
        if gone.is_empty() {
            return Ok(());
        }
        let mut used = HashSet::new();
        let mut left: Vec<Id> = stay.iter().map(|root| root.tree).collect();
        while let Some(tree) = left.pop() {
            if used.insert(self.name(&tree)) {
                left.extend(self.folder(&tree)?.iter().flat_map(Folder::below));
            }
        }
        let write = self.database.begin_write().map_err(Error::memory("change"))?;
        {
            let mut snapshots = write.open_table(SNAPSHOTS).map_err(Error::memory("change"))?;
            for root in &gone {
                snapshots.remove(self.name(&root.id).as_slice()).map_err(Error::memory("change"))?;
            }
            let mut folders = write.open_table(FOLDERS).map_err(Error::memory("change"))?;
            folders.retain(|name, _| used.contains(name)).map_err(Error::memory("change"))?;
        }
        write.commit().map_err(Error::memory("change"))
    }
}

/// What a node is, for people.
fn kind_of(node: &Node, holds_disks: bool) -> EntryKind {
    match node.kind {
        NodeKind::Dir if holds_disks && node.name.ends_with(b".img") => EntryKind::Image,
        NodeKind::Dir => EntryKind::Folder,
        NodeKind::File => EntryKind::File,
        _ => EntryKind::Other,
    }
}

fn place(root: &Root, folder: &str, name: &Name) -> Place {
    let path = format!("{folder}/{}", name.name);
    Place { snapshot: root.id.to_string(), at: root.at, path, kind: name.kind, size: name.size }
}
