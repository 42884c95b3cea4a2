//! What a snapshot of disks says about them: `manifest.json` in its root.
//!
//! Numbers are in bytes. The reader is strict where a wrong value would do harm (names, sizes, the used map) and passes over
//! members it does not know; a manifest of a later version is refused.

mod used;

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use used::UsedMap;

use crate::image::{DiskName, Geometry};
use crate::structure::Layer;
use crate::{CHUNK, SEGMENT};

/// What the member `format` holds.
pub const FORMAT: &str = "stead-disk-image";

/// The version that is written, and the highest that is read.
pub const VERSION: u32 = 1;

/// The longest manifest in bytes that is read.
pub const MAX_MANIFEST: u64 = 64 << 20;

/// More disks are in no snapshot.
const MAX_DISKS: usize = 1024;

/// Describes all images of one snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// The version of the description, [`VERSION`].
    pub version: u32,
    /// Name and version of the program that wrote it.
    pub program: String,
    /// Whose disks.
    pub machine: String,
    /// The instant that all disks are of.
    pub time: Timestamp,
    /// Whether all of them are whole and of one instant.
    pub state: State,
    /// The disks, in no particular order.
    pub disks: Vec<Disk>,
    /// What the machine consists of, as `stead disk list --json` tells it; `null` if it is not known.
    #[serde(default)]
    pub hardware: Value,
}

/// How good the images are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Everything in use was read.
    Complete,
    /// Parts could not be read: see [`Disk::gaps`].
    Incomplete,
    /// The disks were written to while they were read, and nothing accounted for it.
    Inconsistent,
}

/// How consistent an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// Nobody wrote while it was read.
    Offline,
    /// One instant, with its file systems frozen: they need no repair.
    Frozen,
    /// One instant, as after a power cut.
    Crash,
    /// No single instant.
    None,
}

/// One disk or volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disk {
    /// Its name in the snapshot: the directory is this with `.img`.
    pub name: String,
    /// The device or file that was read.
    pub device: String,
    /// Bytes.
    pub size: u64,
    /// The first byte on its disk, 0 of a whole one; `None` if it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// Bytes of the smallest part that can be addressed.
    pub logical_sector: u32,
    /// Bytes of the smallest part that is written without reading.
    pub physical_sector: u32,
    /// What tells it from others.
    pub identity: Identity,
    /// Bytes per segment.
    pub segment_size: u64,
    /// Bytes per chunk.
    pub chunk_size: u64,
    /// Which parts are in use; everything else reads as zeros.
    pub used: UsedMap,
    /// Its partition table; `null` if it has none or it was not looked at.
    #[serde(default)]
    pub table: Value,
    /// Partitions, volumes and file systems on it, as they were recognised; `null` if nobody looked.
    #[serde(default)]
    pub volumes: Value,
    /// What the volume lay in, from it down; empty for disks and partitions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub structure: Vec<Layer>,
    /// How it was read.
    pub capture: Capture,
    /// Bytes that could not be read and are zeros instead, as start and length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<(u64, u64)>,
}

/// What tells a disk from others, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Identity {
    /// Maker and model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Serial number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// World-wide name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wwn: Option<String>,
}

/// How a disk was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    /// What gave the consistent view: `offline`, `tracker`, `lvm-thin`, `lvm-thick`, `device-mapper`, `none`.
    pub provider: String,
    /// How consistent the image is.
    pub consistency: Consistency,
    /// How often the disk was gone over.
    pub passes: u32,
    /// For how many milliseconds its file systems were frozen.
    #[serde(default)]
    pub freeze_ms: u64,
    /// Bytes that were read more than once, because they were written meanwhile.
    #[serde(default)]
    pub reread_bytes: u64,
    /// What the kernel's own count of written sectors said about the tracker; `null` if it was not asked.
    #[serde(default)]
    pub cross_check: Value,
}

impl Capture {
    /// Of a disk that nobody wrote to, gone over once.
    pub fn offline() -> Capture {
        Capture {
            provider: "offline".into(),
            consistency: Consistency::Offline,
            passes: 1,
            freeze_ms: 0,
            reread_bytes: 0,
            cross_check: Value::Null,
        }
    }
}

impl Manifest {
    /// A manifest without disks, in this version.
    pub fn new(program: &str, machine: &str, time: Timestamp) -> Manifest {
        Manifest {
            format: FORMAT.into(),
            version: VERSION,
            program: program.into(),
            machine: machine.into(),
            time,
            state: State::Complete,
            disks: Vec::new(),
            hardware: Value::Null,
        }
    }

    /// The JSON that is stored, for people to read as well.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec(self).expect("a manifest is JSON");
        json.push(b'\n');
        json
    }

    /// Reads and checks a manifest; errors in words.
    pub fn parse(json: &[u8]) -> Result<Manifest, String> {
        let head: Head =
            serde_json::from_slice(json).map_err(|error| format!("the manifest is unreadable: {error}"))?;
        if head.format != FORMAT {
            return Err(format!("the manifest says that it is {:?}, not {FORMAT:?}", head.format));
        }
        if head.version == 0 || head.version > VERSION {
            return Err(format!("the manifest has version {}, this program reads up to {VERSION}", head.version));
        }
        let manifest: Manifest =
            serde_json::from_slice(json).map_err(|error| format!("the manifest is unreadable: {error}"))?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.disks.len() > MAX_DISKS {
            return Err(format!("the manifest names {} disks", self.disks.len()));
        }
        let mut names = BTreeSet::new();
        for disk in &self.disks {
            disk.check().map_err(|reason| format!("the manifest lies about disk {:?}: {reason}", disk.name))?;
            if !names.insert(&disk.name) {
                return Err(format!("the manifest names disk {:?} twice", disk.name));
            }
        }
        Ok(())
    }
}

/// What must be known before the rest is believed.
#[derive(Deserialize)]
struct Head {
    format: String,
    version: u32,
}

impl Disk {
    fn check(&self) -> Result<(), String> {
        DiskName::new(&self.name).map_err(|error| error.to_string())?;
        if Geometry::new(self.size).is_none() {
            return Err(format!("it has {} bytes, which is more than an image can have", self.size));
        }
        if (self.segment_size, self.chunk_size) != (SEGMENT, CHUNK) {
            let (segment, chunk) = (self.segment_size, self.chunk_size);
            return Err(format!("it has segments of {segment} and chunks of {chunk} bytes, which version 1 has not"));
        }
        for sector in [self.logical_sector, self.physical_sector] {
            if !sector.is_power_of_two() || !(512..=1 << 20).contains(&sector) {
                return Err(format!("its sectors have {sector} bytes"));
            }
        }
        self.used.check(self.size)?;
        let beyond = |(start, length): &&(u64, u64)| start.checked_add(*length).is_none_or(|end| end > self.size);
        match self.gaps.iter().find(beyond) {
            Some((start, length)) => Err(format!("a gap of {length} bytes at {start} is beyond its end")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Extents;

    fn manifest() -> Manifest {
        let mut manifest = Manifest::new("stead 1", "shop", "2026-11-22T05:00:00Z".parse().unwrap());
        manifest.disks.push(Disk {
            name: "sda".into(),
            device: "/dev/sda".into(),
            size: 10 << 30,
            start: None,
            logical_sector: 512,
            physical_sector: 4096,
            identity: Identity { serial: Some("S1".into()), ..Identity::default() },
            segment_size: SEGMENT,
            chunk_size: CHUNK,
            used: UsedMap::new(&Extents::from(4096..1 << 20), 10 << 30),
            table: Value::Null,
            volumes: Value::Null,
            structure: Vec::new(),
            capture: Capture::offline(),
            gaps: vec![(512, 512)],
        });
        manifest
    }

    /// What reading says about a manifest with one member replaced.
    fn lie(pointer: &str, value: Value) -> String {
        let mut json = serde_json::to_value(manifest()).unwrap();
        *json.pointer_mut(pointer).unwrap() = value;
        Manifest::parse(&serde_json::to_vec(&json).unwrap()).unwrap_err()
    }

    #[test]
    fn what_is_written_reads_back_and_unknown_members_do_no_harm() {
        let manifest = manifest();
        assert_eq!(Manifest::parse(&manifest.to_json()), Ok(manifest.clone()));
        let mut json = serde_json::to_value(&manifest).unwrap();
        json["later"] = json!({"a": 1});
        json["disks"][0]["later"] = json!([]);
        assert_eq!(Manifest::parse(&serde_json::to_vec(&json).unwrap()), Ok(manifest));
    }

    #[test]
    fn a_manifest_that_lies_is_refused_in_words() {
        let lies = [
            ("/format", json!("else"), "not \"stead-disk-image\""),
            ("/version", json!(2), "version 2"),
            ("/disks/0/name", json!("../etc"), "slash"),
            ("/disks/0/name", json!(""), "empty"),
            ("/disks/0/size", json!(u64::MAX), "more than an image can have"),
            ("/disks/0/size", json!(-1), "unreadable"),
            ("/disks/0/chunk_size", json!(0), "chunks of 0"),
            ("/disks/0/logical_sector", json!(0), "sectors"),
            ("/disks/0/gaps/0", json!([10u64 << 30, 1]), "gap"),
            ("/disks/0/gaps/0", json!([u64::MAX, u64::MAX]), "gap"),
            ("/disks/0/used/unit", json!(0), "used map"),
            ("/disks/0/used/runs", json!([u64::MAX, 1]), "used map"),
            ("/disks/0/used/runs", json!([0, 5u64 << 30]), "used map"),
            ("/state", json!("fine"), "unreadable"),
            ("/disks", json!(null), "unreadable"),
        ];
        for (pointer, value, words) in lies {
            let said = lie(pointer, value);
            assert!(said.contains(words), "{pointer}: {said}");
        }
        let mut twice = manifest();
        twice.disks.push(twice.disks[0].clone());
        assert!(Manifest::parse(&twice.to_json()).unwrap_err().contains("twice"));
    }

    #[test]
    fn a_cut_manifest_is_an_error() {
        let json = manifest().to_json();
        for length in 0..json.len() - 1 {
            assert!(Manifest::parse(&json[..length]).is_err(), "cut to {length}");
        }
    }
}
