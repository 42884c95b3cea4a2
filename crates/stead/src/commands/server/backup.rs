//! `stead server backup`: the server's own safety, made now.

use tokio::runtime::Handle;

use super::Site;
use super::own_backup::OwnBackup;
use crate::failure::Outcome;
use crate::open::Context;

/// Back up the server itself: its database and its keys, while it runs
///
/// `stead up` does this every day by itself. Without -r the repository is below the server's own data directory, which
/// helps against mistakes and not against the loss of this disk: name another place.
///
/// Example: stead server backup -r sftp:nas:/stead-server
#[derive(clap::Args)]
pub(crate) struct Args {}

impl Args {
    pub(super) fn run(self, site: &Site, context: &Context, handle: &Handle) -> Outcome {
        let store = handle.block_on(site.open())?;
        let backup = OwnBackup::of(site.place.root(), context);
        let made = backup.make(&store, handle)?;
        let output = context.output();
        output.message(&made)?;
        output.remark(format_args!("snapshot {} saved in {}", made.snapshot, backup.location()))?;
        output.remark(backup.advice())
    }
}
