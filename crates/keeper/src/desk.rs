//! The desk: tasks wait, workers take them, one at a time for each repository.
//!
//! A task that is taken twice is done once; one that was done is answered by its end. Whoever is killed in the middle finds
//! the task again at the next start, and all work may be repeated.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use api::wire::agent::Taken;
use api::wire::keeper::{Event, Kept, Work};
use fleet::{Drill, JobId, JobKind, MachineId, Outcome, Report, RunId};
use jiff::SignedDuration;
use parking_lot::{Condvar, Mutex};

use crate::memory::Changes;
use crate::outlet::Outlet;
use crate::reporter::Reporter;
use crate::sites::Sites;
use crate::storage::Stop;
use crate::task::{Task, forget_old_ends};
use crate::work::{self, Done, NO_BOOT_TESTS};
use crate::{Error, Result};

/// When a task comes again that storage or somebody's lock was in the way of.
const SOON: SignedDuration = SignedDuration::from_mins(10);

/// When a task comes again that only another version can do.
const LATER: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long names are noted after a task.
const FOLLOW_UP: Duration = Duration::from_secs(300);

/// Tasks wait here, and workers take them.
pub(crate) struct Desk {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

struct Shared {
    sites: Arc<Sites>,
    outlet: Arc<Outlet>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Task>,
    busy: HashMap<MachineId, Busy>,
    is_closing: bool,
}

/// What a worker has.
struct Busy {
    name: String,
    kind: JobKind,
    job: Taken,
    stop: Stop,
    is_called_back: bool,
    /// Its end was told: whoever asks again is answered by that, though names are still noted.
    is_told: bool,
}

impl Desk {
    /// Takes up what was in hand when the keeper stopped.
    pub(crate) fn open(sites: Arc<Sites>, outlet: Arc<Outlet>, workers: usize) -> Result<Desk> {
        forget_old_ends(&sites.shop.memory)?;
        let waiting = Task::all(&sites.shop.memory)?.into();
        let state = Mutex::new(State { waiting, ..State::default() });
        let shared = Arc::new(Shared { sites, outlet, state, changed: Condvar::new() });
        let worker = |number: usize| {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("keeper-{number}"));
            thread.spawn(move || shared.work()).map_err(Error::file("start a thread for", "the keeper"))
        };
        let workers = (1..=workers.max(1)).map(worker).collect::<Result<Vec<_>>>()?;
        Ok(Desk { shared, workers })
    }

    /// Takes a task, or says again how it ended.
    pub(crate) fn take(&self, job: Taken, machine: Kept, work: Work) -> Result<()> {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        if let Some(waiting) = state.waiting.iter_mut().find(|task| task.job.job == job.job) {
            waiting.job = job;
            return shared.sites.shop.memory.apply(waiting.held()?).map(drop);
        }
        if let Some(busy) = state.busy.values_mut().find(|busy| busy.job.job == job.job && !busy.is_told) {
            busy.job = job;
            return Ok(());
        }
        if let Some(end) = Task::end_of(&shared.sites.shop.memory, job)? {
            return shared.outlet.happened(&end, Changes::default());
        }
        let run = RunId::made(shared.sites.now(), rand::random());
        let task = Task { job, machine, work, run, begun: false };
        shared.sites.shop.memory.apply(task.held()?)?;
        state.waiting.push_back(task);
        shared.changed.notify_all();
        Ok(())
    }

    /// A task is not wanted any more.
    pub(crate) fn cancel(&self, job: JobId) -> Result<()> {
        let mut state = self.shared.state.lock();
        if let Some(busy) = state.busy.values_mut().find(|busy| busy.job.job == job) {
            busy.is_called_back = true;
            busy.stop.ask();
            return Ok(());
        }
        let Some(at) = state.waiting.iter().position(|task| task.job.job == job) else { return Ok(()) };
        let Some(task) = state.waiting.remove(at) else { return Ok(()) };
        self.shared.end(&task, called_back())
    }

    /// How many tasks wait, and what is worked at: names of machines, and the work's words.
    pub(crate) fn status(&self) -> (usize, Vec<(String, String)>) {
        let state = self.shared.state.lock();
        let busy = state.busy.values().map(|busy| (busy.name.clone(), busy.kind.word().to_owned()));
        (state.waiting.len(), busy.collect())
    }

    /// The gateway is known, or is another one.
    pub(crate) fn wake(&self) {
        // Whoever has just looked and is about to wait does not miss it.
        let _state = self.shared.state.lock();
        self.shared.changed.notify_all();
    }

    /// Stops all work where it stands. What is in hand is taken up at the next start.
    pub(crate) fn close(self) {
        {
            let mut state = self.shared.state.lock();
            state.is_closing = true;
            state.busy.values().for_each(|busy| busy.stop.ask());
        }
        self.shared.changed.notify_all();
        for worker in self.workers {
            // A worker that panicked has nothing more to say.
            let _ = worker.join();
        }
    }
}

impl State {
    /// Which attempt a task has become meanwhile, and whether it was called back; from here on its end is what is told.
    fn last_of(&mut self, task: &Task) -> (Taken, bool) {
        match self.busy.get_mut(&task.machine.machine) {
            Some(busy) => {
                busy.is_told = true;
                (busy.job, busy.is_called_back)
            }
            None => (task.job, false),
        }
    }
}

impl Busy {
    fn with(task: &Task, stop: Stop) -> Busy {
        let (name, kind) = (task.machine.name.clone(), work::kind(&task.work));
        Busy { name, kind, job: task.job, stop, is_called_back: false, is_told: false }
    }
}

fn called_back() -> Done {
    Done { outcome: Outcome::Failed { why: "it was called back".into() }, found: None }
}

impl Shared {
    fn work(&self) {
        while let Some((task, stop)) = self.next() {
            let machine = task.machine.machine;
            // What cannot be noted is in hand still, and done again at the next start.
            let _ = self.carry_out(task, &stop);
            self.state.lock().busy.remove(&machine);
            self.changed.notify_all();
        }
    }

    /// The next task whose repository nobody works at; none when the keeper stops.
    fn next(&self) -> Option<(Task, Stop)> {
        let mut state = self.state.lock();
        loop {
            if state.is_closing {
                return None;
            }
            let at = state.waiting.iter().position(|task| !state.busy.contains_key(&task.machine.machine));
            if let Some(at) = at.filter(|_| self.sites.is_ready())
                && let Some(task) = state.waiting.remove(at)
            {
                let stop = Stop::default();
                state.busy.insert(task.machine.machine, Busy::with(&task, stop.clone()));
                return Some((task, stop));
            }
            self.changed.wait(&mut state);
        }
    }

    fn carry_out(&self, task: Task, stop: &Stop) -> Result<()> {
        if task.work == Work::Drill(Drill::BootTest) {
            let mut state = self.state.lock();
            let (job, _) = state.last_of(&task);
            return self.postpone(&Task { job, ..task }, LATER, NO_BOOT_TESTS.into());
        }
        let task = Arc::new(Mutex::new(task));
        let worked = catch_unwind(AssertUnwindSafe(|| self.run(&task, stop)));
        let worked = worked.unwrap_or_else(|_| Err(Error::Refused("the keeper stumbled over this repository".into())));
        let mut task = task.lock().clone();
        self.outlet.over(task.run);
        let is_done = worked.is_ok();
        let told = {
            // Nobody asks again between the last attempt's number and its end.
            let mut state = self.state.lock();
            if state.is_closing && !is_done {
                return Ok(());
            }
            let (job, is_called_back) = state.last_of(&task);
            task.job = job;
            self.tell(&task, worked, is_called_back)
        };
        if is_done {
            self.follow_up(&task, stop);
        }
        told
    }

    fn tell(&self, task: &Task, worked: Result<Done>, is_called_back: bool) -> Result<()> {
        match worked {
            Ok(done) => self.end(task, done),
            Err(error) if error.is_cancelled() && is_called_back => self.end(task, called_back()),
            Err(error) if error.passes() && !task.begun => self.postpone(task, SOON, error.words()),
            Err(error) => self.end(task, Done { outcome: Outcome::Failed { why: error.words() }, found: None }),
        }
    }

    fn run(&self, task: &Arc<Mutex<Task>>, stop: &Stop) -> Result<Done> {
        let Task { machine, work, run, .. } = task.lock().clone();
        let site = self.sites.site(&machine, stop.clone())?;
        let (outlet, of, sites) = (Arc::clone(&self.outlet), Arc::clone(task), Arc::clone(&self.sites));
        let tell = move |report: Report| {
            // The run begins when the repository is open: until then the task can still be put off.
            let _ = begin(&sites, &outlet, &mut of.lock());
            outlet.report(machine.machine, run, report);
        };
        let reporter = Reporter::new(Arc::clone(&self.sites.access.clock), tell);
        work::run(&site, &work, &reporter)
    }

    /// What could not be done is done after the next task.
    fn follow_up(&self, task: &Task, stop: &Stop) {
        let clock = Arc::clone(&self.sites.access.clock);
        let begun = clock.monotonic();
        let enough = || clock.monotonic().saturating_sub(begun) >= FOLLOW_UP;
        let site = self.sites.site(&task.machine, stop.clone());
        let _ = catch_unwind(AssertUnwindSafe(|| site.and_then(|site| work::follow_up(&site, &enough))));
    }

    fn end(&self, task: &Task, done: Done) -> Result<()> {
        let mut task = task.clone();
        begin(&self.sites, &self.outlet, &mut task)?;
        let Done { outcome, found } = done;
        let (machine, run, job, at) = (task.machine.machine, task.run, task.job, self.sites.now());
        let event = Event::Ended { machine, run, job, at, outcome, found };
        self.outlet.happened(&event, task.released(&event))
    }

    fn postpone(&self, task: &Task, wait: SignedDuration, why: String) -> Result<()> {
        let now = self.sites.now();
        let event = Event::Postponed { job: task.job, again: now.checked_add(wait).unwrap_or(now), why };
        self.outlet.happened(&event, task.released(&event))
    }
}

/// Says once that a run began.
fn begin(sites: &Sites, outlet: &Outlet, task: &mut Task) -> Result<()> {
    if task.begun {
        return Ok(());
    }
    task.begun = true;
    let kind = work::kind(&task.work);
    let event = Event::Begun { machine: task.machine.machine, run: task.run, job: task.job, kind, at: sites.now() };
    outlet.happened(&event, task.held()?)
}
