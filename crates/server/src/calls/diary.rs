//! Diary: heartbeats and reports, gathered and written down together. Of each machine and run only the newest counts, so
//! that it is bounded by those who are connected, also while the database is away.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet::{MachineId, Report, RunId, Uuid};
use parking_lot::Mutex;
use store::Beat;

use crate::app::App;
use crate::observer::Event;
use crate::problem::Problem;

/// How often it is written down.
const EVERY: Duration = Duration::from_secs(1);

/// Runs of one machine that are reported at once.
const MOST_RUNS: usize = 16;

/// What is not yet written down.
#[derive(Default)]
pub(crate) struct Diary {
    beats: Mutex<BTreeMap<MachineId, Beat>>,
    reports: Mutex<BTreeMap<(MachineId, RunId), Report>>,
}

impl Diary {
    /// A machine was heard.
    pub(crate) fn beat(&self, beat: Beat) {
        self.beats.lock().insert(beat.machine, beat);
    }

    /// A run says how far it is.
    pub(crate) fn report(&self, machine: MachineId, run: RunId, report: Report) {
        let mut reports = self.reports.lock();
        let (first, last) = (RunId::new(Uuid::nil()), RunId::new(Uuid::max()));
        let of_machine = reports.range((machine, first)..=(machine, last)).count();
        match reports.get_mut(&(machine, run)) {
            Some(there) if there.number < report.number => *there = report,
            Some(_) => {}
            None if of_machine < MOST_RUNS => drop(reports.insert((machine, run), report)),
            None => {}
        }
    }

    /// The last report of a run that ends.
    pub(crate) fn last(&self, machine: MachineId, run: RunId) -> Option<Report> {
        self.reports.lock().remove(&(machine, run))
    }

    async fn write(&self, app: &App) -> Result<(), store::Error> {
        let beats = std::mem::take(&mut *self.beats.lock());
        if !beats.is_empty() {
            let all: Vec<Beat> = beats.values().cloned().collect();
            if let Err(error) = app.store.system().hear(&all).await {
                let mut newer = self.beats.lock();
                for (machine, beat) in beats {
                    newer.entry(machine).or_insert(beat);
                }
                return Err(error);
            }
        }
        let reports = std::mem::take(&mut *self.reports.lock());
        if reports.is_empty() {
            return Ok(());
        }
        let all: Vec<_> = reports.into_iter().map(|((machine, run), report)| (machine, run, report)).collect();
        let written = app.store.system().report_all(&all).await;
        if written.is_err() {
            all.into_iter().for_each(|(machine, run, report)| self.report(machine, run, report));
        }
        written
    }
}

/// Writes down what there is until the server stops, and then once more.
pub(crate) async fn run(app: App) {
    let writing = async {
        loop {
            tokio::time::sleep(EVERY).await;
            write(&app).await;
        }
    };
    tokio::select! {
        () = app.clone().stopped() => {}
        () = writing => {}
    }
    write(&app).await;
}

async fn write(app: &App) {
    let written = app.calls.diary.write(app).await;
    if let Some(words) = written.err().and_then(|error| Problem::from(error).for_the_log()) {
        app.observe(Event::Problem(words));
    }
}
