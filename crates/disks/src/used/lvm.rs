//! A physical volume of LVM: extents that no logical volume is mapped to are free.
//!
//! Labels, metadata areas and whatever is not an extent are used. A physical volume whose metadata is elsewhere or damaged is
//! used as a whole.

mod text;

use std::collections::BTreeMap;

use super::fields::{le32, le64, part};
use super::free_list::FreeList;
use super::source::{Damage, Source, wrong};
use super::{Found, Inside, Kind, State, Usage};
use crate::Extents;
use text::{Section, Value};

const SECTOR: u64 = 512;

/// The largest text of metadata that is read.
const LONGEST: u64 = 8 << 20;

/// A volume group as one of its physical volumes describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lvm {
    /// The group's name.
    pub group: String,
    /// The group's id.
    pub id: String,
    /// How many times the metadata was changed.
    pub sequence: u64,
    /// How many physical volumes the group has.
    pub physical_volumes: usize,
    /// The metadata exactly as it is stored, from which `vgcfgrestore` builds the group again.
    pub text: String,
    /// The group's logical volumes by name, hidden ones included.
    pub volumes: Vec<LogicalVolume>,
}

/// A logical volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogicalVolume {
    /// Its name within the group.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The kind of its first segment: `linear` (or `striped`), `thin-pool`, `raid1`, …
    pub kind: String,
    /// True if it can be used by itself, not only as a part of others.
    pub is_visible: bool,
    /// Its bytes.
    pub size: u64,
    /// Where its bytes lie on this physical volume, in order, if all of them do in plain pieces.
    pub pieces: Option<Vec<Piece>>,
}

/// A piece of a logical volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where on the physical volume it begins.
    pub start: u64,
    /// Its bytes.
    pub size: u64,
}

/// A physical volume's label and header.
struct Header {
    id: String,
    size: u64,
    areas: Vec<(u64, u64)>,
}

pub(super) fn examine(source: &Source<'_>) -> Found {
    let Some(header) = find_label(source)? else { return Ok(None) };
    let mut usage = Usage::of(Kind::Lvm, source.size());
    usage.uuid = Some(dashed(&header.id));
    usage.size = if header.size == 0 { source.size() } else { header.size };
    let found = newest_metadata(source, &header).and_then(|text| {
        let group = text::parse(&text)?;
        usage.state = State::Clean;
        usage.label = Some(group.name.clone());
        let own = Own::find(&group, &header.id)?;
        usage.block = own.extent;
        usage.inside = Some(Inside::Lvm(own.describe(&group, text)));
        own.free(&group, source.size(), &mut usage.warnings)
    });
    usage.prove(found);
    Ok(Some(usage))
}

/// The label is in one of the first four sectors.
fn find_label(source: &Source<'_>) -> Result<Option<Header>, Damage> {
    for number in 0..4 {
        let sector = source.record("the LVM label", number * SECTOR, SECTOR)?;
        let is_label = part(&sector, 0, 8) == b"LABELONE" && part(&sector, 24, 8) == b"LVM2 001";
        if is_label && le64(&sector, 8) == number && checksum(&sector[20..]) == le32(&sector, 16) {
            return Ok(parse_header(sector.get(le32(&sector, 20) as usize..).unwrap_or_default()));
        }
    }
    Ok(None)
}

/// LVM's CRC-32: another beginning, and not inverted at the end.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new_with_initial(!0xf597_a6cf);
    sum.update(bytes);
    !sum.finalize()
}

/// Two lists follow id and size, of data areas and of metadata areas, each ended by a zero.
fn parse_header(bytes: &[u8]) -> Option<Header> {
    let id = String::from_utf8(bytes.get(..32)?.to_vec()).ok()?;
    let mut pairs = bytes.get(40..)?.chunks_exact(16).map(|pair| (le64(pair, 0), le64(pair, 8)));
    pairs.by_ref().find(|(offset, _)| *offset == 0)?;
    let areas = pairs.take_while(|(offset, _)| *offset != 0).take(8).collect();
    Some(Header { id, size: le64(bytes, 32), areas })
}

/// Ids are written with dashes in groups of 6-4-4-4-4-4-6.
fn dashed(id: &str) -> String {
    let mut out = String::new();
    for (number, character) in id.chars().enumerate() {
        if matches!(number, 6 | 10 | 14 | 18 | 22 | 26) {
            out.push('-');
        }
        out.push(character);
    }
    out
}

fn newest_metadata(source: &Source<'_>, header: &Header) -> Result<String, Damage> {
    let mut newest: Option<(u64, String)> = None;
    let mut damage = Damage::Wrong("its metadata is on other physical volumes, or it has none".into());
    for &(offset, size) in &header.areas {
        match metadata(source, offset, size) {
            Ok(Some(text)) => {
                let sequence = text::parse(&text)?.number("seqno").unwrap_or(0);
                if newest.as_ref().is_none_or(|(other, _)| sequence > *other) {
                    newest = Some((sequence, text));
                }
            }
            Ok(None) => {}
            Err(why) => damage = why,
        }
    }
    newest.map(|(_, text)| text).ok_or(damage)
}

/// The text in a metadata area, which is a ring after its first sector.
fn metadata(source: &Source<'_>, offset: u64, size: u64) -> Result<Option<String>, Damage> {
    let head = source.record("a metadata area", offset, SECTOR)?;
    if part(&head, 4, 16) != b" LVM2 x[5A%r0N*>" || checksum(&head[4..]) != le32(&head, 0) {
        return wrong("a metadata area is damaged");
    }
    let (start, length) = (le64(&head, 40), le64(&head, 48));
    if length == 0 || le32(&head, 60) & 1 != 0 {
        return Ok(None);
    }
    if !(SECTOR..size).contains(&start) || length > LONGEST || length > size - SECTOR {
        return wrong("a metadata area is damaged");
    }
    let before_end = length.min(size - start);
    let mut bytes = source.record("a metadata area", offset.saturating_add(start), before_end)?;
    bytes.extend(source.record("a metadata area", offset.saturating_add(SECTOR), length - before_end)?);
    if checksum(&bytes) != le32(&head, 56) {
        return wrong("the checksum of the metadata is wrong");
    }
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    Ok(Some(String::from_utf8_lossy(&bytes[..end]).into_owned()))
}

/// This physical volume in the group's metadata.
struct Own {
    name: String,
    names: Vec<String>,
    extent: u64,
    start: u64,
    count: u64,
}

impl Own {
    fn find(group: &Section, id: &str) -> Result<Own, Damage> {
        let extent = group.number("extent_size").unwrap_or(0).saturating_mul(SECTOR);
        let all = group.section("physical_volumes");
        let names = all.iter().flat_map(|all| all.sections()).map(|section| section.name.clone()).collect();
        let own = all.and_then(|all| all.sections().find(|section| section.text("id") == Some(&dashed(id))));
        let Some(own) = own else { return wrong("the metadata does not name this physical volume") };
        let (start, count) = (own.number("pe_start").unwrap_or(0), own.number("pe_count").unwrap_or(0));
        if extent == 0 || start == 0 {
            return wrong("the metadata's extents make no sense");
        }
        Ok(Own { name: own.name.clone(), names, extent, start: start.saturating_mul(SECTOR), count })
    }

    fn free(&self, group: &Section, volume: u64, warnings: &mut Vec<String>) -> Result<FreeList, Damage> {
        let end = self.count.checked_mul(self.extent).and_then(|size| size.checked_add(self.start));
        if end.is_none_or(|end| end > volume) {
            return wrong("the metadata's extents go beyond the volume");
        }
        let mut used = Extents::new();
        for segment in segments(group) {
            let count = segment.number("extent_count").unwrap_or(u64::MAX);
            let stripes = segment.number("stripe_count").unwrap_or(1).max(1);
            let is_striped = segment.text("type").is_some_and(|kind| kind == "striped");
            let length = if is_striped { count.div_ceil(stripes) } else { count };
            for place in self.places(segment) {
                used.insert(place..place.saturating_add(length).min(self.count.max(place)));
            }
        }
        let all = used.bytes();
        if used.end() > self.count {
            warnings.push(format!("{all} extents are mapped, some beyond the physical volume"));
        }
        let mut free = FreeList::new(volume);
        for range in used.complement(self.count).iter() {
            free.add(self.start + range.start * self.extent..self.start + range.end * self.extent);
        }
        Ok(free)
    }

    /// Extents at which parts of a segment begin on this physical volume: every list of names and numbers, whatever it is
    /// called, is believed to use them.
    fn places<'a>(&'a self, segment: &'a Section) -> impl Iterator<Item = u64> + 'a {
        segment.lists().flat_map(move |list| {
            list.windows(2).filter_map(move |pair| match pair {
                [Value::Text(name), Value::Number(extent)] if *name == self.name => Some(*extent),
                _ => None,
            })
        })
    }

    fn describe(&self, group: &Section, text: String) -> Lvm {
        let volumes = group.section("logical_volumes").into_iter().flat_map(Section::sections);
        Lvm {
            group: group.name.clone(),
            id: group.text("id").unwrap_or_default().to_owned(),
            sequence: group.number("seqno").unwrap_or(0),
            physical_volumes: self.names.len(),
            volumes: volumes.map(|volume| self.volume(volume)).collect(),
            text,
        }
    }

    fn volume(&self, volume: &Section) -> LogicalVolume {
        let segments = in_order(volume);
        let count: u64 =
            segments.values().filter_map(|segment| segment.number("extent_count")).fold(0, u64::saturating_add);
        let status = volume.list("status").unwrap_or_default();
        let kind = segments.values().next().and_then(|segment| segment.text("type")).unwrap_or("unknown");
        LogicalVolume {
            name: volume.name.clone(),
            id: volume.text("id").unwrap_or_default().to_owned(),
            kind: kind.to_owned(),
            is_visible: status.iter().any(|word| matches!(word, Value::Text(word) if word == "VISIBLE")),
            size: count.saturating_mul(self.extent),
            pieces: self.pieces(&segments),
        }
    }

    fn pieces(&self, segments: &BTreeMap<u64, &Section>) -> Option<Vec<Piece>> {
        let mut next = 0;
        segments
            .iter()
            .map(|(start, segment)| {
                let count = segment.number("extent_count")?;
                let is_plain = segment.text("type")? == "striped" && segment.number("stripe_count")? == 1;
                let (is_next, mut places) = (*start == next, self.places(segment));
                next = next.checked_add(count)?;
                let place = places.next().filter(|_| is_plain && is_next)?;
                place.checked_add(count).filter(|end| *end <= self.count)?;
                Some(Piece { start: self.start + place * self.extent, size: count * self.extent })
            })
            .collect()
    }
}

fn in_order(volume: &Section) -> BTreeMap<u64, &Section> {
    volume.sections().filter_map(|segment| Some((segment.number("start_extent")?, segment))).collect()
}

fn segments(group: &Section) -> impl Iterator<Item = &Section> {
    let volumes = group.section("logical_volumes").into_iter().flat_map(Section::sections);
    volumes.flat_map(Section::sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_dashes_where_lvm_writes_them() {
        assert_eq!(dashed("0123456789abcdefghijklmnopqrstuv"), "012345-6789-abcd-efgh-ijkl-mnop-qrstuv");
    }
}
