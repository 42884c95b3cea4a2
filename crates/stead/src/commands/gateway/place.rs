//! Where a gateway keeps what: accounts in one file, receipts and scrubs beside it, repositories on a storage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend::{Backend, Location};
use gateway::{FileAccess, FileLedger, Repositories, RepositoryName, Scrub, ScrubOptions};

use crate::failure::{Failure, Outcome};
use crate::open::Context;

/// Accounts, and what the gateway writes down.
#[derive(clap::Args)]
pub(crate) struct PlaceArgs {
    /// The file with accounts and limits; it is made with the first account, and a running gateway sees every change
    #[arg(long, value_name = "FILE")]
    access: PathBuf,
    /// Keep receipts, scrubs and files on their way in this directory (default: beside the access file, ending in .state)
    #[arg(long, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
}

impl PlaceArgs {
    /// The accounts.
    pub(crate) fn access(&self) -> FileAccess {
        FileAccess::new(&self.access)
    }

    /// The receipts.
    pub(crate) fn ledger(&self) -> Outcome<FileLedger> {
        let directory = self.state().join("receipts");
        FileLedger::open(&directory).map_err(|error| Failure::io("use", &directory, error))
    }

    /// Scrubs and what they found.
    pub(crate) fn scrub(&self, options: ScrubOptions) -> Outcome<Scrub> {
        let directory = self.state().join("scrubs");
        Scrub::new(&directory, options).map_err(|error| Failure::io("use", &directory, error))
    }

    /// Files on their way to storage that takes whole files only.
    pub(crate) fn spool(&self) -> PathBuf {
        self.state().join("incoming")
    }

    fn state(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| self.access.with_extension("state"))
    }
}

/// Repositories below one storage.
pub(crate) struct Below {
    pub(crate) context: Context,
    pub(crate) data: String,
}

impl Repositories for Below {
    fn open(&self, name: &RepositoryName) -> backend::Result<Arc<dyn Backend>> {
        storage(&self.context, &self.data, name).map_err(|failure| match failure.storage_error() {
            Some(error) => backend::Error::new(error.class, error.action, &error.what, &error.message),
            None => backend::Error::new(backend::Class::Permanent, "open", name, failure.to_string()),
        })
    }
}

/// The storage of a repository below `data`.
pub(crate) fn storage(context: &Context, data: &str, name: &RepositoryName) -> Outcome<Arc<dyn Backend>> {
    context.bare_storage(&format!("{}/{name}", data.trim_end_matches('/')))
}

/// Whether a pack of so many bytes fits below `data` with a twentieth of the disk left, 32 MiB to 1 GiB: whatever else lies
/// there, a database perhaps, must go on. Storage elsewhere says itself when it is full.
pub(crate) fn room(data: &str) -> Outcome<Arc<dyn Fn(u64) -> bool + Send + Sync>> {
    let Location::Local(path) = data.parse()? else { return Ok(Arc::new(|_| true)) };
    Ok(Arc::new(move |bytes| {
        let volume = existing(&path).and_then(|path| platform::volume(path.as_os_str().as_encoded_bytes()).ok());
        volume.is_none_or(|volume| volume.available >= bytes.saturating_add(kept_free(volume.total)))
    }))
}

fn kept_free(total: u64) -> u64 {
    (total / 20).clamp(32 << 20, 1 << 30)
}

/// The directory, or the nearest above it that is there already.
fn existing(path: &Path) -> Option<&Path> {
    path.ancestors().find(|path| path.is_dir())
}

/// A name that must be a repository's.
pub(crate) fn repository_name(text: &str) -> Result<RepositoryName, String> {
    text.parse().map_err(|error: gateway::BadName| error.to_string())
}
