//! The backup of a server itself: a copy of its database of one instant, as SQLite whatever it is, and the files of its
//! keys, in a repository of its own. What machines stored is not in it, and neither is the state of this machine's agent.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use files::backup::{self, BackupOptions, CheckpointPolicy, Source};
use files::exclude::Excludes;
use files::metadata::Ignore;
use files::parent::ParentChoice;
use files::pattern::{Case, PatternList};
use repo::Cancel;
use repo::retention::GroupBy;
use serde::Serialize;
use store::Store;
use tokio::runtime::Handle;

use crate::default_repository::DefaultRepository;
use crate::failure::{Doing, Failure, Outcome};
use crate::open::{Context, Opened};

/// What its snapshots are tagged with.
pub(super) const TAG: &str = "stead-server";

/// Where the copy of the database is, below the server's directory.
pub(super) const DATABASE_COPY: &str = "own-backup/stead.db";

/// What is not in it, below the server's directory: what machines stored, the state of this machine's agent, ourselves,
/// and what can be made anew.
const LEFT_OUT: [&str; 6] = ["repositories", "agent", "safety", "cache", "catalogue", "stead.db*"];

/// A server's own backup.
pub(crate) struct OwnBackup {
    root: PathBuf,
    usual: DefaultRepository,
    location: String,
    context: Context,
}

/// What was made.
#[derive(Serialize)]
pub(crate) struct Made {
    message_type: &'static str,
    /// The snapshot.
    pub(crate) snapshot: String,
    /// Rows of the database.
    rows: u64,
}

impl OwnBackup {
    /// In the repository that was named, or one below the server's directory; with the password that was given, or one
    /// that is made and kept there.
    pub(crate) fn of(root: &Path, context: &Context) -> OwnBackup {
        let usual = DefaultRepository::below(&root.join("safety"));
        let location = context.settings.location.clone();
        let location = location.unwrap_or_else(|| usual.directory.to_string_lossy().into_owned());
        let mut context = context.clone();
        context.settings.location = Some(location.clone());
        if context.settings.password.is_unset() {
            context.settings.password.file = Some(usual.password_file.clone());
        }
        // A stop is heard between the days, not in the middle: it is small.
        context.cancel = Cancel::default();
        OwnBackup { root: root.to_owned(), usual, location, context }
    }

    /// Where it goes.
    pub(crate) fn location(&self) -> String {
        crate::open::shown(&self.location)
    }

    /// What its owner must do so that it helps.
    pub(crate) fn advice(&self) -> String {
        let password = match &self.context.settings.password.file {
            Some(file) => format!("Keep a copy of {} away from this machine", file.display()),
            None => "Keep its password away from this machine".into(),
        };
        let near = Path::new(&self.location).starts_with(&self.root);
        let far = if near {
            ", and name a place on another disk: this one does not survive the loss of this disk"
        } else {
            ""
        };
        format!("{password}: `stead server restore` needs it{far}.")
    }

    /// Makes one now, while the server runs.
    pub(crate) fn make(&self, store: &Store, handle: &Handle) -> Outcome<Made> {
        let rows =
            handle.block_on(self.copy_database(store)).map_err(|failure| failure.doing("cannot copy the database"))?;
        if self.context.settings.password.file.as_deref() == Some(&self.usual.password_file) {
            self.usual.make_password()?;
        }
        let opened = self.context.open_or_make()?;
        let backed = backup::backup(&opened.repo, self.source(), self.options(&opened)?, &backup::Unobserved);
        let backed = backed.doing(|| "cannot back up the server".into())?;
        opened.close(self.context.output());
        if !backed.is_complete() {
            return Err(Failure::incomplete("some of the server's files could not be read"));
        }
        let snapshot = backed.snapshot.ok_or_else(|| Failure::new("no snapshot was made"))?;
        Ok(Made { message_type: "summary", snapshot: snapshot.short().to_string(), rows })
    }

    /// A new file takes the old one's place, so that a copy is whole or not there.
    async fn copy_database(&self, store: &Store) -> Outcome<u64> {
        let copy = self.root.join(DATABASE_COPY);
        let folder = copy.parent().unwrap_or(&self.root);
        let unfinished = folder.join("unfinished");
        if unfinished.exists() {
            fs::remove_dir_all(&unfinished).map_err(|error| Failure::io("remove", &unfinished, error))?;
        }
        fs::create_dir_all(&unfinished).map_err(|error| Failure::io("make", &unfinished, error))?;
        let new = unfinished.join("stead.db");
        let fresh = Store::open(&format!("sqlite:{}", new.display())).await?;
        let rows = store.transfer(&fresh).await?.iter().map(|moved| moved.rows).sum();
        fresh.close().await?;
        fs::rename(&new, &copy).map_err(|error| Failure::io("put in place", &copy, error))?;
        fs::remove_dir_all(&unfinished).map_err(|error| Failure::io("remove", &unfinished, error))?;
        Ok(rows)
    }

    fn source(&self) -> Source {
        Source::Paths(vec![self.root.as_os_str().as_bytes().to_vec()])
    }

    fn options(&self, opened: &Opened) -> Outcome<BackupOptions> {
        let below = |name: &&str| OsString::from(self.root.join(name));
        let patterns: Vec<OsString> = LEFT_OUT.iter().map(below).collect();
        let patterns = PatternList::new(patterns.iter().map(|pattern| pattern.as_bytes()), Case::Sensitive)?;
        Ok(BackupOptions {
            working_directory: b"/".to_vec(),
            excludes: Excludes { patterns, ..Excludes::default() },
            excludes_shown: Vec::new(),
            own: opened.directory.iter().cloned().collect(),
            host: platform::hostname(),
            tags: vec![TAG.into()],
            time: self.context.now().to_zoned(jiff::tz::TimeZone::system()),
            program_version: format!("stead {}", env!("CARGO_PKG_VERSION")),
            parent: ParentChoice::Newest(GroupBy::default()),
            ignore: Ignore::default(),
            with_atime: false,
            dry_run: false,
            skip_if_unchanged: false,
            scan: false,
            read_concurrency: None,
            checkpoints: Some(CheckpointPolicy::default()),
            cancel: Cancel::default(),
        })
    }
}
