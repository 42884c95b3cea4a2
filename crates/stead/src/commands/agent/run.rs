//! `stead agent run`: the agent itself, until it is stopped.

use std::path::PathBuf;
use std::sync::Arc;

use agent::{Notice, Place, Setup};
use backend::SystemClock;
use platform::hardware::System;

use super::imaging::Images;
use super::is_root;
use crate::environment;
use crate::failure::Outcome;
use crate::open::Context;
use crate::output::Output;

/// Do the machine's duties, until it is stopped
///
/// What goes on when it is stopped is taken up by the next start.
///
/// Example: stead agent run
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Where the programs before-backup and after-backup are
    #[arg(long, value_name = "DIRECTORY", default_value = "/etc/stead/hooks")]
    hooks: PathBuf,
}

impl Args {
    pub(crate) fn run(self, place: Place, context: Context) -> Outcome {
        let (output, stop) = (context.output(), context.cancel.clone());
        let tell = Arc::new(move |notice| tell(output, notice));
        Ok(agent::run(setup(place, context, self.hooks, tell), &stop)?)
    }
}

/// An agent of this machine.
pub(crate) fn setup(place: Place, context: Context, hooks: PathBuf, tell: Arc<dyn Fn(Notice) + Send + Sync>) -> Setup {
    let restored = match is_root() {
        true => PathBuf::from("/var/lib/stead/restored"),
        false => environment::data_directory().unwrap_or_default().join("restored"),
    };
    Setup {
        place,
        clock: Arc::new(SystemClock),
        imaging: Arc::new(Images(context)),
        watched: super::surroundings::watched(),
        tell,
        host: platform::hostname(),
        user: platform::username(),
        zone: jiff::tz::TimeZone::system(),
        version: env!("CARGO_PKG_VERSION").into(),
        hardware: System::this().identities(),
        hooks,
        restored,
    }
}

/// Whoever looks on reads it, or the journal keeps it.
fn tell(output: Output, notice: Notice) {
    // If nobody reads it, the work goes on.
    _ = match notice {
        Notice::Connected { server } => output.remark(format_args!("connected to {server}")),
        Notice::Apart { why } => {
            output.warn(format_args!("{why}; the work goes on without the server"));
            Ok(())
        }
        Notice::Began { kind } => output.remark(format_args!("{kind} began")),
        Notice::Ended { kind, how } => output.remark(format_args!("{kind} ended: {how}")),
        Notice::Trouble { what } => {
            output.warn(what);
            Ok(())
        }
    };
}
