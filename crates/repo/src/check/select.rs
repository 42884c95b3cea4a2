//! Which packs to read.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::seq::SliceRandom;

use super::ReadData;
use super::structure::expected_size;
use crate::index::Index;
use crate::ledger::Ledger;
use crate::used::BlobSet;
use crate::{Error, Id, Result};

/// A part of all packs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Subset {
    /// The `bucket`th of `of` fixed parts, counted from 1; at most 256 parts.
    Bucket {
        /// Which part.
        bucket: u32,
        /// How many parts.
        of: u32,
    },
    /// So many percent, chosen at random.
    Percent(f64),
    /// About so many bytes, chosen at random.
    Bytes(u64),
}

impl Subset {
    /// Refuses what is no part.
    fn validate(self) -> Result<()> {
        let is_good = match self {
            Subset::Bucket { bucket, of } => bucket >= 1 && bucket <= of && of <= 256,
            Subset::Percent(percent) => percent > 0.0 && percent <= 100.0,
            Subset::Bytes(bytes) => bytes > 0,
        };
        match is_good {
            true => Ok(()),
            false => Err(Error::Invalid(format!("{self:?} is no part of the packs"))),
        }
    }
}

/// A pack to read, and the size that it must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Selected {
    pub(super) id: Id,
    pub(super) size: u64,
    /// How many blobs the index names for it.
    pub(super) blobs: usize,
}

/// Chooses among all packs of the index, or among those that hold a blob of `only`.
pub(super) fn select(
    index: &Index,
    which: ReadData,
    only: Option<&BlobSet>,
    ledger: &Ledger,
    now: Timestamp,
) -> Result<Vec<Selected>> {
    let mut packs = Vec::new();
    index.for_each_pack(&mut |id, blobs| {
        if only.is_none_or(|only| blobs.iter().any(|entry| only.contains(&entry.blob))) {
            packs.push(Selected { id: *id, size: expected_size(blobs), blobs: blobs.len() });
        }
    })?;
    match which {
        ReadData::None => packs.clear(),
        ReadData::All => {}
        ReadData::Subset(subset) => {
            subset.validate()?;
            choose(&mut packs, subset);
        }
        ReadData::OlderThan(age) => longest_ago(&mut packs, ledger, now, age),
    }
    Ok(packs)
}

fn choose(packs: &mut Vec<Selected>, subset: Subset) {
    match subset {
        Subset::Bucket { bucket, of } => packs.retain(|pack| u32::from(pack.id.as_bytes()[0]) % of == bucket - 1),
        Subset::Percent(percent) => {
            let count = (packs.len() as f64 * percent / 100.0) as usize;
            packs.shuffle(&mut rand::rng());
            packs.truncate(count.max(1));
        }
        Subset::Bytes(bytes) => {
            packs.shuffle(&mut rand::rng());
            let mut before = 0;
            packs.retain(|pack| {
                let is_chosen = before < bytes;
                before += pack.size;
                is_chosen
            });
        }
    }
}

fn longest_ago(packs: &mut Vec<Selected>, ledger: &Ledger, now: Timestamp, age: Duration) {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    // A time in the future is a clock that was wrong: as good as never.
    let last = |pack: &Selected| ledger.last_verified(&pack.id).filter(|last| *last <= now);
    packs.retain(|pack| last(pack).is_none_or(|last| now.duration_since(last) >= age));
    packs.sort_by_key(|pack| (last(pack), pack.id));
}
