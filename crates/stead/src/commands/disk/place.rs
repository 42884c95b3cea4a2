//! `SNAPSHOT:DISK/PARTITION/PATH`: a place in the image of a disk, and the way to it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use disks::files::{Bytes, ChunkReader, FilesError, Filesystem};
use disks::image::StoredImages;
use disks::manifest::Disk;
use disks::used::Kind;
use repo::snapshot::{Snapshot, SnapshotFilter};
use repo::{Id, Repository};

use crate::failure::{Doing, Failure, Outcome};
use crate::open::{Context, Opened};
use crate::select::FilterArgs;

/// What a person wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// As they wrote it.
    pub(super) text: OsString,
    pub(super) snapshot: String,
    /// The disk, if one is named.
    pub(super) disk: Option<String>,
    /// The partition, if one is named; 0 for a disk without.
    pub(super) partition: Option<u32>,
    /// The path on it, without a slash at its beginning.
    pub(super) path: Vec<u8>,
}

/// An image with the snapshot that holds it.
pub(super) struct Found {
    pub(super) id: Id,
    pub(super) snapshot: Snapshot,
    pub(super) images: StoredImages,
}

impl Place {
    /// Takes a place apart.
    pub(super) fn parse(text: &OsStr) -> Outcome<Place> {
        let written = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (snapshot, rest) = split(text.as_bytes(), b':');
        let (disk, rest) = split(rest.unwrap_or_default(), b'/');
        let (partition, path) = split(rest.unwrap_or_default(), b'/');
        let number = written(partition);
        let partition = match number.as_str() {
            "" => None,
            digits => Some(digits.parse::<u32>().map_err(|_| {
                Failure::new(format!("`{digits}` in `{}` is no number of a partition", text.to_string_lossy()))
                    .hint("a file's place is SNAPSHOT:DISK/PARTITION/PATH, as in `latest:sda/1/etc/fstab`")
            })?),
        };
        Ok(Place {
            text: text.to_owned(),
            snapshot: written(snapshot),
            disk: Some(written(disk)).filter(|disk| !disk.is_empty()),
            partition,
            path: path.unwrap_or_default().to_vec(),
        })
    }

    /// The snapshot that is meant, and its images. `latest` is the newest that holds any, or the disk that is named.
    pub(super) fn find(&self, repo: &Repository, filter: &FilterArgs) -> Outcome<Found> {
        let filter = filter.filter();
        let (id, snapshot) = match self.snapshot.as_str() {
            "latest" => self.newest(repo, &filter)?,
            name => {
                let found = repo.find_snapshot(name, &filter)?;
                (found.id, found.snapshot)
            }
        };
        let images = StoredImages::open(repo, id, &snapshot.tree)?;
        Ok(Found { id, snapshot, images })
    }

    fn newest(&self, repo: &Repository, filter: &SnapshotFilter) -> Outcome<(Id, Snapshot)> {
        let all = repo.snapshots()?.all;
        let mut newest_first = all.into_iter().rev().filter(|(_, one)| !one.is_partial() && filter.matches(one));
        let found = newest_first.find(|(_, one)| self.is_in(repo, one));
        found.ok_or_else(|| {
            let of = self.disk.as_deref().map(|disk| format!(" of {disk}")).unwrap_or_default();
            Failure::new(format!("no snapshot holds a disk image{of}"))
                .hint("`stead disk ls latest` shows the newest image; `stead disk backup` makes one")
        })
    }

    fn is_in(&self, repo: &Repository, snapshot: &Snapshot) -> bool {
        let Ok(root) = repo.read_tree(&snapshot.tree) else { return false };
        let directory = self.disk.as_deref().map(|disk| format!("{disk}.img"));
        root.find(disks::image::MANIFEST.as_bytes()).is_some()
            && directory.is_none_or(|directory| root.find(directory.as_bytes()).is_some())
    }

    /// Runs `work` with the bytes of the disk that is named.
    pub(super) fn with_disk<T>(
        &self,
        context: &Context,
        opened: &Opened,
        found: &Found,
        work: impl FnOnce(&Bytes, &Disk) -> Outcome<T>,
    ) -> Outcome<T> {
        let disk = self.disk.as_deref().unwrap_or_default();
        let Some((stored, described)) = found.images.disk(disk) else {
            let has: Vec<&str> = found.images.disks.iter().map(|disk| disk.name.as_str()).collect();
            let (id, has) = (found.id.short(), has.join(", "));
            return Err(Failure::new(format!("snapshot {id} has no disk {disk:?}; it has {has}")));
        };
        ChunkReader::with(&opened.repo, stored, &context.cancel, |reader| {
            let bytes: Bytes = Arc::clone(reader) as Bytes;
            let done = work(&bytes, described);
            // Who was interrupted could not read either.
            if done.is_err() {
                context.cancel.check()?
            }
            done
        })?
    }

    /// Runs `work` with the filesystem that is named.
    pub(super) fn with_files<T>(
        &self,
        context: &Context,
        opened: &Opened,
        filter: &FilterArgs,
        work: impl FnOnce(&dyn Filesystem) -> Outcome<T>,
    ) -> Outcome<T> {
        let found = self.find(&opened.repo, filter)?;
        self.with_disk(context, opened, &found, |bytes, disk| self.in_disk(bytes, disk, work))
    }

    /// The same once the disk's bytes are there.
    pub(super) fn in_disk<T>(
        &self,
        bytes: &Bytes,
        disk: &Disk,
        work: impl FnOnce(&dyn Filesystem) -> Outcome<T>,
    ) -> Outcome<T> {
        let number = self.partition.unwrap_or_default();
        let doing = || format!("cannot read partition {number} of disk {}", disk.name);
        match disks::files::open(bytes, disk, number) {
            Ok(filesystem) => work(&*filesystem),
            Err(error) => Err(self.advised(error)).doing(doing),
        }
    }

    /// With what to do instead where files cannot be read here.
    fn advised(&self, error: FilesError) -> Failure {
        let hint = match &error {
            FilesError::Foreign { kind, start, size } => self.instead(*kind, *start, *size),
            FilesError::NoPartition { .. } => {
                format!("`stead disk ls {}:{}` shows them", self.snapshot, self.disk.as_deref().unwrap_or_default())
            }
            FilesError::Unsupported(_) | FilesError::Damaged(_) => self.mounted("ro", 0, 0),
            _ => return error.into(),
        };
        Failure::from(error).hint(hint)
    }

    /// How to get at files that are not read here: restored into a sparse file, of which a part is mounted.
    fn instead(&self, kind: Kind, start: u64, size: u64) -> String {
        let show = |then: &str| {
            let restore = self.restore();
            format!(
                "{restore}; `losetup --find --show --read-only --offset {start} --sizelimit {size} disk.raw`; {then}"
            )
        };
        match kind {
            Kind::Xfs => self.mounted("ro,norecovery,nouuid", start, size),
            Kind::Lvm => show("then `vgchange --activate y VG --readonly` and mount what `lvs` shows, with `-o ro`"),
            Kind::Luks => {
                show("then `cryptsetup open --readonly /dev/loopN plain` and `mount -o ro /dev/mapper/plain /mnt`")
            }
            Kind::Raid => show("then `mdadm --assemble --readonly /dev/mdN /dev/loopN` and mount that, with `-o ro`"),
            Kind::BitLocker => show("then `cryptsetup open --type bitlk --readonly /dev/loopN plain` and mount that"),
            Kind::Swap => "swap space holds no files".into(),
            Kind::ExtJournal => "the journal of another volume holds no files".into(),
            _ => self.mounted("ro", start, size),
        }
    }

    fn restore(&self) -> String {
        let disk = self.disk.as_deref().unwrap_or_default();
        format!("`stead disk restore {}:{disk} disk.raw` makes a file without the free space", self.snapshot)
    }

    fn mounted(&self, options: &str, start: u64, size: u64) -> String {
        let place = if size == 0 { String::new() } else { format!(",offset={start},sizelimit={size}") };
        format!("{}; then `mount -o loop,{options}{place} disk.raw /mnt`", self.restore())
    }
}

/// Before and after the first separator.
fn split(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == separator) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (String, Option<String>, Option<u32>, String) {
        let place = Place::parse(OsStr::new(text)).unwrap();
        (place.snapshot, place.disk, place.partition, String::from_utf8(place.path).unwrap())
    }

    #[test]
    fn places_are_taken_apart() {
        let owned = |text: &str| Some(text.to_owned());
        assert_eq!(parse("latest"), ("latest".into(), None, None, String::new()));
        assert_eq!(parse("ab12:sda"), ("ab12".into(), owned("sda"), None, String::new()));
        assert_eq!(parse("ab12:sda/"), ("ab12".into(), owned("sda"), None, String::new()));
        assert_eq!(parse("latest:sda/1"), ("latest".into(), owned("sda"), Some(1), String::new()));
        assert_eq!(parse("latest:sda/1/etc/a:b"), ("latest".into(), owned("sda"), Some(1), "etc/a:b".into()));
        assert!(Place::parse(OsStr::new("latest:sda/etc")).is_err());
    }
}
