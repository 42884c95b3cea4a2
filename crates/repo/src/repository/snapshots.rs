//! Snapshots of a repository: listing, finding by what people write, storing.

use backend::{FileKind, FileName, Id};
use jiff::Timestamp;

use super::Repository;
use crate::snapshot::{Snapshot, SnapshotFilter};
use crate::workers::{self, Workers};
use crate::{BlobHandle, BlobKind, Error, Result};

/// What listing snapshots found.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Readable ones, oldest first.
    pub all: Vec<(Id, Snapshot)>,
    /// Those that could not be read, with the reason.
    pub damaged: Vec<(Id, Error)>,
    /// Those that were listed but gone when they were read: removed by somebody, if the storage tells the truth.
    pub vanished: Vec<Id>,
}

/// A snapshot that was asked for by name.
#[derive(Clone, Debug)]
pub struct FoundSnapshot {
    /// Its name.
    pub id: Id,
    /// Its content.
    pub snapshot: Snapshot,
    /// What was written after a colon: the folder within it that is meant.
    pub subfolder: Option<String>,
}

impl Repository {
    /// All snapshots, oldest first; damaged ones are returned apart.
    pub fn snapshots(&self) -> Result<Snapshots> {
        let files = self.backend().list(FileKind::Snapshot)?;
        let read = workers::map(Workers::decoders(self.backend()), &files, |file| self.read_dated_snapshot(&file.id));
        let mut dated = Vec::with_capacity(files.len());
        let (mut damaged, mut gone) = (Vec::new(), Vec::new());
        for (file, result) in files.iter().zip(read) {
            match result {
                Ok((time, snapshot)) => dated.push((time, file.id, snapshot)),
                Err(error) if vanished(&error) => gone.push(file.id),
                Err(error) => damaged.push((file.id, error)),
            }
        }
        dated.sort_by_key(|(time, id, _)| (*time, *id));
        let all = dated.into_iter().map(|(_, id, snapshot)| (id, snapshot)).collect();
        Ok(Snapshots { all, damaged, vanished: gone })
    }

    /// Reads one snapshot.
    pub fn read_snapshot(&self, id: &Id) -> Result<Snapshot> {
        Ok(self.read_dated_snapshot(id)?.1)
    }

    fn read_dated_snapshot(&self, id: &Id) -> Result<(Timestamp, Snapshot)> {
        let damaged = |reason: String| Error::damaged(FileName::new(FileKind::Snapshot, *id), reason);
        let json = self.read_unpacked(FileKind::Snapshot, id)?;
        let snapshot: Snapshot = serde_json::from_slice(&json).map_err(|error| damaged(error.to_string()))?;
        let time = snapshot.timestamp().map_err(damaged)?;
        Ok((time, snapshot))
    }

    /// Finds the snapshot that is meant by `latest`, an id or the beginning of one, each with `:folder` behind it if a
    /// folder within is meant. The filter applies to `latest` only, which is never a checkpoint of an unfinished backup.
    pub fn find_snapshot(&self, what: &str, filter: &SnapshotFilter) -> Result<FoundSnapshot> {
        let (name, subfolder) = match what.split_once(':') {
            Some((name, folder)) => (name, Some(folder.to_owned())),
            None => (what, None),
        };
        let (id, snapshot) = match name {
            "latest" => self.latest_snapshot(filter)?,
            prefix => {
                let id = self.find_file(FileKind::Snapshot, prefix)?;
                (id, self.read_snapshot(&id).map_err(|error| no_such(&id, error))?)
            }
        };
        Ok(FoundSnapshot { id, snapshot, subfolder })
    }

    /// The newest complete snapshot that the filter lets through. Damaged ones are passed over.
    pub fn latest_snapshot(&self, filter: &SnapshotFilter) -> Result<(Id, Snapshot)> {
        let mut newest_first = self.snapshots()?.all.into_iter().rev();
        newest_first
            .find(|(_, snapshot)| !snapshot.is_partial() && filter.matches(snapshot))
            .ok_or_else(|| Error::NoSuchSnapshot("no snapshot found".into()))
    }

    /// The one file of a kind whose name begins with `prefix`.
    pub fn find_file(&self, kind: FileKind, prefix: &str) -> Result<Id> {
        if let Ok(id) = prefix.parse::<Id>() {
            return Ok(id);
        }
        let none_meant = |reason: String| match kind {
            FileKind::Snapshot => Error::NoSuchSnapshot(reason),
            kind => Error::NoSuchFile { kind, reason },
        };
        let no_match = || none_meant(format!("no {kind} has an id that begins with {prefix:?}"));
        if prefix.is_empty() || !prefix.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(no_match());
        }
        let prefix = prefix.to_ascii_lowercase();
        let files = self.backend().list(kind)?;
        let mut matching = files.iter().filter(|file| file.id.to_string().starts_with(&prefix));
        match (matching.next(), matching.next()) {
            (Some(file), None) => Ok(file.id),
            (None, _) => Err(no_match()),
            (Some(_), Some(_)) => {
                Err(none_meant(format!("more than one {kind} has an id that begins with {prefix:?}")))
            }
        }
    }

    /// Stores a snapshot. Everything that it references must be durable; our lock must not have been lost.
    pub fn write_snapshot(&self, snapshot: &Snapshot) -> Result<Id> {
        let root = BlobHandle { kind: BlobKind::Tree, id: snapshot.tree };
        if self.index.get().is_some_and(|index| !index.contains(&root)) {
            return Err(Error::MissingBlob(root));
        }
        let json = serde_json::to_vec(snapshot)
            .map_err(|error| Error::Invalid(format!("cannot write the snapshot: {error}")))?;
        self.check_lock()?;
        let id = self.write_unpacked(FileKind::Snapshot, &json)?;
        crate::known::note_written(self, FileKind::Snapshot, &id);
        Ok(id)
    }
}

fn no_such(id: &Id, error: Error) -> Error {
    match vanished(&error) {
        true => Error::NoSuchSnapshot(format!("there is no snapshot {id}")),
        false => error,
    }
}

/// Removed by somebody between listing and reading: not a fault.
fn vanished(error: &Error) -> bool {
    matches!(error, Error::Backend(error) if error.is_not_found())
}
