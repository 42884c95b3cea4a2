//! The volumes of a stored disk: where they are, as its own partition table says, and the reader for what is on one.

use serde_json::Value;

use super::exfat::Exfat;
use super::ext::Ext;
use super::fat::Fat;
use super::ntfs::Ntfs;
use super::{Bytes, FilesError, Filesystem, Result};
use crate::manifest::Disk;
use crate::survey::Survey;
use crate::table::{Scheme, Table};
use crate::used::fields::{byte, le16, part};
use crate::used::{Kind, Taken};
use crate::{ReadAt, Window};

/// A partition of a stored disk, or the whole disk if it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The partition's number; none for a disk that is one volume.
    pub number: Option<u32>,
    /// Where it begins on the disk, in bytes.
    pub start: u64,
    /// Its bytes.
    pub size: u64,
    /// What is on it.
    pub kind: Kind,
    /// The filesystem's label.
    pub label: Option<String>,
    /// The name that a GPT gives the partition.
    pub name: Option<String>,
}

impl Volume {
    /// As it is written after the disk's name: the partition's number, or 0.
    pub fn place(&self) -> u32 {
        self.number.unwrap_or(0)
    }
}

/// What a disk consists of. Places come from the image; labels and kinds from the manifest, if it has them.
pub fn volumes(bytes: &Bytes, disk: &Disk) -> Result<Vec<Volume>> {
    let mut found = places(bytes, disk)?;
    match &disk.volumes {
        Value::Array(described) => found.iter_mut().for_each(|volume| volume.take_described(described)),
        _ => {
            let survey = Survey::of(bytes, u64::from(disk.logical_sector), Taken::AsFound).map_err(unreadable)?;
            for volume in &mut found {
                if let Some(known) = survey.volumes.iter().find(|known| known.number == volume.number) {
                    (volume.kind, volume.label) = (known.usage.kind, known.usage.label.clone());
                }
            }
        }
    }
    Ok(found)
}

fn places(bytes: &Bytes, disk: &Disk) -> Result<Vec<Volume>> {
    let whole = recognise(bytes);
    let table = Table::read(bytes, u64::from(disk.logical_sector)).map_err(unreadable)?;
    // Their boot sectors look like a table at times.
    let is_volume = matches!(whole, Kind::Fat12 | Kind::Ntfs | Kind::Exfat);
    if is_volume || table.scheme == Scheme::None {
        let (size, label, name) = (bytes.size(), None, None);
        return Ok(vec![Volume { number: None, start: 0, size, kind: whole, label, name }]);
    }
    let volume = |partition: &crate::table::Partition| {
        let (start, size) = (partition.start, partition.size);
        let kind = Window::new(bytes, start, size).map_or(Kind::Unknown, |window| recognise(&window));
        let name = partition.name.clone().filter(|name| !name.is_empty());
        Volume { number: Some(partition.number), start, size, kind, label: None, name }
    };
    Ok(table.partitions.iter().map(volume).collect())
}

impl Volume {
    fn take_described(&mut self, described: &[Value]) {
        let number = |value: &Value| value["partition"].as_u64();
        let Some(ours) = described.iter().find(|value| number(value) == self.number.map(u64::from)) else { return };
        self.label = ours["label"].as_str().filter(|label| !label.is_empty()).map(str::to_owned);
        if let Ok(kind) = serde_json::from_value(ours["kind"].clone()) {
            self.kind = kind;
        }
    }
}

/// Opens the filesystem on a partition; 0 is a disk that has none.
///
/// # Errors
/// [`FilesError::NoPartition`], [`FilesError::Foreign`] for what is not read here, and what the reader finds wrong.
pub fn open(bytes: &Bytes, disk: &Disk, wanted: u32) -> Result<Box<dyn Filesystem>> {
    let volumes = places(bytes, disk)?;
    let Some(volume) = volumes.iter().find(|volume| volume.place() == wanted) else {
        return Err(no_partition(disk, wanted, &volumes));
    };
    let (start, size) = (volume.start, volume.size);
    let window = Window::new(bytes.clone(), start, size);
    let window: Bytes =
        std::sync::Arc::new(window.ok_or_else(|| FilesError::Damaged("the partition is not on the disk".into()))?);
    open_volume(window).map_err(|error| match error {
        FilesError::Foreign { kind, .. } => FilesError::Foreign { kind, start, size },
        error => error,
    })
}

/// Opens the filesystem on a volume, whatever disk it is on.
pub fn open_volume(volume: Bytes) -> Result<Box<dyn Filesystem>> {
    Ok(match recognise(&volume) {
        Kind::Ext2 | Kind::Ext3 | Kind::Ext4 => Box::new(Ext::open(volume)?),
        Kind::Ntfs => Box::new(Ntfs::open(volume)?),
        Kind::Exfat => Box::new(Exfat::open(volume)?),
        Kind::Fat12 | Kind::Fat16 | Kind::Fat32 => Box::new(Fat::open(volume)?),
        kind => return Err(FilesError::Foreign { kind, start: 0, size: volume.size() }),
    })
}

fn no_partition(disk: &Disk, wanted: u32, volumes: &[Volume]) -> FilesError {
    let numbers: Vec<String> = volumes.iter().map(|volume| volume.place().to_string()).collect();
    let has = match (volumes, numbers.is_empty()) {
        ([Volume { number: None, .. }], _) => "no partitions, so its number is 0".into(),
        (_, true) => "none".into(),
        _ => numbers.join(", "),
    };
    FilesError::NoPartition { disk: disk.name.clone(), wanted: wanted.to_string(), has }
}

fn unreadable(error: std::io::Error) -> FilesError {
    FilesError::Damaged(format!("the disk's partition table cannot be read: {error}"))
}

/// Names at fixed places. Kinds of ext and of FAT are not told apart: one reader reads each family.
const NAMES: [(usize, &[u8], Kind); 9] = [
    (0, b"LUKS\xba\xbe", Kind::Luks),
    (3, b"-FVE-FS-", Kind::BitLocker),
    (0, b"XFSB", Kind::Xfs),
    (3, b"NTFS    ", Kind::Ntfs),
    (3, b"EXFAT   ", Kind::Exfat),
    (1080, b"\x53\xef", Kind::Ext4),
    (4086, b"SWAPSPACE2", Kind::Swap),
    (0x10040, b"_BHRfS_M", Kind::Btrfs),
    (4096, b"\xfc\x4e\x2b\xa9", Kind::Raid),
];

/// What is on a volume, by what it says of itself at its beginning.
fn recognise(volume: &dyn ReadAt) -> Kind {
    let mut head = vec![0; volume.size().min(0x10100) as usize];
    if volume.read_at(0, &mut head).is_err() {
        return Kind::Unknown;
    }
    if (0..4).any(|sector| part(&head, sector * 512, 8) == b"LABELONE") {
        return Kind::Lvm;
    }
    let named = NAMES.iter().find(|(at, name, _)| part(&head, *at, name.len()) == *name);
    match named {
        Some((_, _, kind)) => *kind,
        None if is_fat(&head) => Kind::Fat12,
        None => Kind::Unknown,
    }
}

/// A FAT has no name: its numbers tell.
fn is_fat(head: &[u8]) -> bool {
    matches!(byte(head, 0), 0xeb | 0xe9)
        && le16(head, 510) == 0xaa55
        && crate::used::fat::Fat::parse(part(head, 0, 512)).is_some()
}
