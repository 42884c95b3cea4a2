//! How much there is, counted in restic's four ways.

mod contents;
mod restore_size;

use serde::Serialize;

use crate::crypto::OVERHEAD;
use crate::pack::PackedBlob;
use crate::progress::Progress;
use crate::retention::Stored;
use crate::used::{self, BlobSet};
use crate::{Id, Repository, Result};

/// How to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StatsMode {
    /// What restoring every snapshot would write.
    #[default]
    RestoreSize,
    /// Files with different content, each content once.
    FilesByContents,
    /// Blobs of files with different content, each blob once per path.
    BlobsPerFile,
    /// What the snapshots' blobs take in the repository.
    RawData,
}

impl std::str::FromStr for StatsMode {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<StatsMode, String> {
        match text {
            "restore-size" => Ok(StatsMode::RestoreSize),
            "files-by-contents" => Ok(StatsMode::FilesByContents),
            "blobs-per-file" => Ok(StatsMode::BlobsPerFile),
            "raw-data" => Ok(StatsMode::RawData),
            _ => Err(format!("unknown counting mode: {text}")),
        }
    }
}

/// Figures, with restic's JSON names. Those that a mode does not count are zero.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Bytes.
    pub total_size: u64,
    /// Bytes if nothing were compressed (raw data).
    #[serde(skip_serializing_if = "is_zero")]
    pub total_uncompressed_size: u64,
    /// Plain by stored bytes of what is compressed (raw data).
    #[serde(skip_serializing_if = "is_nothing")]
    pub compression_ratio: f64,
    /// Percent of plain bytes that are stored compressed (raw data).
    #[serde(skip_serializing_if = "is_nothing")]
    pub compression_progress: f64,
    /// Percent that compression saves (raw data).
    #[serde(skip_serializing_if = "is_nothing")]
    pub compression_space_saving: f64,
    /// Nodes or files.
    #[serde(skip_serializing_if = "is_zero")]
    pub total_file_count: u64,
    /// Blobs.
    #[serde(skip_serializing_if = "is_zero")]
    pub total_blob_count: u64,
    /// Snapshots that were counted.
    pub snapshots_count: u64,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_nothing(number: &f64) -> bool {
    *number == 0.0
}

/// Counts what the snapshots hold.
pub fn stats(repo: &Repository, snapshots: &[Stored], mode: StatsMode, progress: &dyn Progress) -> Result<Stats> {
    let roots: Vec<Id> = snapshots.iter().map(|(_, snapshot)| snapshot.tree).collect();
    let stats = match mode {
        StatsMode::RestoreSize => restore_size::count(repo, &roots, progress)?,
        StatsMode::FilesByContents => contents::count_files(repo, &roots, progress)?,
        StatsMode::BlobsPerFile => contents::count_blobs(repo, &roots, progress)?,
        StatsMode::RawData => raw_data(repo, &roots, progress)?,
    };
    Ok(Stats { snapshots_count: roots.len() as u64, ..stats })
}

fn raw_data(repo: &Repository, roots: &[Id], progress: &dyn Progress) -> Result<Stats> {
    let used = used::used_blobs(repo, roots, progress)?;
    let (mut sum, counted) = (RawSum::default(), BlobSet::default());
    repo.index()?.for_each_pack(&mut |_, blobs| {
        for entry in blobs.iter().filter(|entry| used.contains(&entry.blob) && counted.insert(&entry.blob)) {
            sum.add(entry);
        }
    })?;
    Ok(sum.stats(repo.version() >= 2))
}

#[derive(Default)]
struct RawSum {
    blobs: u64,
    stored: u64,
    plain: u64,
    compressed_stored: u64,
    compressed_plain: u64,
}

impl RawSum {
    fn add(&mut self, entry: &PackedBlob) {
        let stored = u64::from(entry.length);
        self.blobs += 1;
        self.stored += stored;
        match entry.uncompressed_length {
            None => self.plain += stored,
            Some(length) => {
                let plain = u64::from(length.get()) + OVERHEAD as u64;
                self.plain += plain;
                self.compressed_stored += stored;
                self.compressed_plain += plain;
            }
        }
    }

    fn stats(&self, can_compress: bool) -> Stats {
        let basic = Stats { total_size: self.stored, total_blob_count: self.blobs, ..Stats::default() };
        if !can_compress {
            return basic;
        }
        let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        Stats {
            total_uncompressed_size: self.plain,
            compression_ratio: ratio(self.compressed_plain, self.compressed_stored),
            compression_progress: ratio(self.compressed_plain, self.plain) * 100.0,
            compression_space_saving: if self.plain == 0 {
                0.0
            } else {
                (1.0 - ratio(self.stored, self.plain)) * 100.0
            },
            ..basic
        }
    }
}
