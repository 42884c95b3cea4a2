//! Partition tables: what they say, which bytes they occupy, and how they are written again for another size.
//!
//! A damaged table is never guessed at: where its backup does not help either, the disk is one unknown region, which a warning
//! says, and everything on it is used.

mod gpt;
mod layout;
mod mbr;
mod names;

use std::io;

use serde::{Deserialize, Serialize};

pub use layout::{Layout, LayoutError, Moved, Patch};

use crate::read::Worn;
use crate::{Extent, Extents, ReadAt};

/// Which kind of table a disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// None: the disk is empty, or one volume.
    None,
    /// A master boot record, with or without logical partitions.
    Mbr,
    /// A GUID partition table, with a protective or hybrid boot record.
    Gpt,
    /// One that is damaged beyond reading.
    Damaged,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// As Linux numbers it: from 1; logical ones from 5.
    pub number: u32,
    /// Where on the disk it begins, in bytes.
    pub start: u64,
    /// Its bytes.
    pub size: u64,
    /// Its type: a GUID, or a byte in hex such as `0x83`.
    pub kind: String,
    /// The type's name for people; the type itself where it has none.
    pub kind_name: String,
    /// Its own GUID; a boot record's disk id and number otherwise, as Linux writes it in PARTUUID.
    pub id: String,
    /// Its name, which GPT alone has.
    pub name: Option<String>,
    /// GPT's attributes; a boot record's active flag (0x80).
    pub flags: u64,
    /// True for one within an extended partition.
    pub is_logical: bool,
}

impl Partition {
    /// Its bytes on the disk.
    pub fn range(&self) -> Extent {
        self.start..self.start.saturating_add(self.size)
    }
}

/// A disk's partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Which kind.
    pub scheme: Scheme,
    /// The disk's GUID, or a boot record's disk id in eight hex digits.
    pub id: Option<String>,
    /// Bytes that the table counts in.
    pub sector: u64,
    /// The disk's bytes.
    pub size: u64,
    /// In order of their numbers. Extended partitions are not among them; those within are.
    pub partitions: Vec<Partition>,
    /// Bytes that must be kept exactly: boot code, tables and their copies, and the gap before the first partition, where
    /// boot loaders put themselves.
    pub fixed: Extents,
    /// True if GPT's boot record has partitions of its own.
    pub is_hybrid: bool,
    /// What a person should know.
    pub warnings: Vec<String>,
    inner: Inner,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Inner {
    None,
    Mbr(mbr::Mbr),
    Gpt(gpt::Gpt),
}

impl Table {
    /// Reads a disk's table. `sector` is the size in bytes of the device's logical sectors: 512 for a file. An error is one of
    /// reading; damage is told in the warnings.
    pub fn read(disk: &dyn ReadAt, sector: u64) -> io::Result<Table> {
        let sector = if matches!(sector, 512 | 1024 | 2048 | 4096) { sector } else { 512 };
        let mut table = Table::none(disk.size(), sector);
        if disk.size() < sector * 2 {
            return Ok(table);
        }
        let Some(record) = mbr::Record::read(disk, 0, sector)? else {
            gpt::read_without_record(disk, &mut table)?;
            return Ok(table);
        };
        if record.is_protective() {
            gpt::read(disk, &record, &mut table)?;
        } else {
            mbr::read(disk, &record, &mut table)?;
        }
        table.partitions.sort_by_key(|partition| partition.number);
        Ok(table)
    }

    /// As [`Table::read`], with zeros for what the medium does not give. They belong to no partition that is not vouched for
    /// elsewhere, so nothing is taken for free because of them; each is told in the warnings.
    pub(crate) fn salvage(disk: &dyn ReadAt, sector: u64) -> io::Result<Table> {
        let worn = Worn::new(disk, sector.max(512));
        let mut table = Table::read(&worn, sector)?;
        for lost in worn.into_lost().iter() {
            table.warn(format!("{} bytes at {} of the disk cannot be read", lost.end - lost.start, lost.start));
        }
        Ok(table)
    }

    /// A disk without a table.
    pub(crate) fn none(size: u64, sector: u64) -> Table {
        Table {
            scheme: Scheme::None,
            id: None,
            sector,
            size,
            partitions: Vec::new(),
            fixed: Extents::new(),
            is_hybrid: false,
            warnings: Vec::new(),
            inner: Inner::None,
        }
    }

    /// Bytes that belong neither to a partition nor to the table.
    pub fn unpartitioned(&self) -> Extents {
        let mut rest = self.fixed.complement(self.size);
        if self.scheme != Scheme::Damaged {
            self.partitions.iter().for_each(|partition| rest.remove(partition.range()));
        }
        rest
    }

    /// Where the table's copy lies at the end of the disk; nowhere for tables that have none.
    pub(crate) fn backup(&self) -> Extent {
        match &self.inner {
            Inner::Gpt(gpt) => gpt.backup(self),
            _ => self.size..self.size,
        }
    }

    /// The partition of that number.
    pub fn partition(&self, number: u32) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.number == number)
    }

    fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }

    fn damaged(&mut self, why: impl std::fmt::Display) {
        self.scheme = Scheme::Damaged;
        self.inner = Inner::None;
        self.partitions.clear();
        self.fixed = Extents::all(self.size);
        self.warn(format!("the partition table cannot be read, so the whole disk counts as used: {why}"));
    }

    /// Keeps everything before the first partition: it is where boot loaders put themselves. A first partition that begins at
    /// once leaves only the table.
    fn keep_head(&mut self, table: u64) {
        let first = self.partitions.iter().map(|partition| partition.start).min();
        self.fixed.insert(0..table.min(self.size));
        if let Some(first) = first {
            self.fixed.insert(0..first.min(self.size));
        }
    }
}
