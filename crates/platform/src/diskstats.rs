//! What the kernel counts about a disk.

use std::io;

use crate::BlockDevice;

/// The kernel's own counts of a disk, since it was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskCounts {
    /// Sectors of 512 bytes that were written, zeroed or discarded.
    pub sectors_written: u64,
    /// Writes that have begun and not ended, as far as the kernel still tells reads from writes.
    pub writes_in_flight: u64,
    /// True if any request is counted as begun and not as ended. It may have ended on the disk and not be in the counts yet:
    /// what ends a loop device's requests is a task that can be interrupted just there.
    pub is_counting: bool,
}

impl DiskCounts {
    /// Asks for a disk's or a partition's counts.
    pub fn of(device: &BlockDevice) -> io::Result<DiskCounts> {
        let bad = |text: &str| io::Error::new(io::ErrorKind::InvalidData, format!("cannot read counts in {text:?}"));
        // In flight first: what has ended before it was asked for is in the counts that are asked for next.
        let flight = device.text("inflight")?;
        let stat = device.text("stat")?;
        let writes_in_flight = field(&flight, 1).ok_or_else(|| bad(&flight))?;
        let written = field(&stat, 6).ok_or_else(|| bad(&stat))?;
        let begun = field(&stat, 8).ok_or_else(|| bad(&stat))?;
        let sectors_written = written + field(&stat, 13).unwrap_or(0);
        Ok(DiskCounts { sectors_written, writes_in_flight, is_counting: begun != 0 })
    }

    /// True if the kernel counts for this disk at all (`queue/iostats`).
    pub fn are_kept(disk: &BlockDevice) -> bool {
        disk.text("queue/iostats").is_ok_and(|text| text.trim() == "1")
    }
}

fn field(line: &str, number: usize) -> Option<u64> {
    line.split_ascii_whitespace().nth(number)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_place() {
        let line = "  100 0 800 5 200 0 1600 9 0 12 14 3 0 64 1 7 2";
        assert_eq!((field(line, 6), field(line, 13), field(line, 40)), (Some(1600), Some(64), None));
    }
}
