//! Agent: three threads and the runs. One talks to the server ([`crate::connection`]), one watches the surroundings, and one
//! begins and ends runs ([`crate::foreman`]); what they share is here.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::wire::duties::Duties;
use backend::{Clock, Limiter, Road};
use fleet::{Report, RunId};
use jiff::tz::TimeZone;
use parking_lot::{Condvar, Mutex};
use repo::Cancel;
use tokio::sync::Notify;

use crate::gate::Latch;
use crate::identity::{Identity, IdentityError};
use crate::imaging::Imaging;
use crate::membership::Membership;
use crate::memory::{Memory, MemoryError};
use crate::place::Place;
use crate::running::Running;
use crate::status::Contact;
use crate::surroundings::{Surroundings, Watched};
use crate::{connection, foreman, storage};

/// What an agent is started with.
pub struct Setup {
    /// Where it keeps what it must not lose.
    pub place: Place,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Makes images of disks.
    pub imaging: Arc<dyn Imaging>,
    /// Knows the surroundings.
    pub watched: Arc<dyn Watched>,
    /// Is told what somebody who looks on should know.
    pub tell: Arc<dyn Fn(Notice) + Send + Sync>,
    /// This machine's name, for snapshots and locks.
    pub host: String,
    /// This user's, for locks.
    pub user: String,
    /// The zone under which times are written into snapshots.
    pub zone: TimeZone,
    /// This program's version.
    pub version: String,
    /// Names of this machine's hardware.
    pub hardware: Vec<String>,
    /// Where programs are that are run before and after a backup.
    pub hooks: PathBuf,
    /// Where folders with what was restored are made, unless the machine's settings name another place.
    pub restored: PathBuf,
}

/// Something that somebody who looks on should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The server welcomes us.
    Connected {
        /// Its address.
        server: String,
    },
    /// It is not reached, or does not want us.
    Apart {
        /// Why.
        why: String,
    },
    /// A run began, or goes on after an interruption.
    Began {
        /// What kind: backup, restore, drill.
        kind: &'static str,
    },
    /// A run ended.
    Ended {
        /// What kind.
        kind: &'static str,
        /// How, as a clause.
        how: String,
    },
    /// Something is wrong that the agent bears.
    Trouble {
        /// What.
        what: String,
    },
}

/// Why an agent does not run.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The machine has not joined a server.
    #[error("this machine has not joined a server: `stead agent enrol` does that")]
    NotEnrolled,
    /// Its memory failed.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// Its identity failed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

/// What the threads share.
pub(crate) struct Core {
    pub(crate) setup: Setup,
    pub(crate) memory: Memory,
    pub(crate) membership: Membership,
    pub(crate) identity: Identity,
    pub(crate) latch: Arc<Latch>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) road: Road,
    /// The speed that the limiter was set to.
    pub(crate) speed: Mutex<Option<u64>>,
    /// Whom somebody works at.
    pub(crate) runs: Mutex<Vec<Running>>,
    /// The last reports of runs that have ended, the oldest first: they are told before the ends.
    pub(crate) last_reports: Mutex<VecDeque<(RunId, Report)>>,
    pub(crate) contact: Mutex<Contact>,
    pub(crate) surroundings: Mutex<Surroundings>,
    /// There is something to tell the server.
    pub(crate) outgoing: Notify,
    /// The network is another one.
    pub(crate) moved: Notify,
    /// Ends everything.
    pub(crate) stop: Cancel,
    pub(crate) stopping: Notify,
    bell: (Mutex<bool>, Condvar),
}

/// Runs whose last report is kept.
const MOST_LAST_REPORTS: usize = 64;

/// How long somebody who only looks may have the memory.
const LOOKED_AT: Duration = Duration::from_secs(10);

/// Opens the memory; whoever asks for the status has it for a moment.
fn opened(place: &Place) -> Result<Memory, MemoryError> {
    let end = Instant::now() + LOOKED_AT;
    loop {
        match Memory::open(place) {
            Err(MemoryError::InUse(_)) if Instant::now() < end => std::thread::sleep(Duration::from_millis(50)),
            opened => return opened,
        }
    }
}

impl Core {
    fn new(setup: Setup, stop: Cancel) -> Result<Core, AgentError> {
        let memory = opened(&setup.place)?;
        let membership = memory.membership()?.ok_or(AgentError::NotEnrolled)?;
        let identity = Identity::read(&setup.place)?;
        let limiter = Arc::new(Limiter::new(Arc::clone(&setup.clock), None, None));
        let surroundings = Mutex::new(setup.watched.now());
        Ok(Core {
            setup,
            memory,
            membership,
            identity,
            latch: Arc::default(),
            limiter,
            road: Road::default(),
            speed: Mutex::default(),
            runs: Mutex::default(),
            last_reports: Mutex::default(),
            contact: Mutex::default(),
            surroundings,
            outgoing: Notify::new(),
            moved: Notify::new(),
            stop,
            stopping: Notify::new(),
            bell: Default::default(),
        })
    }

    /// Wakes whoever begins and ends runs.
    pub(crate) fn ring(&self) {
        *self.bell.0.lock() = true;
        self.bell.1.notify_all();
    }

    /// Waits until somebody rings, at most so long.
    pub(crate) fn listen(&self, most: Duration) {
        let mut rung = self.bell.0.lock();
        if !*rung {
            self.bell.1.wait_for(&mut rung, most);
        }
        *rung = false;
    }

    /// Tells that something is wrong that we bear.
    pub(crate) fn trouble(&self, what: impl ToString) {
        (self.setup.tell)(Notice::Trouble { what: what.to_string() });
    }

    /// What it does; nothing if it was never told.
    pub(crate) fn duties(&self) -> Result<Option<Duties>, MemoryError> {
        self.memory.duties()
    }

    /// Keeps what a run said last, for those who hear of its end.
    pub(crate) fn keep_last_report(&self, run: RunId, report: Report) {
        let mut reports = self.last_reports.lock();
        reports.push_back((run, report));
        if reports.len() > MOST_LAST_REPORTS {
            reports.pop_front();
        }
    }

    /// Whether somebody must sign in to this network first.
    pub(crate) fn is_captive(&self) -> bool {
        self.surroundings.lock().around.network == fleet::Network::Captive
    }

    /// Sees to it that the keeper has the repository's key, if there is a keeper.
    pub(crate) fn seal_key(&self) -> Result<(), AgentError> {
        let Some(keeper) = self.duties()?.and_then(|duties| duties.keeper) else { return Ok(()) };
        if self.memory.sealed_to()?.as_ref() == Some(&keeper.public) {
            return Ok(());
        }
        let password = storage::password(&self.setup.place)?;
        let about = crate::sealed::about(&self.membership.machine.to_string());
        match crate::sealed::seal(&keeper.public, &about, password.as_bytes()) {
            Ok(key) => self.memory.seal_to(&keeper.public, key)?,
            Err(error) => self.trouble(format!("the repository's key was not sealed: {error}")),
        }
        self.outgoing.notify_one();
        Ok(())
    }
}

/// Runs an agent until `stop` is set. Runs that go on then are taken up by the next start.
pub fn run(setup: Setup, stop: &Cancel) -> Result<(), AgentError> {
    let core = Arc::new(Core::new(setup, stop.clone())?);
    core.seal_key()?;
    let threads = [
        spawn("connection", &core, connection::keep)?,
        spawn("surroundings", &core, |core| watch_surroundings(&core))?,
    ];
    foreman::work(&core);
    core.stopping.notify_waiters();
    core.stopping.notify_one();
    for thread in threads {
        _ = thread.join();
    }
    Ok(())
}

fn spawn(
    name: &str,
    core: &Arc<Core>,
    work: impl FnOnce(Arc<Core>) + Send + 'static,
) -> Result<std::thread::JoinHandle<()>, AgentError> {
    let core = Arc::clone(core);
    let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(core));
    thread.map_err(AgentError::Thread)
}

/// How often surroundings are looked at though nothing says that they changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

fn watch_surroundings(core: &Core) {
    while !core.stop.is_cancelled() {
        core.setup.watched.wait(LOOK_EVERY);
        let now = core.setup.watched.now();
        let before = std::mem::replace(&mut *core.surroundings.lock(), now.clone());
        if before.network != now.network || (before.asleep && !now.asleep) {
            core.moved.notify_one();
            core.road.moved();
        }
        if before != now {
            core.ring();
        }
    }
}
