//! Whether the log was closed: its last record says "unmounted".

use super::super::State;
use super::super::fields::{be32, byte, part};
use super::super::source::{Damage, Source, wrong};
use super::Super;

const SECTOR: u64 = 512;
const RECORD: u32 = 0xfeed_babe;

/// The largest record: 256 KiB of data after 32 KiB of headers.
const LONGEST: u64 = (256 + 32) << 10;

const UNMOUNT: u8 = 0x20;

struct Log<'a> {
    source: &'a Source<'a>,
    start: u64,
    sectors: u64,
}

pub(super) fn state(sb: &Super, source: &Source<'_>) -> Result<State, Damage> {
    let group = sb.log_start >> sb.group_bits;
    let block = sb.log_start & ((1 << sb.group_bits) - 1);
    if group >= sb.groups || block >= sb.group_blocks {
        return wrong("the log is not in the filesystem");
    }
    let start = (group * sb.group_blocks + block) * sb.block;
    let sectors = sb.log_blocks * sb.block / SECTOR;
    if sectors == 0 || start.checked_add(sectors * SECTOR).is_none_or(|end| end > source.size()) {
        return wrong("the log is not in the filesystem");
    }
    let log = Log { source, start, sectors };
    Ok(if log.is_closed()? { State::Clean } else { State::NeedsRecovery("its log was not replayed".into()) })
}

impl Log<'_> {
    fn sector(&self, number: u64) -> Result<Vec<u8>, Damage> {
        self.source.record("the log", self.start + number * SECTOR, SECTOR)
    }

    /// The cycle that a sector was written in: in its first word, or in the second where a record begins.
    fn cycle(&self, number: u64) -> Result<u32, Damage> {
        let sector = self.sector(number)?;
        Ok(be32(&sector, if be32(&sector, 0) == RECORD { 4 } else { 0 }))
    }

    fn is_closed(&self) -> Result<bool, Damage> {
        let head = self.head()?;
        let Some(record) = self.last_record(head)? else { return Ok(false) };
        let header = self.sector(record)?;
        let version = be32(&header, 8);
        let size = be32(&header, 320);
        let headers = if version & 2 != 0 && size > 32 << 10 { u64::from(size).div_ceil(32 << 10) } else { 1 };
        if be32(&header, 40) != 1 {
            return Ok(false);
        }
        let operation = self.sector((record + headers.min(9)) % self.sectors)?;
        Ok(byte(&operation, 9) & UNMOUNT != 0)
    }

    /// The sector that would be written next: the first whose cycle is not the first sector's.
    fn head(&self) -> Result<u64, Damage> {
        let first = self.cycle(0)?;
        if self.cycle(self.sectors - 1)? == first {
            return Ok(0);
        }
        let (mut low, mut high) = (0, self.sectors - 1);
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if self.cycle(middle)? == first { low = middle } else { high = middle }
        }
        Ok(high)
    }

    /// The record that ends at the head.
    fn last_record(&self, head: u64) -> Result<Option<u64>, Damage> {
        for back in 1..=(LONGEST / SECTOR + 2).min(self.sectors) {
            let at = (head + self.sectors - back) % self.sectors;
            let sector = self.sector(at)?;
            if part(&sector, 0, 4) == RECORD.to_be_bytes() {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }
}
