//! Starting and stopping: a door, the routes behind it, and the renewal of our certificate.

use std::sync::Arc;
use std::time::Duration;

use store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::app::{App, Clock, Facade, Setting};
use crate::certificate::{Certificate, Public};
use crate::listen::{Door, Protection};
use crate::observer::{Event, Observer};
use crate::seal::Seal;
use crate::{calls, due, judge, keepers, notify, routes, second_factor};

/// A certificate of ours is good for 397 days, and replaced much earlier.
const RENEWAL: Duration = Duration::from_secs(30 * 86_400);

/// What a server is made of.
pub struct Setup {
    /// What it remembers.
    pub store: Store,
    /// Where it is reached.
    pub door: Door,
    /// How its door is protected.
    pub protection: Protection,
    /// What it shows to browsers; none: what its own authority signed.
    pub public: Option<Public>,
    /// How it is known.
    pub facade: Facade,
    /// What secrets in the database are sealed with; the same for all servers of a database.
    pub seal: Seal,
    /// What the time is.
    pub clock: Clock,
    /// Who is told what is wrong.
    pub observer: Observer,
}

/// A server that answers.
pub struct Running {
    stop: watch::Sender<bool>,
    answers: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    certificates: Vec<JoinHandle<()>>,
}

impl Setup {
    /// Begins to answer, on the runtime that this is called in.
    pub fn start(self) -> Running {
        let Setup { store, door, protection, public, facade, seal, clock, observer } = self;
        let (stop, stopped) = watch::channel(false);
        let certificates = keep(&protection, public, &clock, &observer);
        let setting = Setting { store, protection, facade, seal, clock, observer, stop: stopped.clone() };
        let app = App::new(setting);
        let tasks = vec![
            tokio::spawn(judge::run(app.clone())),
            tokio::spawn(due::run(app.clone())),
            tokio::spawn(calls::rounds::run(app.clone())),
            tokio::spawn(calls::diary::run(app.clone())),
            tokio::spawn(keepers::relay::run(app.clone())),
            tokio::spawn(second_factor::run(app.clone())),
            tokio::spawn(notify::run(app.clone())),
            tokio::spawn(notify::watchdog::run(app.clone())),
        ];
        let mut stopped = stopped;
        let told = async move { _ = stopped.wait_for(|stop| *stop).await };
        let answers = tokio::spawn(door.serve(routes::router(app), told));
        Running { stop, answers, tasks, certificates }
    }
}

impl Running {
    /// Takes no more requests, and returns when those that are being answered are, after ten seconds at most.
    pub async fn stop(self) {
        _ = self.stop.send(true);
        _ = self.answers.await;
        for task in self.tasks {
            _ = task.await;
        }
        self.certificates.iter().for_each(JoinHandle::abort);
    }
}

/// What keeps certificates up to date.
fn keep(protection: &Protection, public: Option<Public>, clock: &Clock, observer: &Observer) -> Vec<JoinHandle<()>> {
    let Protection::Tls(certificate) = protection else { return Vec::new() };
    let certificate = || Arc::clone(certificate);
    let renews = renew(certificate(), Arc::clone(clock), Arc::clone(observer));
    let shows = public.map(|public| public.keep(certificate(), Arc::clone(clock), Arc::clone(observer)));
    std::iter::once(tokio::spawn(renews)).chain(shows.map(tokio::spawn)).collect()
}

async fn renew(certificate: Arc<Certificate>, clock: Clock, observer: Observer) {
    loop {
        tokio::time::sleep(RENEWAL).await;
        if let Err(error) = certificate.renew(clock()) {
            observer(Event::Problem(format!("cannot renew the server's certificate: {error}")));
        }
    }
}
