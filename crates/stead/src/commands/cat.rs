//! `stead cat`: what a repository is made of, decrypted.

use backend::{FileKind, FileName, Part};
use repo::{BlobHandle, BlobKind, Id, Repository};

use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;
use crate::output::Lines;
use crate::select::whole_id;

/// Print what a repository is made of
///
/// Example: stead cat config
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to print
    #[arg(value_enum)]
    what: What,
    /// Which one: an id (its start will do for a snapshot, index, key or lock); for a tree, SNAPSHOT or SNAPSHOT:FOLDER
    #[arg(value_name = "ID")]
    id: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    Config,
    Masterkey,
    Snapshot,
    Index,
    Key,
    Lock,
    Pack,
    Blob,
    Tree,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let opened = match self.what {
            What::Lock => context.open_unlocked()?,
            _ => context.open_shared()?,
        };
        let repo = &opened.repo;
        match self.what {
            What::Config => raw(format!("{}\n", serde_json::to_string_pretty(repo.config())?).as_bytes()),
            What::Masterkey => pretty(&repo.key().to_json()),
            What::Snapshot => unpacked(repo, FileKind::Snapshot, self.id()?),
            What::Index => unpacked(repo, FileKind::Index, self.id()?),
            What::Lock => unpacked(repo, FileKind::Lock, self.id()?),
            What::Key => pretty(&stored(repo, FileKind::Key, &repo.find_file(FileKind::Key, self.id()?)?)?),
            What::Pack => raw(&stored(repo, FileKind::Pack, &whole_id(self.id()?)?)?),
            What::Blob => blob(repo, &whole_id(self.id()?)?),
            What::Tree => tree(repo, self.id()?),
        }
    }

    fn id(&self) -> Outcome<&str> {
        self.id.as_deref().ok_or_else(|| Failure::new("which one? An id is missing"))
    }
}

/// Prints JSON indented, as restic does.
fn pretty(json: &[u8]) -> Outcome {
    let value: serde_json::Value = serde_json::from_slice(json).doing(|| "cannot understand what is stored".into())?;
    raw(format!("{}\n", serde_json::to_string_pretty(&value)?).as_bytes())
}

fn raw(bytes: &[u8]) -> Outcome {
    let mut lines = Lines::new();
    lines.bytes(bytes)?;
    lines.finish()
}

fn unpacked(repo: &Repository, kind: FileKind, id: &str) -> Outcome {
    let id = repo.find_file(kind, id)?;
    pretty(&repo.read_unpacked(kind, &id)?)
}

/// A file as it is stored.
fn stored(repo: &Repository, kind: FileKind, id: &Id) -> Outcome<Vec<u8>> {
    let mut content = Vec::new();
    repo.backend().read(&FileName::new(kind, *id), Part::Whole, &mut content)?;
    Ok(content)
}

fn blob(repo: &Repository, id: &Id) -> Outcome {
    repo.index()?;
    let kinds = [BlobKind::Data, BlobKind::Tree].map(|kind| BlobHandle { kind, id: *id });
    let handle = kinds.into_iter().find(|handle| repo.index().is_ok_and(|index| index.contains(handle)));
    let handle = handle.ok_or_else(|| Failure::new(format!("blob {id} is not in the index")))?;
    raw(&repo.read_blob(&handle)?)
}

/// The JSON of a snapshot's folder.
fn tree(repo: &Repository, what: &str) -> Outcome {
    let found = repo.find_snapshot(what, &repo::snapshot::SnapshotFilter::default())?;
    let id = crate::select::root(repo, &found)?;
    raw(&repo.read_blob(&BlobHandle { kind: BlobKind::Tree, id })?)
}
