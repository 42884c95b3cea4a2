//! Where the bytes of a mapped device lie on the disk below it: volumes of LVM and what dm-crypt shows, in any order on top of
//! each other, as long as each byte of theirs is one byte of one disk.
//!
//! The kernel tells of ended requests by disks, not by what is mapped onto them. With this, what was written to a disk is known
//! of each device on it.

use std::io;

use platform::{BlockDevice, DeviceNumber};

use crate::provider::{ProgramError, Programs};
use crate::{Extent, Extents};

/// Why it is not known where a device's bytes lie.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum PlacesError {
    #[error("cannot look at {device}: {cause}")]
    Look { device: String, cause: io::Error },
    #[error(transparent)]
    Program(#[from] ProgramError),
    #[error("{device} is mapped by the target {target:?}, whose bytes are not those of one disk")]
    Target { device: String, target: String },
    #[error("{device} lies on several disks: {}", disks.join(", "))]
    SeveralDisks { device: String, disks: Vec<String> },
    #[error("the table of {device} is not understood: {line:?}")]
    Table { device: String, line: String },
    #[error("{device} is mapped through too many devices")]
    TooDeep { device: String },
}

/// A run of a device's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    /// Where it begins on the device.
    at: u64,
    /// Where it lies on the disk.
    on_disk: Extent,
}

/// Where all bytes of a device lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    disk: BlockDevice,
    pieces: Vec<Piece>,
}

/// Devices on top of each other.
const DEEPEST: u32 = 16;

impl Places {
    /// Of a device: a disk, a partition, or what the device mapper makes of them.
    pub fn of(device: &BlockDevice, programs: &dyn Programs) -> Result<Places, PlacesError> {
        find(device, programs, 0)
    }

    /// The disk below.
    pub fn disk(&self) -> &BlockDevice {
        &self.disk
    }

    /// What of the device is at these bytes of the disk.
    pub fn on_device(&self, on_disk: &Extents) -> Extents {
        let of_piece = |piece: &Piece| {
            let (at, start) = (piece.at, piece.on_disk.start);
            let found = on_disk.within(piece.on_disk.clone());
            found.map(move |range| range.start - start + at..range.end - start + at).collect::<Vec<_>>()
        };
        self.pieces.iter().flat_map(of_piece).collect()
    }

    /// Where these bytes of the device lie on the disk.
    pub fn on_disk(&self, on_device: &Extents) -> Extents {
        let ranges = on_device.iter().flat_map(|range| self.part(0, range));
        ranges.map(|piece| piece.on_disk).collect()
    }

    /// All of the disk that is the device's.
    pub fn all_on_disk(&self) -> Extents {
        self.pieces.iter().map(|piece| piece.on_disk.clone()).collect()
    }

    /// What of a device that maps this range, as that device's own pieces; it begins there at `at`.
    fn part(&self, at: u64, range: Extent) -> impl Iterator<Item = Piece> + '_ {
        self.pieces.iter().filter_map(move |piece| {
            let length = piece.on_disk.end - piece.on_disk.start;
            let (start, end) = (range.start.max(piece.at), range.end.min(piece.at + length));
            (start < end).then(|| Piece {
                at: start - range.start + at,
                on_disk: piece.on_disk.start + (start - piece.at)..piece.on_disk.start + (end - piece.at),
            })
        })
    }
}

fn find(device: &BlockDevice, programs: &dyn Programs, depth: u32) -> Result<Places, PlacesError> {
    let look = |cause| PlacesError::Look { device: device.name(), cause };
    if depth > DEEPEST {
        return Err(PlacesError::TooDeep { device: device.name() });
    }
    let Ok(name) = device.text("dm/name") else {
        let (start, size) = (device.start().map_err(look)?, device.size().map_err(look)?);
        let piece = Piece { at: 0, on_disk: start..start.saturating_add(size) };
        return Ok(Places { disk: device.disk().map_err(look)?, pieces: vec![piece] });
    };
    let said = programs.run("dmsetup", &["table", &name])?;
    let lines = said.lines().filter(|line| !line.trim().is_empty());
    let runs = lines.map(|line| Run::parse(&name, line)).collect::<Result<Vec<_>, _>>()?;
    joined(&name, runs, |number| {
        let below =
            BlockDevice::new(number).map_err(|cause| PlacesError::Look { device: number.to_string(), cause })?;
        find(&below, programs, depth + 1)
    })
}

fn joined(
    name: &str,
    runs: Vec<Run>,
    mut below: impl FnMut(DeviceNumber) -> Result<Places, PlacesError>,
) -> Result<Places, PlacesError> {
    let mut disks: Vec<BlockDevice> = Vec::new();
    let mut pieces = Vec::new();
    for run in runs {
        let places = below(run.device)?;
        let on_it = run.start..run.start.saturating_add(run.length);
        let its: Vec<Piece> = places.part(run.at, on_it).collect();
        if its.iter().map(|piece| piece.on_disk.end - piece.on_disk.start).sum::<u64>() != run.length {
            let line = format!("{} bytes at {} of {}", run.length, run.start, run.device);
            return Err(PlacesError::Table { device: name.to_owned(), line });
        }
        pieces.extend(its);
        if !disks.contains(&places.disk) {
            disks.push(places.disk);
        }
    }
    match disks.len() {
        1 => Ok(Places { disk: disks.remove(0), pieces }),
        0 => Err(PlacesError::Table { device: name.to_owned(), line: String::new() }),
        _ => {
            let disks = disks.iter().map(BlockDevice::name).collect();
            Err(PlacesError::SeveralDisks { device: name.to_owned(), disks })
        }
    }
}

/// A line of a table whose bytes are those of a device, one for one.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    at: u64,
    length: u64,
    device: DeviceNumber,
    start: u64,
}

impl Run {
    /// `START LENGTH linear DEVICE OFFSET`, or `START LENGTH crypt CIPHER KEY IV DEVICE OFFSET …`, in sectors.
    fn parse(device: &str, line: &str) -> Result<Run, PlacesError> {
        let not_understood = || PlacesError::Table { device: device.to_owned(), line: line.to_owned() };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let word = |number: usize| words.get(number).copied().ok_or_else(not_understood);
        let bytes = |number: usize| {
            let sectors: u64 = word(number)?.parse().map_err(|_| not_understood())?;
            sectors.checked_mul(512).ok_or_else(not_understood)
        };
        let place = match word(2)? {
            "linear" => 3,
            // With tags of its own for each sector, they lie elsewhere.
            "crypt" if !words.iter().any(|word| word.starts_with("integrity:")) => 6,
            target => return Err(PlacesError::Target { device: device.to_owned(), target: target.to_owned() }),
        };
        let below = word(place)?.parse().map_err(|_| not_understood())?;
        let run = Run { at: bytes(0)?, length: bytes(1)?, device: below, start: bytes(place + 1)? };
        run.at.checked_add(run.length).and_then(|_| run.start.checked_add(run.length)).ok_or_else(not_understood)?;
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(minor: u32) -> DeviceNumber {
        DeviceNumber { major: 254, minor }
    }

    #[test]
    fn tables_are_read_or_refused() {
        let crypt = "0 2048 crypt aes-xts-plain64 :64:logon:cryptsetup:x 0 254:1 32768 1 allow_discards";
        let expected = Run { at: 0, length: 2048 * 512, device: number(1), start: 32_768 * 512 };
        assert_eq!(Run::parse("c", crypt).unwrap(), expected);
        let linear = Run::parse("l", "2048 8 linear 254:1 6144").unwrap();
        assert_eq!((linear.at, linear.length, linear.start), (1 << 20, 4096, 3 << 20));
        for bad in [
            "",
            "0 8",
            "0 8 linear",
            "0 8 linear 254:1",
            "0 8 linear vda 0",
            "0 8 striped 2 128 254:1 0 254:2 0",
            "0 8 crypt a k 0 254:1 0 1 integrity:28:aead",
            "0 99999999999999999 linear 254:1 0",
            "18014398509481984 18014398509481984 linear 254:1 0",
        ] {
            assert!(Run::parse("x", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bytes_of_a_disk_are_found_on_what_is_mapped_onto_it() {
        let Some(disk) = std::fs::read_dir("/sys/block").unwrap().flatten().find_map(|entry| {
            let number = std::fs::read_to_string(entry.path().join("dev")).ok()?.parse().ok()?;
            BlockDevice::new(number).ok()
        }) else {
            return;
        };
        // A volume in two pieces, the second before the first, on a partition that begins at 1000.
        let partition = Places { disk: disk.clone(), pieces: vec![Piece { at: 0, on_disk: 1000..9000 }] };
        let run = |at, length, start| Run { at, length, device: number(0), start };
        let volume = joined("v", vec![run(0, 100, 500), run(100, 50, 0)], |_| Ok(partition.clone())).unwrap();
        let on_disk: Extents = [900..1010, 1040..1060, 1550..1700].into_iter().collect();
        let found: Vec<_> = volume.on_device(&on_disk).iter().collect();
        assert_eq!(found, [50..110, 140..150]);
        let back: Vec<_> = volume.on_disk(&found.into_iter().collect()).iter().collect();
        assert_eq!(back, [1000..1010, 1040..1050, 1550..1600]);
        assert_eq!(volume.all_on_disk().iter().collect::<Vec<_>>(), [1000..1050, 1500..1600]);
        // What lies beyond the end of the device below is no place.
        assert!(joined("v", vec![run(0, 9000, 0)], |_| Ok(partition.clone())).is_err());
    }
}
