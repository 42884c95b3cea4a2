//! A drill on a disk image: its partition table is read, its file systems are looked through, and files are read out of them.
//!
//! Nothing is restored: chunks are fetched as they are needed, and each is compared with its hash. File systems that are not
//! read here are named in the evidence, and prove nothing.

use std::sync::Arc;

use api::wire::keeper::Found;
use disks::files::{self, Bytes, ChunkReader, Entry, FilesError, Filesystem, Volume};
use disks::image::{StoredDisk, StoredImages};
use disks::manifest::Disk;
use fleet::{Drill, Outcome, Phase};
use platform::FileType;
use rand::Rng;
use repo::Repository;

use super::drill::newest;
use super::{Done, Site, count_of, size};
use crate::reporter::Reporter;
use crate::storage::Believes;
use crate::{Error, Result};

/// Entries of one file system that are looked through.
const MOST_ENTRIES: u64 = 500_000;

/// Files that are read of each.
const FILES: usize = 40;

/// Bytes that are read of one file at most: the beginning counts.
const LARGEST: u64 = 64 << 20;

/// What was found in all disks.
#[derive(Default)]
struct Findings {
    disks: u64,
    partitions: u64,
    read: Vec<String>,
    not_read: Vec<String>,
    entries: u64,
    files: u64,
    bytes: u64,
    wrong: Vec<String>,
}

pub(super) fn image_check(site: &Site, reporter: &Reporter) -> Result<Done> {
    let (repo, _lock) = site.open_locked(Believes::Cache)?;
    let Some((id, snapshot)) = newest(&repo, |snapshot| Ok(StoredImages::is_image(&repo, &snapshot.tree)?))? else {
        return Ok(Done::failed("there is no complete snapshot of disks that could be looked into"));
    };
    reporter.phase(Phase::Verifying, 0);
    let images = match StoredImages::open(&repo, id, &snapshot.tree) {
        Ok(images) => images,
        Err(error) => {
            return Ok(Done::failed(format!("the image of snapshot {} cannot be opened: {error}", id.short())));
        }
    };
    let mut findings = Findings::default();
    for (stored, described) in images.disks.iter().zip(&images.manifest.disks) {
        site.stop.check()?;
        look(site, &repo, stored, described, &mut findings)?;
    }
    let evidence = findings.evidence(&id);
    Ok(Done { outcome: findings.outcome(), found: Some(Found::Drilled { drill: Drill::ImageCheck, evidence }) })
}

fn look(site: &Site, repo: &Repository, stored: &StoredDisk, described: &Disk, into: &mut Findings) -> Result<()> {
    into.disks += 1;
    ChunkReader::with(repo, stored, &site.stop.cancel, |reader| {
        let bytes: Bytes = Arc::clone(reader) as Bytes;
        let volumes = match files::volumes(&bytes, described) {
            Ok(volumes) => volumes,
            Err(error) => {
                into.wrong.push(format!("disk {}: {error}", described.name));
                return site.stop.check();
            }
        };
        for volume in volumes {
            site.stop.check()?;
            into.partitions += u64::from(volume.number.is_some());
            into.volume(site, &bytes, described, &volume)?;
        }
        Ok(())
    })?
}

impl Findings {
    fn volume(&mut self, site: &Site, bytes: &Bytes, disk: &Disk, volume: &Volume) -> Result<()> {
        let place = format!("{}/{}", disk.name, volume.place());
        match volume.start.checked_add(volume.size) {
            Some(end) if end <= bytes.size() => {}
            _ => self.wrong.push(format!("{place} reaches beyond the end of its disk")),
        }
        let looked = files::open(bytes, disk, volume.place()).and_then(|filesystem| self.files(site, &*filesystem));
        match looked {
            Ok(()) => self.read.push(format!("{} on {place}", volume.kind)),
            Err(FilesError::Stopped) => return Err(Error::Cancelled),
            Err(FilesError::Foreign { kind, .. }) => self.not_read.push(format!("{kind} on {place}")),
            Err(error) => {
                site.stop.check()?;
                self.wrong.push(format!("{place}: {error}"));
            }
        }
        Ok(())
    }

    fn files(&mut self, site: &Site, filesystem: &dyn Filesystem) -> files::Result<()> {
        let (mut drawn, mut seen, mut entries) = (Vec::<(Vec<u8>, Entry)>::new(), 0_u64, 0_u64);
        let mut rng = rand::rng();
        let wrong = &mut self.wrong;
        let walked = files::walk(filesystem, &filesystem.root()?, &mut |path, found| {
            if site.stop.cancel.is_cancelled() || entries >= MOST_ENTRIES {
                return Err(FilesError::Stopped);
            }
            entries += 1;
            let entry = match found {
                Ok(entry) => entry,
                Err(error) => {
                    wrong.push(format!("/{}: {error}", String::from_utf8_lossy(path)));
                    return Ok(());
                }
            };
            if entry.file_type == FileType::Regular && entry.trouble.is_none() && entry.size > 0 {
                seen += 1;
                let place = rng.random_range(0..seen) as usize;
                match drawn.len() < FILES {
                    true => drawn.push((path.to_vec(), entry.clone())),
                    false if place < FILES => drawn[place] = (path.to_vec(), entry.clone()),
                    false => {}
                }
            }
            Ok(())
        });
        self.entries += entries;
        match walked {
            Err(FilesError::Stopped) if !site.stop.cancel.is_cancelled() => {}
            walked => walked?,
        }
        drawn.iter().try_for_each(|(path, entry)| self.file(site, filesystem, path, entry))
    }

    fn file(&mut self, site: &Site, filesystem: &dyn Filesystem, path: &[u8], entry: &Entry) -> files::Result<()> {
        let mut bytes = 0;
        let read = filesystem.read(entry, &mut |piece| {
            bytes += piece.len() as u64;
            if bytes >= LARGEST || site.stop.cancel.is_cancelled() { Err(FilesError::Stopped) } else { Ok(()) }
        });
        self.bytes += bytes;
        match read {
            Err(FilesError::Stopped) if site.stop.cancel.is_cancelled() => return Err(FilesError::Stopped),
            Ok(()) | Err(FilesError::Stopped) => self.files += 1,
            Err(error) => self.wrong.push(format!("/{}: {error}", String::from_utf8_lossy(path))),
        }
        Ok(())
    }

    fn evidence(&self, id: &repo::Id) -> String {
        let list = |words: &[String]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
        let not_read = match self.not_read.is_empty() {
            true => String::new(),
            false => format!(" Not looked into: {}.", list(&self.not_read)),
        };
        format!(
            "Of snapshot {}, {} with {} were opened; file systems looked through: {} ({}); {} read, {}.{not_read}",
            id.short(),
            count_of(self.disks, "disk"),
            count_of(self.partitions, "partition"),
            list(&self.read),
            count_of(self.entries, "name"),
            count_of(self.files, "file"),
            size(self.bytes),
        )
    }

    fn outcome(&self) -> Outcome {
        match self.wrong.first() {
            Some(first) => {
                let count = count_of(self.wrong.len() as u64, "thing");
                Outcome::Failed { why: format!("{count} in the image cannot be read, first {first}") }
            }
            None if self.read.is_empty() => Outcome::Failed {
                why: "none of the image's file systems is one that can be read here, so nothing is proven".into(),
            },
            None => Outcome::Good,
        }
    }
}
