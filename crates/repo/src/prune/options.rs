//! How to prune.

use std::time::Duration;

use crate::repository::Repository;
use crate::{Error, Result};

/// How much unused data may stay, rather than copying what is used around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxUnused {
    /// Percent of all that is stored afterwards, from 0 to below 100.
    Percent(f64),
    /// Bytes.
    Bytes(u64),
    /// Only packs without any used blob go.
    Unlimited,
}

impl MaxUnused {
    /// The limit in bytes beside `used` bytes that are used.
    pub(super) fn beside(self, used: u64) -> u64 {
        match self {
            MaxUnused::Percent(percent) => (percent / (100.0 - percent) * used as f64) as u64,
            MaxUnused::Bytes(bytes) => bytes,
            MaxUnused::Unlimited => u64::MAX,
        }
    }
}

/// When dead packs are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneWhen {
    /// At once; the caller holds the exclusive lock.
    Now,
    /// By a later run, this long after they were marked, when nobody can need them any more. A shared lock is enough.
    Delayed(Duration),
}

/// How to prune; the defaults are restic's.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// How much unused data may stay.
    pub max_unused: MaxUnused,
    /// Copy at most about so many bytes of packs.
    pub max_repack: Option<u64>,
    /// Leave data packs alone; only trees are repacked.
    pub repack_cacheable_only: bool,
    /// Compress data that is stored uncompressed (trees always are).
    pub repack_uncompressed: bool,
    /// Packs below this size are merged, where there are ten of them; the default derives it from the packs' sizes.
    pub repack_smaller_than: Option<u64>,
    /// When dead packs are removed.
    pub when: PruneWhen,
}

impl Default for PruneOptions {
    fn default() -> PruneOptions {
        PruneOptions {
            max_unused: MaxUnused::Percent(5.0),
            max_repack: None,
            repack_cacheable_only: false,
            repack_uncompressed: false,
            repack_smaller_than: None,
            when: PruneWhen::Now,
        }
    }
}

impl PruneOptions {
    /// Refuses what cannot be done.
    pub(super) fn validate(&self, repo: &Repository) -> Result<()> {
        let refuse = |reason: &str| Err(Error::Invalid(reason.into()));
        if self.repack_uncompressed && repo.version() < 2 {
            return refuse("compression requires at least repository format version 2");
        }
        if self.repack_uncompressed && repo.options().compression == crate::compress::Compression::Off {
            return refuse("data cannot be compressed while compression is off");
        }
        if self.repack_smaller_than.is_some_and(|size| size > repo.options().pack_size) {
            return refuse("packs below a size above the pack size would be repacked again and again");
        }
        match self.max_unused {
            MaxUnused::Percent(percent) if !(0.0..100.0).contains(&percent) => {
                refuse("the percentage of unused data must be at least 0 and below 100")
            }
            _ => Ok(()),
        }
    }
}
