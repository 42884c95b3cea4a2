//! The first backup of `stead up`: begun at once, and shown in the terminal as on the page.

use std::sync::Arc;
use std::time::Duration;

use fleet::{JobId, JobKey, JobKind, MachineId, Run, RunState, Zone};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Serialize;
use store::{NewJob, Store};

use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::render::live::{Live, Picture};

/// How often it is looked, and how long the agent may take to begin by itself.
const LOOK: Duration = Duration::from_millis(500);
const BY_ITSELF: u32 = 2;

/// The first backup of a machine.
pub(super) struct FirstBackup {
    /// The server's memory.
    pub(super) store: Store,
    /// Who owns the firm.
    pub(super) owner: String,
    /// Which machine.
    pub(super) machine: MachineId,
}

/// How far it is.
struct Going(Mutex<Option<Run>>);

impl Picture for Going {
    fn lines(&self, _: Duration, _: usize) -> Vec<String> {
        let words =
            |run: &Run| format!("first backup: {} %, {}", run.progress.percent(), run.progress.words(&Zone::utc()));
        vec![self.0.lock().as_ref().map_or_else(|| "first backup: about to begin".into(), words)]
    }

    fn message(&self, _: Duration) -> serde_json::Value {
        let run = self.0.lock();
        let percent = run.as_ref().map_or(0, |run| run.progress.percent());
        serde_json::json!({ "message_type": "first_backup_status", "percent": percent })
    }
}

/// What `--json` tells when it has ended.
#[derive(Serialize)]
struct Ended {
    message_type: &'static str,
    state: &'static str,
    words: String,
}

impl FirstBackup {
    /// Begins it, unless a backup of this machine was good before, and shows it until it ends.
    pub(super) async fn watch(self, context: Context) {
        if let Err(failure) = self.follow(&context).await {
            context.output().failure(&failure.doing("cannot follow the first backup"));
        }
    }

    async fn follow(&self, context: &Context) -> Outcome {
        let output = context.output();
        if self.runs().await?.iter().any(|run| run.state() == fleet::State::Good) {
            return output.remark("this machine is protected; its page shows how it stands");
        }
        let going = Arc::new(Going(Mutex::new(None)));
        let live = Live::show(&context.settings, Arc::clone(&going) as Arc<dyn Picture>);
        let began = Timestamp::now();
        let mut looks = 0;
        loop {
            let run = self.runs().await?.into_iter().find(|run| run.started >= began || run.state == RunState::Running);
            if let Some(RunState::Ended { outcome, .. }) = run.as_ref().map(|run| run.state.clone()) {
                drop(live);
                let (state, words) = (outcome.state().word(), outcome.words());
                output.message(&Ended { message_type: "first_backup", state, words: words.clone() })?;
                return output.result(format_args!("first backup: {words}"));
            }
            if run.is_none() && looks == BY_ITSELF {
                self.ask().await?;
            }
            *going.0.lock() = run;
            looks += 1;
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn runs(&self) -> Outcome<Vec<Run>> {
        let rows = self.store.within(&self.scope().await?).runs(self.machine, 20).await?;
        Ok(rows.into_iter().map(|row| row.run).filter(|run| run.kind == JobKind::Backup).collect())
    }

    async fn ask(&self) -> Outcome {
        let (id, due) = (JobId::made(Timestamp::now(), rand::random()), Timestamp::now());
        let (machine, kind) = (self.machine, JobKind::Backup);
        let key = JobKey::requested(machine, kind, &format!("first {id}"));
        let new = NewJob { id, machine, kind, key, due, orders: String::new() };
        self.store.within(&self.scope().await?).ask_for(&new).await?;
        Ok(())
    }

    async fn scope(&self) -> Outcome<continuity::Scope> {
        let nobody = || Failure::new(format!("{} is nobody on this server", self.owner));
        let known = self.store.system().sign_in(&self.owner).await?.ok_or_else(nobody)?;
        self.store.system().scope(known.person.id, Timestamp::now()).await?.ok_or_else(nobody)
    }
}
