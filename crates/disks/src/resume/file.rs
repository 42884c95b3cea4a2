//! The file that holds an unfinished image: a note in JSON, the segments, a bit per chunk, and a checksum over all of it.

use std::io;

use backend::Id;

use super::JobNote;
use crate::image::{Geometry, SegmentState, TableState};

pub(super) const JOB: &str = "job";
pub(super) const PACKS: &str = "packs";

const MAGIC: &[u8] = b"stead disk job 1\n";
const ZERO: u8 = 0;
const STORED: u8 = 1;
const CHUNKS: u8 = 2;

pub(super) fn encode(note: &JobNote, table: &TableState) -> io::Result<Vec<u8>> {
    let mut out = MAGIC.to_vec();
    let json = serde_json::to_vec(note)?;
    put_count(&mut out, json.len());
    out.extend_from_slice(&json);
    put_count(&mut out, table.segments.len());
    for segment in &table.segments {
        match segment {
            SegmentState::Zero => out.push(ZERO),
            SegmentState::Stored(tree) => {
                out.push(STORED);
                out.extend_from_slice(tree.as_bytes());
            }
            SegmentState::Chunks(ids) => {
                out.push(CHUNKS);
                put_count(&mut out, ids.len());
                ids.iter().for_each(|id| out.extend_from_slice(id.as_bytes()));
            }
        }
    }
    put_count(&mut out, table.done.len());
    table.done.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    let sum = crc32c::crc32c(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    Ok(out)
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&(count as u32).to_le_bytes());
}

/// Errors in words.
pub(super) fn parse(content: &[u8]) -> Result<(JobNote, TableState), String> {
    let (body, sum) = content.split_last_chunk::<4>().ok_or("it is too short")?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
        return Err("its checksum is wrong".into());
    }
    let mut rest = Rest(body.strip_prefix(MAGIC).ok_or("it is no state of a disk")?);
    let length = rest.count()?;
    let note = serde_json::from_slice(rest.take(length)?).map_err(|error| error.to_string())?;
    // A count is believed only as far as there are bytes for it.
    let segments = (0..rest.count()?).map(|_| rest.segment()).collect::<Result<_, _>>()?;
    let done = (0..rest.count()?).map(|_| rest.array().map(u64::from_le_bytes)).collect::<Result<_, _>>()?;
    match rest.0 {
        [] => Ok((note, TableState { segments, done })),
        _ => Err("there is something behind its end".into()),
    }
}

/// An error in words if the state is none of a disk of that shape.
pub(super) fn check(table: &TableState, geometry: &Geometry) -> Result<(), String> {
    let chunks = |number: usize| {
        let range = geometry.chunks_of(number as u64);
        (range.end - range.start) as usize
    };
    let fits = |(number, state): (usize, &SegmentState)| match state {
        SegmentState::Chunks(ids) => ids.len() == chunks(number),
        _ => true,
    };
    let words = geometry.chunks().div_ceil(64);
    let is_right = table.segments.len() as u64 == geometry.segments()
        && table.done.len() as u64 == words
        && table.segments.iter().enumerate().all(fits);
    if is_right { Ok(()) } else { Err("it is of a disk of another size".into()) }
}

struct Rest<'r>(&'r [u8]);

impl<'r> Rest<'r> {
    fn take(&mut self, length: usize) -> Result<&'r [u8], String> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or("it ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "it ends too early".to_owned())
    }

    fn count(&mut self) -> Result<usize, String> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn id(&mut self) -> Result<Id, String> {
        Ok(Id::from_bytes(self.array()?))
    }

    fn segment(&mut self) -> Result<SegmentState, String> {
        match self.array::<1>()?[0] {
            ZERO => Ok(SegmentState::Zero),
            STORED => Ok(SegmentState::Stored(self.id()?)),
            CHUNKS => {
                let count = self.count()?;
                Ok(SegmentState::Chunks((0..count).map(|_| self.id()).collect::<Result<_, _>>()?))
            }
            other => Err(format!("it has a segment of kind {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::JobIdentity;

    fn example() -> (JobNote, TableState) {
        let identity = JobIdentity {
            repository: Id::of(b"repository"),
            disk: "sda".into(),
            device: "/dev/sda".into(),
            size: (2 << 30) + (3 << 20),
            identity: Default::default(),
            parent: None,
        };
        let note =
            JobNote { identity, job: uuid::Uuid::nil(), started: jiff::Timestamp::UNIX_EPOCH, stamp: None, epoch: 3 };
        let chunks = (0..3u8).map(|byte| Id::of(&[byte])).collect();
        let segments = vec![SegmentState::Zero, SegmentState::Stored(Id::of(b"tree")), SegmentState::Chunks(chunks)];
        let mut done = vec![0; 33];
        done[32] = 5;
        (note, TableState { segments, done })
    }

    #[test]
    fn a_state_reads_back_and_fits_its_disk_only() {
        let (note, table) = example();
        let content = encode(&note, &table).unwrap();
        let (read, state) = parse(&content).unwrap();
        assert_eq!((read, &state), (note, &table));
        check(&state, &Geometry::new((2 << 30) + (3 << 20)).unwrap()).unwrap();
        for size in [2 << 30, (2 << 30) + (4 << 20), 4 << 30] {
            assert!(check(&state, &Geometry::new(size).unwrap()).is_err());
        }
    }

    #[test]
    fn a_state_that_is_cut_or_changed_is_an_error() {
        let (note, table) = example();
        let content = encode(&note, &table).unwrap();
        for length in 0..content.len() {
            assert!(parse(&content[..length]).is_err(), "cut to {length}");
        }
        for at in 0..content.len() {
            let mut changed = content.clone();
            changed[at] ^= 0x40;
            assert!(parse(&changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_count_that_lies_takes_no_memory() {
        let mut content = MAGIC.to_vec();
        let json = serde_json::to_vec(&example().0).unwrap();
        put_count(&mut content, json.len());
        content.extend_from_slice(&json);
        content.extend_from_slice(&u32::MAX.to_le_bytes());
        let sum = crc32c::crc32c(&content);
        content.extend_from_slice(&sum.to_le_bytes());
        assert!(parse(&content).is_err());
    }
}
