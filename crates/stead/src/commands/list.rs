//! `stead list`: names of what a repository is made of.

use backend::FileKind;
use repo::{BlobKind, Repository};

use crate::failure::Outcome;
use crate::open::Context;
use crate::output::Lines;

/// List the names of blobs, packs, index, snapshots, keys or locks
///
/// Example: stead list snapshots
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to list
    #[arg(value_enum)]
    what: What,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum What {
    Blobs,
    Packs,
    Index,
    Snapshots,
    Keys,
    Locks,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        // A lock of our own would be listed.
        let opened = match self.what {
            What::Locks => context.open_unlocked()?,
            _ => context.open_shared()?,
        };
        match self.what {
            What::Blobs => blobs(&opened.repo),
            What::Packs => files(&opened.repo, FileKind::Pack),
            What::Index => files(&opened.repo, FileKind::Index),
            What::Snapshots => files(&opened.repo, FileKind::Snapshot),
            What::Keys => files(&opened.repo, FileKind::Key),
            What::Locks => files(&opened.repo, FileKind::Lock),
        }
    }
}

fn files(repo: &Repository, kind: FileKind) -> Outcome {
    let mut lines = Lines::new();
    for file in repo.backend().list(kind)? {
        lines.line(file.id)?;
    }
    lines.finish()
}

fn blobs(repo: &Repository) -> Outcome {
    let mut lines = Lines::new();
    let mut result = Ok(());
    repo.index()?.for_each_pack(&mut |_, packed| {
        for blob in packed.iter().map(|packed| packed.blob) {
            let kind = match blob.kind {
                BlobKind::Data => "data",
                BlobKind::Tree => "tree",
            };
            if result.is_ok() {
                result = lines.line(format_args!("{kind} {}", blob.id));
            }
        }
    })?;
    result?;
    lines.finish()
}
