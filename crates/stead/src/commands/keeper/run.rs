//! `stead keeper run`: the keeper itself, until it is stopped.

use std::sync::Arc;

use backend::SystemClock;
use keeper::home::Home;
use keeper::keys::Keys;
use keeper::status::server_of;
use keeper::{Notice, Setup};
use repo::lock::LockOwner;

use super::{OpenerArgs, Phrase};
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output::Output;

/// Do the server's tasks, until it is stopped
///
/// What goes on when it is stopped is taken up by the next start.
///
/// Example: stead keeper run
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Repositories that are worked at at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    #[command(flatten)]
    opener: OpenerArgs,
}

impl Args {
    pub(super) fn run(self, home: Home, context: &Context) -> Outcome {
        let output = context.output();
        let made = "`stead keeper init --server ADDRESS` makes them";
        if !home.keys().exists() {
            return Err(Failure::new("this keeper has no keys yet").hint(made));
        }
        let dial = server_of(&home)?;
        let dial = dial.ok_or_else(|| Failure::new("this keeper does not know its server").hint(made))?;
        let keys = Keys::open(&home.keys(), &self.opener.opener(&home, Phrase::Known)?)?;
        let setup = Setup {
            home,
            keys,
            dial,
            version: env!("CARGO_PKG_VERSION").into(),
            clock: Arc::new(SystemClock),
            owner: LockOwner::this_process(platform::hostname(), platform::username()),
            workers: self.workers.into(),
            notice: Arc::new(move |notice| tell(output, notice)),
        };
        Ok(keeper::run(setup, &context.cancel)?)
    }
}

/// Whoever looks on reads it, or the journal keeps it.
fn tell(output: Output, notice: Notice<'_>) {
    match notice {
        // If nobody reads it, the work goes on.
        Notice::Welcome(name) => _ = output.remark(format_args!("the server knows this keeper as {name}")),
        Notice::Away { error, wait } => {
            let why = keeper::words(error);
            output.warn(format_args!("{why}; calling again in {:.0} s", wait.as_secs_f64()));
        }
        Notice::Trouble(error) => output.warn(error.words()),
    }
}
