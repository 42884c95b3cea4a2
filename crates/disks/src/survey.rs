//! A whole disk: its table, what is on each partition, and which of all its bytes are in use.

mod live;

use std::io;

use serde_json::{Value, json};

pub use live::LiveSurvey;

use crate::table::{Scheme, Table};
use crate::used::{self, Kind, Taken, Usage};
use crate::{Extent, Extents, ReadAt, Window};

/// One volume on a disk: a partition, or the whole disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The partition's number; none for a disk that is one volume.
    pub number: Option<u32>,
    /// Its bytes on the disk.
    pub range: Extent,
    /// What is on it.
    pub usage: Usage,
}

impl Volume {
    fn described(&self) -> Value {
        let size = self.range.end - self.range.start;
        let Usage { kind, label, uuid, block, state, warnings, .. } = &self.usage;
        json!({
            "partition": self.number, "start": self.range.start, "size": size, "kind": kind, "label": label, "uuid": uuid,
            "block": block, "file_system_size": self.usage.size, "left": state, "used": self.usage.used(size).bytes(),
            "last_used": self.usage.last_used(), "warnings": warnings,
        })
    }
}

/// What is on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Its partition table.
    pub table: Table,
    /// Every volume, in order of their numbers.
    pub volumes: Vec<Volume>,
    /// What a person should know of the disk as a whole; volumes and table have warnings of their own.
    pub warnings: Vec<String>,
}

impl Survey {
    /// Looks at a disk. `sector` is the size in bytes of its logical sectors. An error is one of the disk as a whole; what
    /// cannot be read of the table is told, and what cannot be read of a volume counts as used.
    pub fn of(disk: &dyn ReadAt, sector: u64, taken: Taken) -> io::Result<Survey> {
        let mut table = Table::salvage(disk, sector)?;
        let mut warnings = Vec::new();
        let whole = used::examine(disk, taken);
        let is_volume = whole.kind != Kind::Unknown || !whole.warnings.is_empty();
        let mut volumes = Vec::new();
        if is_volume && table.scheme != Scheme::None && holds_no_table(&whole) {
            // The boot sector of a FAT looks like a table at times.
            table = Table::none(disk.size(), sector);
        }
        if table.scheme == Scheme::None {
            volumes.push(Volume { number: None, range: 0..disk.size(), usage: whole });
        } else {
            if is_volume {
                warnings.push(format!(
                    "everything counts as used: the disk has partitions and looks like one volume ({}) too",
                    whole.kind
                ));
            }
            for partition in &table.partitions {
                let Some(window) = Window::new(disk, partition.start, partition.size) else { continue };
                let mut usage = used::examine(&window, taken);
                if is_volume {
                    usage.free = Extents::new();
                }
                volumes.push(Volume { number: Some(partition.number), range: partition.range(), usage });
            }
        }
        Ok(Survey { table, volumes, warnings })
    }

    /// The bytes of the disk that are proven to be free: in a volume that says so, and in no other volume where they are used.
    pub fn free(&self) -> Extents {
        let mut free: Extents = self
            .volumes
            .iter()
            .flat_map(|volume| volume.usage.free.shifted(volume.range.start).iter().collect::<Vec<_>>())
            .collect();
        for volume in &self.volumes {
            let size = volume.range.end - volume.range.start;
            for range in volume.usage.used(size).shifted(volume.range.start).iter() {
                free.remove(range);
            }
        }
        if self.table.scheme != Scheme::None {
            self.table.fixed.iter().for_each(|range| free.remove(range));
        }
        free
    }

    /// The bytes of the disk that are in use: all that are not proven to be free, those outside partitions included.
    pub fn used(&self) -> Extents {
        self.free().complement(self.table.size)
    }

    /// The partition table for a manifest; `null` if there is none.
    pub fn described_table(&self) -> Value {
        let Table { scheme, id, sector, partitions, is_hybrid, warnings, .. } = &self.table;
        match scheme {
            Scheme::None => Value::Null,
            _ => json!({
                "scheme": scheme, "id": id, "sector": sector, "partitions": partitions, "hybrid": is_hybrid,
                "warnings": warnings,
            }),
        }
    }

    /// The volumes for a manifest.
    pub fn described_volumes(&self) -> Value {
        self.volumes.iter().map(Volume::described).collect()
    }

    /// What a person should know: of the disk, its table and its volumes.
    pub fn all_warnings(&self) -> Vec<String> {
        let of_volumes = self.volumes.iter().flat_map(|volume| {
            let place = volume.number.map(|number| format!("partition {number}: ")).unwrap_or_default();
            volume.usage.warnings.iter().map(move |warning| format!("{place}{warning}"))
        });
        self.warnings.iter().chain(&self.table.warnings).cloned().chain(of_volumes).collect()
    }

    /// Replaces what is free in a volume, by what a mounted filesystem itself says about it. Ranges count from the volume's
    /// beginning; what lies beyond its end is left out.
    pub fn replace_free(&mut self, number: Option<u32>, free: &Extents) {
        for volume in self.volumes.iter_mut().filter(|volume| volume.number == number) {
            let size = volume.range.end - volume.range.start;
            volume.usage.free = free.within(0..size).collect();
        }
    }
}

/// Volumes whose first sector is a boot sector of their own, with the same signature as a table's.
fn holds_no_table(usage: &Usage) -> bool {
    matches!(usage.kind, Kind::Fat12 | Kind::Fat16 | Kind::Fat32 | Kind::Ntfs | Kind::Exfat)
}
