//! Scrubs of a gateway on a server's database: what the gateway stored is read and hashed again, without keys, a share every day. Where no keeper
//! can check a repository, that is what its light of storage stands on; what is not as it was received is told for all.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use backend::SystemClock;
use fleet::{Amount, JobKind, MachineId, Phase, Report, Run, RunCondition, RunId};
use gateway::{Access, RepositoryName, Scrub, ScrubError, ScrubOptions, Tally};
use jiff::{SignedDuration, Timestamp};
use repo::Cancel;
use store::Store;
use tokio::runtime::Handle;

use super::books::Books;
use super::place;
use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;

/// How often it is looked what is due, and how long after the start: the first backups go first.
const LOOK: Duration = Duration::from_secs(15 * 60);
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a repository is looked at, and for how long at most; the next look goes on where this one was.
const DAY: SignedDuration = SignedDuration::from_hours(24);
const BUDGET: Duration = Duration::from_secs(3_600);

/// Backups come first: storage is read no faster than this, and what was good not again for so long.
const RATE: u64 = 30 << 20;
const AGAIN_AFTER: Duration = Duration::from_secs(30 * 86_400);

/// What scrubs need.
pub(super) struct Wish {
    pub(super) books: Arc<Books>,
    pub(super) store: Store,
    pub(super) runtime: Handle,
    pub(super) context: Context,
    /// Below which repositories are.
    pub(super) storage: String,
    /// Where it is written down what was read.
    pub(super) journals: PathBuf,
}

/// Scrubs that go on, on a thread of their own.
pub(super) struct Scrubs {
    stop: Cancel,
    thread: JoinHandle<()>,
}

impl Scrubs {
    /// Begins.
    pub(super) fn begin(wish: Wish) -> Outcome<Scrubs> {
        let scrub = Scrub::new(&wish.journals, ScrubOptions { rate: Some(RATE), again_after: AGAIN_AFTER })
            .map_err(|error| Failure::io("make", &wish.journals, error))?;
        let stop = Cancel::default();
        let round = Round { wish, scrub, stop: stop.clone() };
        let thread = std::thread::Builder::new().name("scrubs".into()).spawn(move || round.go_on());
        Ok(Scrubs { stop, thread: thread.doing(|| "cannot start scrubbing".into())? })
    }

    /// Ends; what was read is written down.
    pub(super) fn end(self) {
        self.stop.cancel();
        _ = self.thread.join();
    }
}

struct Round {
    wish: Wish,
    scrub: Scrub,
    stop: Cancel,
}

impl Round {
    fn go_on(self) {
        self.rest(PATIENCE);
        while !self.stop.is_cancelled() {
            if let Err(failure) = self.look() {
                self.wish.context.output().failure(&failure.doing("cannot scrub what is stored"));
            }
            self.rest(LOOK);
        }
    }

    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.stop.is_cancelled() {
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn look(&self) -> Outcome {
        for repository in self.wish.books.repositories()? {
            if self.stop.is_cancelled() {
                break;
            }
            let Ok(machine) = repository.as_str().parse::<MachineId>() else { continue };
            if self.is_due(machine)? {
                self.one(machine, &repository)?;
            }
        }
        Ok(())
    }

    /// Under this name the store remembers when a machine's storage was looked at last.
    fn last(machine: MachineId) -> String {
        format!("scrub of {machine}")
    }

    fn is_due(&self, machine: MachineId) -> Outcome<bool> {
        let name = Round::last(machine);
        let last = self.wish.runtime.block_on(self.wish.store.system().setting(&name))?;
        let (last, now) = (last.and_then(|last| last.parse::<Timestamp>().ok()), Timestamp::now());
        // A last one in the future is one by a clock that was wrong.
        Ok(last.is_none_or(|last| last > now || now.duration_since(last) >= DAY))
    }

    fn one(&self, machine: MachineId, repository: &RepositoryName) -> Outcome {
        let storage = place::storage(&self.wish.context, &self.wish.storage, repository)?;
        let (began, ends) = (Timestamp::now(), Instant::now() + BUDGET);
        let go_on = || !self.stop.is_cancelled() && Instant::now() < ends;
        let run = self.scrub.run(repository, &*storage, &*self.wish.books, &SystemClock, &mut |_, _| (), &go_on);
        let tally = match run {
            // Nothing is stored yet.
            Err(ScrubError::Storage { source, .. }) if source.is_not_found() => return Ok(()),
            tally => tally?,
        };
        self.wish.runtime.block_on(self.note(machine, began, &tally))
    }

    /// Writes down what was found, as a check; one of the keeper says more, so a good one is for those alone that have none.
    async fn note(&self, machine: MachineId, began: Timestamp, tally: &Tally) -> Outcome {
        let (system, now) = (self.wish.store.system(), Timestamp::now());
        let is_nothing = tally.read + tally.passed_over == 0;
        let says_nothing =
            tally.bad.is_empty() && (!tally.is_complete || is_nothing || self.is_tended(machine).await?);
        if !says_nothing {
            let id = RunId::made(began, rand::random());
            system.begin_run(&Run::begin(id, machine, None, JobKind::Check, began)).await?;
            let amount = Amount { done: tally.bytes, total: tally.bytes, new: 0 };
            let (phase, condition) = (Phase::Verifying, RunCondition::Moving);
            system.report(machine, id, Report { number: 1, at: now, phase, condition, amount, setback: None }).await?;
            system.end_run(machine, id, now, outcome(tally)).await?;
            system.judge(&[machine], None, now).await?;
        }
        if tally.is_complete {
            system.set_setting(&Round::last(machine), &now.to_string()).await?;
        }
        Ok(())
    }

    /// Whether a keeper has the key of its repository.
    async fn is_tended(&self, machine: MachineId) -> Outcome<bool> {
        let system = self.wish.store.system();
        for keeper in system.keepers().await? {
            if system.sealed_to(machine, &keeper.public).await?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn outcome(tally: &Tally) -> fleet::Outcome {
    match tally.bad.as_slice() {
        [] => fleet::Outcome::Good,
        [one] => fleet::Outcome::Failed { why: format!("a stored file is not what was received: {}", one.file.path()) },
        [first, ..] => {
            let count = tally.bad.len();
            let why = format!("{count} stored files are not what was received, among them {}", first.file.path());
            fleet::Outcome::Failed { why }
        }
    }
}

#[cfg(test)]
mod tests {
    use backend::{FileKind, FileName, Id};
    use gateway::{Finding, Verdict};

    use super::*;

    #[test]
    fn what_is_not_as_it_was_received_is_a_failed_check_that_names_it() {
        let bad = |byte: u8| {
            let file = FileName::new(FileKind::Pack, Id::from_bytes([byte; 32]));
            Finding { file, at: Timestamp::UNIX_EPOCH, verdict: Verdict::Bad }
        };
        let of = |bad| outcome(&Tally { bad, ..Tally::default() });
        assert_eq!(of(Vec::new()), fleet::Outcome::Good);
        let fleet::Outcome::Failed { why } = of(vec![bad(1)]) else { panic!() };
        assert!(why.contains("a stored file is not what was received") && why.contains("0101"), "{why}");
        let fleet::Outcome::Failed { why } = of(vec![bad(1), bad(2)]) else { panic!() };
        assert!(why.starts_with("2 stored files"), "{why}");
    }
}
