//! An index file as it is stored: packs with their blobs, in restic's JSON.
//!
//! Offsets and lengths that are read lie within 32 bits, as packs do. rustic's additions (`packs_to_delete`, `time` and
//! `size` of packs) are read and written; other keys are passed over.

use std::io::Write;
use std::num::NonZeroU32;

use backend::Id;
use serde::Deserialize;

use crate::pack::PackedBlob;
use crate::{BlobHandle, BlobKind};

/// One pack in an index file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexPack {
    /// The pack.
    pub id: Id,
    /// Its blobs, in the order of the file; may be empty under `packs_to_delete`.
    pub blobs: Vec<PackedBlob>,
    /// rustic's time of the pack, or of its marking for deletion, as written.
    pub time: Option<String>,
    /// rustic's size of the pack in bytes.
    pub size: Option<u64>,
}

/// The content of one index file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexFile {
    /// Packs that are in use.
    pub packs: Vec<IndexPack>,
    /// Packs that will be removed once the delay of a two-phase prune has passed. Their blobs count as not stored.
    pub packs_to_delete: Vec<IndexPack>,
}

/// Null is an empty list; a key that is missing is told apart.
#[derive(Deserialize)]
struct RawFile {
    #[serde(default, deserialize_with = "present")]
    packs: Option<Option<Vec<RawPack>>>,
    packs_to_delete: Option<Vec<RawPack>>,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<Vec<RawPack>>>, D::Error> {
    Option::deserialize(from).map(Some)
}

#[derive(Deserialize)]
struct RawPack {
    id: Id,
    blobs: Option<Vec<RawBlob>>,
    time: Option<String>,
    size: Option<u64>,
}

#[derive(Deserialize)]
struct RawBlob {
    id: Id,
    #[serde(rename = "type")]
    kind: BlobKind,
    offset: u32,
    length: u32,
    uncompressed_length: Option<u32>,
}

impl IndexFile {
    /// Parses the JSON of an index file. Errors are in words.
    pub fn parse(json: &[u8]) -> Result<IndexFile, String> {
        let raw: RawFile = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        // Nothing else tells an index from a snapshot or a lock that somebody put in its place (F24).
        if raw.packs.is_none() && raw.packs_to_delete.is_none() {
            return Err("it has no list of packs".into());
        }
        Ok(IndexFile { packs: packs(raw.packs.flatten())?, packs_to_delete: packs(raw.packs_to_delete)? })
    }

    /// The JSON as restic writes it, newline included.
    pub fn to_json(&self) -> Vec<u8> {
        let blobs: usize = self.packs.iter().map(|pack| pack.blobs.len()).sum();
        let mut json = Vec::with_capacity(64 + self.packs.len() * 96 + blobs * 160);
        json.extend_from_slice(br#"{"packs":"#);
        write_packs(&self.packs, &mut json);
        if !self.packs_to_delete.is_empty() {
            json.extend_from_slice(br#","packs_to_delete":"#);
            write_packs(&self.packs_to_delete, &mut json);
        }
        json.extend_from_slice(b"}\n");
        json
    }
}

fn packs(raw: Option<Vec<RawPack>>) -> Result<Vec<IndexPack>, String> {
    raw.unwrap_or_default().into_iter().map(pack).collect()
}

fn pack(raw: RawPack) -> Result<IndexPack, String> {
    let blobs = raw.blobs.unwrap_or_default().into_iter().map(|blob| entry(&raw.id, blob));
    Ok(IndexPack { id: raw.id, blobs: blobs.collect::<Result<_, _>>()?, time: raw.time, size: raw.size })
}

fn entry(pack: &Id, raw: RawBlob) -> Result<PackedBlob, String> {
    if raw.offset.checked_add(raw.length).is_none() {
        return Err(format!("blob {} ends beyond 4 GiB in pack {}", raw.id.short(), pack.short()));
    }
    Ok(PackedBlob {
        blob: BlobHandle { kind: raw.kind, id: raw.id },
        offset: raw.offset,
        length: raw.length,
        uncompressed_length: raw.uncompressed_length.and_then(NonZeroU32::new),
    })
}

fn write_packs(packs: &[IndexPack], json: &mut Vec<u8>) {
    json.push(b'[');
    for (at, pack) in packs.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        write_pack(pack, json);
    }
    json.push(b']');
}

fn write_pack(pack: &IndexPack, json: &mut Vec<u8>) {
    json.extend_from_slice(br#"{"id":""#);
    write_id(&pack.id, json);
    json.extend_from_slice(br#"","blobs":["#);
    for (at, entry) in pack.blobs.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        write_entry(entry, json);
    }
    json.push(b']');
    if let Some(time) = &pack.time {
        json.extend_from_slice(br#","time":"#);
        crate::gojson::string(time, json);
    }
    if let Some(size) = pack.size {
        write_number(r#","size":"#, size, json);
    }
    json.push(b'}');
}

fn write_entry(entry: &PackedBlob, json: &mut Vec<u8>) {
    json.extend_from_slice(br#"{"id":""#);
    write_id(&entry.blob.id, json);
    json.extend_from_slice(match entry.blob.kind {
        BlobKind::Data => br#"","type":"data"#,
        BlobKind::Tree => br#"","type":"tree"#,
    });
    write_number(r#"","offset":"#, entry.offset.into(), json);
    write_number(r#","length":"#, entry.length.into(), json);
    if let Some(length) = entry.uncompressed_length {
        write_number(r#","uncompressed_length":"#, length.get().into(), json);
    }
    json.push(b'}');
}

fn write_id(id: &Id, json: &mut Vec<u8>) {
    let mut digits = [0; 64];
    hex::encode_to_slice(id.as_bytes(), &mut digits).expect("64 digits");
    json.extend_from_slice(&digits);
}

fn write_number(key: &str, number: u64, json: &mut Vec<u8>) {
    write!(json, "{key}{number}").expect("memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESTIC: &str = concat!(
        r#"{"packs":[{"id":"1010101010101010101010101010101010101010101010101010101010101010","blobs":["#,
        r#"{"id":"2020202020202020202020202020202020202020202020202020202020202020","type":"tree","offset":0,"length":50},"#,
        r#"{"id":"3030303030303030303030303030303030303030303030303030303030303030","type":"data","offset":50,"length":77,"#,
        r#""uncompressed_length":100}]}]}"#,
        "\n"
    );

    #[test]
    fn the_json_is_restics_to_the_byte() {
        let file = IndexFile::parse(RESTIC.as_bytes()).unwrap();
        assert_eq!(file.packs[0].blobs.len(), 2);
        assert_eq!(file.packs[0].blobs[1].uncompressed_length, NonZeroU32::new(100));
        assert_eq!(String::from_utf8(file.to_json()).unwrap(), RESTIC);
        assert_eq!(IndexFile::default().to_json(), b"{\"packs\":[]}\n");
    }

    #[test]
    fn rustics_additions_are_kept_and_strangers_passed_over() {
        let json = RESTIC
            .replace("}]}]}", r#"}],"time":"2026-01-02T03:04:05Z","size":200}],"supersedes":["x"]}"#)
            .replace(r#","supersedes""#, r#","packs_to_delete":[{"id":"4040404040404040404040404040404040404040404040404040404040404040","blobs":[],"size":9}],"other""#);
        let file = IndexFile::parse(json.as_bytes()).unwrap();
        assert_eq!((file.packs[0].size, file.packs[0].time.as_deref()), (Some(200), Some("2026-01-02T03:04:05Z")));
        assert_eq!(file.packs_to_delete[0].size, Some(9));
        assert_eq!(IndexFile::parse(&file.to_json()).unwrap(), file);
    }

    #[test]
    fn nulls_are_empty_lists() {
        assert_eq!(IndexFile::parse(br#"{"packs":null}"#).unwrap(), IndexFile::default());
    }

    /// F24: a snapshot or a lock in the place of an index is not an index without packs.
    #[test]
    fn what_has_no_list_of_packs_is_no_index() {
        for other in [r#"{"time":"2026-11-22T02:00:00Z","tree":"00"}"#, "{}"] {
            assert!(IndexFile::parse(other.as_bytes()).unwrap_err().contains("no list of packs"));
        }
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        let lies = RESTIC.replace(r#""offset":50"#, r#""offset":4294967290"#);
        assert!(IndexFile::parse(lies.as_bytes()).unwrap_err().contains("beyond 4 GiB"));
        for bad in ["", "{", "[]", r#"{"packs":[{"id":"xyz","blobs":[]}]}"#, r#"{"packs":[{"blobs":[]}]}"#] {
            assert!(IndexFile::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(IndexFile::parse(RESTIC.replace("77", "-77").as_bytes()).is_err());
    }
}
