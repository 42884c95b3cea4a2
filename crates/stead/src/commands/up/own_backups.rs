//! The server's own backup, every day while it runs.

use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use server::own_backup;
use store::Store;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use crate::commands::server::own_backup::OwnBackup;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::password::PasswordSource;

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
                self.tell(failure).await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn make_if_due(&self) -> Outcome {
        let (last, now) = (own_backup::last(&self.store).await?, Timestamp::now());
        // A last one in the future is one by a clock that was wrong.
        if last.is_some_and(|last| last <= now && now.duration_since(last) < DAY) {
            return Ok(());
        }
        let (mine, runtime) = (self.clone(), Handle::current());
        let made = spawn_blocking(move || mine.make(&runtime)).await;
        let advice = made.map_err(|_| Failure::new("it was interrupted"))??;
        own_backup::made(&self.store, now).await?;
        match last {
            None => self.context.output().remark(advice),
            Some(_) => Ok(()),
        }
    }

    /// In the terminal, on the page, and to whom it may concern.
    async fn tell(&self, failure: Failure) {
        let told = own_backup::failed(&self.store, &failure.to_string(), Timestamp::now()).await;
        self.context.output().failure(&failure.doing("cannot back up the server itself"));
        if let Err(error) = told {
            self.context.output().failure(&Failure::from(error).doing("cannot make that an alert"));
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
