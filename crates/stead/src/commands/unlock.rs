//! `stead unlock`: locks of processes that are no more.

use repo::lock;

use crate::failure::Outcome;
use crate::open::Context;

/// Remove locks that dead processes left
///
/// Example: stead unlock -r /media/usb/backup
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Remove all locks, those of living processes too, whose work then fails
    #[arg(long)]
    remove_all: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let opened = context.open_unlocked()?;
        let removed = match self.remove_all {
            true => lock::remove_all(&opened.repo)?,
            false => lock::remove_stale(&opened.repo, &context.owner())?,
        };
        match removed {
            0 => Ok(()),
            count => context.output().remark(format_args!("successfully removed {count} locks")),
        }
    }
}
