//! The ledger: when this machine last verified which pack.
//!
//! A local file in the repository's cache directory, replaced atomically. Losing it, or finding it damaged or of another
//! version, loses knowledge only: packs count as never verified. Without a cache directory it lives as long as the process.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::{Error, Id, Repository, Result};

/// First bytes of the file: name and version.
const MAGIC: &[u8; 16] = b"stead ledger 1\n\0";

/// One entry: the pack's id and seconds since 1970.
const ENTRY: usize = 32 + 8;

/// When which pack was verified.
#[derive(Debug, Default)]
pub struct Ledger {
    path: Option<PathBuf>,
    times: HashMap<Id, Timestamp>,
    /// Packs that exist, once that is known.
    existing: Option<HashSet<Id>>,
}

impl Ledger {
    /// Opens the ledger of a repository on this machine.
    pub fn open(repo: &Repository) -> Result<Ledger> {
        let path = repo.options().cache.as_ref().map(|cache| cache.join(repo.id().to_string()).join("stead-verified"));
        Ledger::at(path)
    }

    fn at(path: Option<PathBuf>) -> Result<Ledger> {
        let times = match &path {
            Some(path) => read(path)?,
            None => HashMap::new(),
        };
        Ok(Ledger { path, times, existing: None })
    }

    /// When the pack was last found good; `None` for never, as far as is known.
    pub fn last_verified(&self, pack: &Id) -> Option<Timestamp> {
        self.times.get(pack).copied()
    }

    /// Notes packs that were just found good.
    pub fn verified(&mut self, packs: impl IntoIterator<Item = Id>, now: Timestamp) {
        self.times.extend(packs.into_iter().map(|pack| (pack, now)));
    }

    /// Forgets packs that are gone.
    pub fn keep_only(&mut self, packs: HashSet<Id>) {
        self.times.retain(|pack, _| packs.contains(pack));
        self.existing = Some(packs);
    }

    /// Replaces the file. What another process noted meanwhile about packs that we know nothing newer of is kept.
    pub fn save(&mut self) -> Result<()> {
        let Some(path) = self.path.clone() else { return Ok(()) };
        for (pack, time) in read(&path)? {
            if self.is_known_gone(&pack) {
                continue;
            }
            let ours = self.times.entry(pack).or_insert(time);
            *ours = time.max(*ours);
        }
        replace(&path, &self.to_bytes()).map_err(|source| Error::Local { action: "write", path, source })
    }

    fn is_known_gone(&self, pack: &Id) -> bool {
        self.existing.as_ref().is_some_and(|existing| !existing.contains(pack))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut entries: Vec<_> = self.times.iter().collect();
        entries.sort_unstable();
        let mut bytes = Vec::with_capacity(MAGIC.len() + entries.len() * ENTRY + 32);
        bytes.extend_from_slice(MAGIC);
        for (pack, time) in entries {
            bytes.extend_from_slice(pack.as_bytes());
            bytes.extend_from_slice(&time.as_second().to_le_bytes());
        }
        let checksum = Id::of(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        bytes
    }
}

fn read(path: &Path) -> Result<HashMap<Id, Timestamp>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(parse(&bytes).unwrap_or_default()),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(HashMap::new()),
        Err(source) => Err(Error::Local { action: "read", path: path.to_owned(), source }),
    }
}

/// `None` if it is not a whole ledger of this version.
fn parse(bytes: &[u8]) -> Option<HashMap<Id, Timestamp>> {
    let (content, checksum) = bytes.split_last_chunk::<32>()?;
    let entries = content.strip_prefix(MAGIC)?;
    if Id::of(content).as_bytes() != checksum || entries.len() % ENTRY != 0 {
        return None;
    }
    entries.chunks_exact(ENTRY).map(entry).collect()
}

fn entry(bytes: &[u8]) -> Option<(Id, Timestamp)> {
    let (id, seconds) = bytes.split_first_chunk::<32>()?;
    let seconds = i64::from_le_bytes(seconds.try_into().ok()?);
    Some((Id::from_bytes(*id), Timestamp::from_second(seconds).ok()?))
}

/// Replaces a file durably and in one step.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(directory)?;
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T01:02:03Z".parse().unwrap()
    }

    #[test]
    fn a_ledger_remembers_between_runs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repo/stead-verified");
        let mut ledger = Ledger::at(Some(path.clone())).unwrap();
        ledger.verified([Id::of(b"a"), Id::of(b"b")], now());
        ledger.keep_only(HashSet::from([Id::of(b"a")]));
        ledger.save().unwrap();
        let ledger = Ledger::at(Some(path)).unwrap();
        assert_eq!(ledger.last_verified(&Id::of(b"a")), Some(now()));
        assert_eq!(ledger.last_verified(&Id::of(b"b")), None);
    }

    #[test]
    fn a_damaged_or_newer_ledger_knows_nothing() {
        let mut ledger = Ledger::default();
        ledger.verified([Id::of(b"a")], now());
        let good = ledger.to_bytes();
        assert_eq!(parse(&good).unwrap().len(), 1);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(parse(&bad), None);
            assert_eq!(parse(&good[..at]), None);
        }
    }

    #[test]
    fn what_two_processes_note_is_not_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("stead-verified");
        let (mut one, mut other) = (Ledger::at(Some(path.clone())).unwrap(), Ledger::at(Some(path.clone())).unwrap());
        one.verified([Id::of(b"a")], now());
        other.verified([Id::of(b"b")], now() - jiff::SignedDuration::from_hours(9));
        one.save().unwrap();
        other.save().unwrap();
        let both = Ledger::at(Some(path)).unwrap();
        assert_eq!(both.last_verified(&Id::of(b"a")), Some(now()));
        assert!(both.last_verified(&Id::of(b"b")).is_some());
    }
}
