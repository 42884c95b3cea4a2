//! The server's own backup, every day while it runs.

use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use store::Store;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::commands::server::own_backup::OwnBackup;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::password::PasswordSource;

/// Under this name the store remembers when the last one was made.
const LAST: &str = "own backup";

/// How old the last one may be.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// How often it is looked, and how soon what failed is tried again.
const LOOK: Duration = Duration::from_secs(15 * 60);

/// The first backup of this machine goes first.
const PATIENCE: Duration = Duration::from_secs(60);

/// What makes them.
#[derive(Clone)]
pub(super) struct OwnBackups {
    /// Where the server keeps its things.
    pub(super) root: PathBuf,
    /// Where they go; none: below that.
    pub(super) location: Option<String>,
    /// The database.
    pub(super) store: Store,
    /// What opens repositories.
    pub(super) context: Context,
}

impl OwnBackups {
    /// Makes one a day, until it is dropped.
    pub(super) async fn go_on(self) {
        tokio::time::sleep(PATIENCE).await;
        loop {
            if let Err(failure) = self.make_if_due().await {
                self.context.output().failure(&failure.doing("cannot back up the server itself"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn make_if_due(&self) -> Outcome {
        let (system, now) = (self.store.system(), Timestamp::now());
        let last = system.setting(LAST).await?.and_then(|last| last.parse::<Timestamp>().ok());
        // A last one in the future is one by a clock that was wrong.
        if last.is_some_and(|last| last <= now && now.duration_since(last) < DAY) {
            return Ok(());
        }
        let (mine, runtime) = (self.clone(), Handle::current());
        let made = spawn_blocking(move || mine.make(&runtime)).await;
        let advice = made.map_err(|_| Failure::new("it was interrupted"))??;
        system.set_setting(LAST, &now.to_string()).await?;
        match last {
            None => self.context.output().remark(advice),
            Some(_) => Ok(()),
        }
    }

    fn make(&self, runtime: &Handle) -> Outcome<String> {
        let mut context = self.context.clone();
        context.settings.location.clone_from(&self.location);
        // What the surroundings say is about the user's own repository.
        context.settings.password = PasswordSource::default();
        let backup = OwnBackup::of(&self.root, &context);
        backup.make(&self.store, runtime)?;
        Ok(backup.advice())
    }
}
