//! Numbers and texts at fixed places of a record. A field beyond the record's end is zero; parsers check lengths first.

fn array<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    let field = at.checked_add(N).and_then(|end| record.get(at..end));
    field.and_then(|field| field.try_into().ok()).unwrap_or([0; N])
}

pub(crate) fn le16(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(record, at))
}

pub(crate) fn le32(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(record, at))
}

pub(crate) fn le64(record: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(record, at))
}

pub(crate) fn be16(record: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(record, at))
}

pub(crate) fn be32(record: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(record, at))
}

pub(crate) fn be64(record: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array(record, at))
}

pub(crate) fn byte(record: &[u8], at: usize) -> u8 {
    record.get(at).copied().unwrap_or(0)
}

/// A part of a record, as much of it as is there.
pub(crate) fn part(record: &[u8], at: usize, length: usize) -> &[u8] {
    let end = at.saturating_add(length).min(record.len());
    record.get(at..end).unwrap_or_default()
}

/// A text that ends at its first zero byte or at its room's end; trailing blanks are padding.
pub(crate) fn text(record: &[u8], at: usize, room: usize) -> Option<String> {
    let bytes = part(record, at, room);
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]).trim_end().to_owned();
    (!text.is_empty()).then_some(text)
}

/// A text of 16-bit characters.
pub(crate) fn wide_text(record: &[u8], at: usize, characters: usize) -> Option<String> {
    let units: Vec<u16> = part(record, at, characters * 2).chunks_exact(2).map(|unit| le16(unit, 0)).collect();
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    (end > 0).then(|| String::from_utf16_lossy(&units[..end]))
}

/// Sixteen bytes as a UUID in the order in which they are stored; none if they are all zero.
pub(crate) fn uuid(record: &[u8], at: usize) -> Option<String> {
    let bytes: [u8; 16] = array(record, at);
    (bytes != [0; 16]).then(|| uuid::Uuid::from_bytes(bytes).to_string())
}

/// The checksum that Linux filesystems build on: CRC-32C without the inversions at both ends.
pub(crate) fn crc32c_raw(seed: u32, bytes: &[u8]) -> u32 {
    !crc32c::crc32c_append(!seed, bytes)
}
