//! The agent of `stead up`: it protects this machine from threads of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use agent::Notice;
use repo::Cancel;

use super::place::Place;
use crate::commands::agent::run;
use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;
use crate::output::Output;

/// Where programs are that are run before and after a backup.
const HOOKS: &str = "/etc/stead/hooks";

/// An agent that works.
pub(super) struct LocalAgent {
    stop: Cancel,
    works: JoinHandle<()>,
}

impl LocalAgent {
    /// Begins; this machine has joined already.
    pub(super) fn begin(place: &Place, context: &Context) -> Outcome<LocalAgent> {
        let (stop, output) = (Cancel::default(), context.output());
        let place = agent::Place::made(&place.agent()?)?;
        let setup = run::setup(place, context.clone(), PathBuf::from(HOOKS), Arc::new(move |said| tell(output, said)));
        let stopped = stop.clone();
        let work = move || {
            if let Err(error) = agent::run(setup, &stopped) {
                output.failure(&Failure::from(error).doing("the agent does not work"));
            }
        };
        let works = std::thread::Builder::new().name("agent".into()).spawn(work);
        Ok(LocalAgent { stop, works: works.doing(|| "cannot start the agent".into())? })
    }

    /// Ends it; what goes on is taken up at the next start.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        _ = tokio::task::spawn_blocking(move || self.works.join()).await;
    }
}

/// What goes well is seen on the page.
fn tell(output: Output, notice: Notice) {
    match notice {
        Notice::Apart { why } => output.warn(format_args!("agent: {why}")),
        Notice::Trouble { what } => output.warn(format_args!("agent: {what}")),
        Notice::Connected { .. } | Notice::Began { .. } | Notice::Ended { .. } => {}
    }
}
