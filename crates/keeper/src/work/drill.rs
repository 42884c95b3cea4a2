//! A drill: a sample of the newest snapshot's files is restored, and what was restored is compared with the snapshot.
//!
//! The restored bytes are hashed again from the disk, piece by piece as the snapshot names them; sizes and times are
//! compared as well. A snapshot whose sample came back whole is noted as proven.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use api::wire::keeper::Found;
use backend::IdHasher;
use files::restore::{self, ItemError, Observer, Options, Selection};
use files::visit::{Descend, Visit, visit};
use fleet::{Drill, Outcome, Phase};
use parking_lot::Mutex;
use repo::node::{Node, NodeKind};
use repo::retention::Stored;
use repo::snapshot::Snapshot;
use repo::{BlobHandle, BlobKind, Id, Repository};

use super::sample::{Drawn, Sample};
use super::{Done, Site, count_of, noted_time, size};
use crate::memory::Changes;
use crate::reporter::Reporter;
use crate::storage::Believes;
use crate::{Error, Result};

/// Snapshots of which a drill came back whole.
pub(super) const PROVEN: &str = "proven";

/// What did not come back as it was: where, and why.
type Wrong = Vec<(Vec<u8>, String)>;

pub(super) fn file_sample(site: &Site, reporter: &Reporter) -> Result<Done> {
    let (repo, _lock) = site.open_locked(Believes::Cache)?;
    let Some((id, snapshot)) =
        newest(&repo, |snapshot| Ok(!disks::image::StoredImages::is_image(&repo, &snapshot.tree)?))?
    else {
        return Ok(Done::failed("there is no complete snapshot of files that could be restored"));
    };
    reporter.phase(Phase::Preparing, 0);
    let mut wrong = Wrong::new();
    let (sample, drawn) = draw(&repo, &snapshot, &mut wrong)?;
    let bytes = drawn.iter().map(|drawn| drawn.node.size).sum();
    let room = Room::new(&site.shop.drills, site)?;
    reporter.phase(Phase::Writing, bytes);
    wrong.extend(restore(site, &repo, &snapshot, &drawn, &room.0)?);
    reporter.done(bytes);
    reporter.phase(Phase::Verifying, bytes);
    for one in &drawn {
        site.stop.check()?;
        if !wrong.iter().any(|(path, _)| *path == one.path)
            && let Err(reason) = compare(&repo, one, &room.0)?
        {
            wrong.push((one.path.clone(), reason));
        }
        reporter.done(one.node.size);
    }
    let evidence = evidence(&id, &sample, &drawn, bytes, wrong.len());
    if wrong.is_empty() && !drawn.is_empty() {
        note_proven(site, &repo, &id)?;
    }
    Ok(Done { outcome: outcome(&wrong), found: Some(Found::Drilled { drill: Drill::FileSample, evidence }) })
}

/// The newest complete snapshot that `is_meant`.
pub(super) fn newest(repo: &Repository, is_meant: impl Fn(&Snapshot) -> Result<bool>) -> Result<Option<Stored>> {
    for (id, snapshot) in repo.snapshots()?.all.into_iter().rev() {
        if !snapshot.is_partial() && is_meant(&snapshot)? {
            return Ok(Some((id, snapshot)));
        }
    }
    Ok(None)
}

fn draw(repo: &Repository, snapshot: &Snapshot, wrong: &mut Wrong) -> Result<(Sample, Vec<Drawn>)> {
    let mut rng = rand::rng();
    let mut sample = Sample::new(snapshot.timestamp().map_or(0, |time| time.as_second()));
    visit(repo, &snapshot.tree, b"/", &mut |came_to| {
        match came_to {
            Visit::Node { path, node, .. } if node.kind == NodeKind::File => sample.see(path, node, &mut rng),
            Visit::Unreadable { error, .. } if matches!(error.root(), repo::Error::Cancelled) => return Err(error),
            Visit::Unreadable { path, error } => wrong.push((path.to_vec(), error.to_string())),
            _ => {}
        }
        Ok(Descend::Into)
    })?;
    let drawn = sample.drawn(&mut rng);
    Ok((sample, drawn))
}

/// Room for a restore, which goes when the drill ends; what a killed drill left there goes first.
struct Room(PathBuf);

impl Room {
    fn new(drills: &Path, site: &Site) -> Result<Room> {
        let room = drills.join(site.machine.to_string());
        match std::fs::remove_dir_all(&room) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::file("clear", &room)(error));
            }
            _ => std::fs::create_dir(&room).map_err(Error::file("make", &room))?,
        }
        Ok(Room(room))
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // What stays is removed by the next drill.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Collects what could not be restored.
#[derive(Default)]
struct Failures(Mutex<Wrong>);

impl Observer for Failures {
    fn failed(&self, error: &ItemError) {
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
        self.0.lock().push((error.path.clone(), format!("cannot {}{cause}", error.action)));
    }
}

fn restore(site: &Site, repo: &Repository, snapshot: &Snapshot, drawn: &[Drawn], room: &Path) -> Result<Wrong> {
    let files: HashSet<&[u8]> = drawn.iter().map(|drawn| drawn.path.as_slice()).collect();
    let folders: HashSet<&[u8]> = drawn.iter().flat_map(|drawn| above(&drawn.path)).collect();
    let owner = (site.access.owner.uid, site.access.owner.gid);
    let failures = Failures::default();
    let options = Options {
        select: &|path, is_directory| match is_directory {
            true => Selection { itself: false, below: folders.contains(path) },
            false => Selection { itself: files.contains(path), below: false },
        },
        attributes: &|_| false,
        owner: Some(&|_| owner),
        ..Options::default()
    };
    match restore::restore(repo, &snapshot.tree, room, &options, &restore::Progress::default(), &failures) {
        Ok(_) => Ok(failures.0.into_inner()),
        Err(restore::Error::Repository(error)) => Err(error.into()),
        Err(error) => Err(Error::Refused(format!("there is no room to practise a restore: {error}"))),
    }
}

/// The folders that a path lies in.
fn above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(at, byte)| **byte == b'/' && *at > 0).map(|(at, _)| &path[..at])
}

/// Compares a restored file with the snapshot; the inner error says what differs.
fn compare(repo: &Repository, drawn: &Drawn, room: &Path) -> Result<std::result::Result<(), String>> {
    let path = room.join(OsStr::from_bytes(drawn.path.strip_prefix(b"/").unwrap_or(&drawn.path)));
    let opened = std::fs::metadata(&path).and_then(|found| {
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok((File::open(&path)?, found))
    });
    let (mut file, found) = match opened {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(format!("it was not restored: {error}"))),
    };
    if found.len() != drawn.node.size {
        return Ok(Err(format!("it has {} bytes and had {}", found.len(), drawn.node.size)));
    }
    if !same_time(&found, &drawn.node) {
        return Ok(Err("its time is not what it was".into()));
    }
    same_content(repo, &drawn.node, &mut file)
}

fn same_time(found: &std::fs::Metadata, node: &Node) -> bool {
    found.mtime() == node.mtime.seconds && u32::try_from(found.mtime_nsec()) == Ok(node.mtime.nanoseconds)
}

fn same_content(repo: &Repository, node: &Node, file: &mut File) -> Result<std::result::Result<(), String>> {
    let mut piece = vec![0; 256 << 10];
    for id in node.content.iter().flatten() {
        let blob = BlobHandle { kind: BlobKind::Data, id: *id };
        let Some(location) = repo.index()?.find(&blob) else {
            return Ok(Err(format!("a piece of it is missing: {}", id.short())));
        };
        let mut hasher = IdHasher::new();
        let mut left = location.plain_length() as usize;
        while left > 0 {
            let part = left.min(piece.len());
            if let Err(error) = file.read_exact(&mut piece[..part]) {
                return Ok(Err(format!("it cannot be read back: {error}")));
            }
            hasher.update(&piece[..part]);
            left -= part;
        }
        if hasher.finish() != *id {
            return Ok(Err("its content is not what it was".into()));
        }
    }
    Ok(Ok(()))
}

fn note_proven(site: &Site, repo: &Repository, id: &Id) -> Result<()> {
    let there: HashSet<Id> = repo.snapshots()?.all.into_iter().map(|(id, _)| id).collect();
    let gone = site.all_noted(PROVEN)?.into_iter().filter(|(id, _)| !there.contains(id));
    let remove = gone.map(|(id, _)| (PROVEN, site.noted(&id))).collect();
    let put = vec![(PROVEN, site.noted(id), noted_time(site.clock().now()))];
    site.shop.memory.apply(Changes { put, remove, event: None }).map(drop)
}

fn evidence(id: &Id, sample: &Sample, drawn: &[Drawn], bytes: u64, wrong: usize) -> String {
    let (files, all) = (drawn.len() as u64, sample.files);
    let left_out = match sample.too_large {
        0 => String::new(),
        count => format!("; {} above 256 MiB were left out", count_of(count, "file")),
    };
    let good = match wrong {
        0 => "are the same in every byte, in size and in time".to_owned(),
        wrong => format!("{wrong} of them or of their folders are not as they were"),
    };
    format!(
        "{files} of {} ({} of {}) of snapshot {} were restored and {good}{left_out}.",
        count_of(all, "file"),
        size(bytes),
        size(sample.bytes),
        id.short()
    )
}

fn outcome(wrong: &Wrong) -> Outcome {
    let Some((path, why)) = wrong.first() else { return Outcome::Good };
    let path = String::from_utf8_lossy(path);
    let count = count_of(wrong.len() as u64, "file or folder");
    Outcome::Failed { why: format!("{count} did not come back as it was, first {path}: {why}") }
}
