//! What is recognised and not read: members of a RAID, BitLocker, and filesystems of others.

use super::fields::{le32, le64, part, uuid};
use super::source::{Damage, Source};
use super::{Found, Kind, State, Usage};

const RAID: u32 = 0xa92b_4efc;

/// Where else a name may stand, and what it tells.
const NAMES: [(u64, &[u8], &str); 9] = [
    (3, b"-FVE-FS-", "BitLocker"),
    (1024, b"\x10\x20\xf5\xf2", "F2FS"),
    (4096 + 24, b"\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "bcache or bcachefs"),
    (4096 + 24, b"\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef", "bcachefs"),
    (0x10034, b"ReIsEr", "ReiserFS"),
    (0x8000, b"JFS1", "JFS"),
    (0x8001, b"CD001", "ISO 9660"),
    (0, b"hsqs", "squashfs"),
    (32, b"NXSB", "APFS"),
];

/// A member of a software RAID, wherever its superblock lies: at the beginning, 4 KiB after it, or near the end.
pub(super) fn raid(source: &Source<'_>) -> Found {
    let size = source.size();
    let end_1_0 = (size / 512).saturating_sub(16) & !7;
    let end_0_9 = (size & !0xffff).saturating_sub(65536);
    for (offset, is_1, at) in [(0, true, 0), (4096, true, 8), (end_1_0 * 512, true, end_1_0), (end_0_9, false, 0)] {
        let Ok(record) = source.record("a RAID superblock", offset, 256) else { continue };
        let fits = match is_1 {
            true => le32(&record, 4) == 1 && le64(&record, 144) == at,
            false => le32(&record, 4) == 0,
        };
        if le32(&record, 0) == RAID && fits {
            let mut usage = Usage::of(Kind::Raid, size);
            usage.uuid = if is_1 { uuid(&record, 16) } else { None };
            usage.warn("everything counts as used: a member of a RAID, which is imaged through its array");
            return Ok(Some(usage));
        }
    }
    Ok(None)
}

pub(super) fn examine(source: &Source<'_>) -> Found {
    for (offset, name, what) in NAMES {
        match source.record("a signature", offset, name.len() as u64) {
            Ok(found) if part(&found, 0, name.len()) == name => {
                let kind = if what == "BitLocker" { Kind::BitLocker } else { Kind::Other };
                let mut usage = Usage::of(kind, source.size());
                usage.state = State::Unknown;
                usage.warn(format!("everything counts as used: {what} is not read"));
                return Ok(Some(usage));
            }
            Ok(_) | Err(Damage::Beyond { .. }) => {}
            Err(damage) => return Err(damage),
        }
    }
    Ok(None)
}
