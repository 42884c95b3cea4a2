//! What every request shares: the store, the clock, who observes, how many attempts are heard.

use std::sync::Arc;
use std::time::Duration;

use fleet::Zone;
use jiff::Timestamp;
use store::Store;
use tokio::sync::watch;

use crate::attempts::Attempts;
use crate::calls::Calls;
use crate::listen::Protection;
use crate::notify::watchdog::Rounds;
use crate::observer::{Event, Observer};
use crate::passkey::Passkeys;
use crate::problem::Problem;
use crate::seal::Seal;

/// What the time is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How the server is known to those who use it.
#[derive(Clone, Debug)]
pub struct Facade {
    /// Its address as browsers type it, without a slash at the end: `https://backup.example:8443`.
    pub address: String,
    /// SHA-256 of what agents pin; empty without TLS.
    pub fingerprint: String,
    /// Whether the certificate is signed by an authority that only this server knows.
    pub own_authority: bool,
    /// Wall clock of what belongs to no client.
    pub zone: Zone,
    /// Whether everything in the store is invented.
    pub demo: bool,
}

impl Facade {
    /// Whether connections are protected by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.address.starts_with("https://")
    }
}

/// What every request shares.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) facade: Facade,
    pub(crate) seal: Seal,
    pub(crate) attempts: Attempts,
    pub(crate) passkeys: Passkeys,
    /// Agents and keepers that are connected.
    pub(crate) calls: Calls,
    pub(crate) rounds: Rounds,
    protection: Protection,
    clock: Clock,
    observer: Observer,
    stop: watch::Receiver<bool>,
}

/// What an application is made of.
pub(crate) struct Setting {
    pub(crate) store: Store,
    pub(crate) protection: Protection,
    pub(crate) facade: Facade,
    pub(crate) seal: Seal,
    pub(crate) clock: Clock,
    pub(crate) observer: Observer,
    pub(crate) stop: watch::Receiver<bool>,
}

impl App {
    pub(crate) fn new(setting: Setting) -> App {
        let Setting { store, protection, facade, seal, clock, observer, stop } = setting;
        let (attempts, calls, rounds) = (Attempts::default(), Calls::default(), Rounds::default());
        let passkeys = Passkeys::at(&facade.address);
        let shared =
            Shared { store, facade, seal, attempts, passkeys, calls, rounds, protection, clock, observer, stop };
        App(Arc::new(shared))
    }

    /// What somebody who is connected may have seen of us.
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        let mut all = vec![self.facade.fingerprint.clone()];
        if let Protection::Tls(certificate) = &self.protection {
            all.extend(certificate.fingerprints());
        }
        all
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Random bits of the operating system, for a new identity.
    pub(crate) fn random(&self) -> Result<[u8; 10], Problem> {
        let mut bits = [0; 10];
        aws_lc_rs::rand::fill(&mut bits).map_err(|error| Problem::internal("draw random bytes", error))?;
        Ok(bits)
    }

    /// Tells those who run the server.
    pub(crate) fn observe(&self, event: Event) {
        (self.observer)(event);
    }

    /// Does a task at once, and again after each pause, until the server stops. What goes wrong is told, and tried again.
    pub(crate) async fn every(self, pause: Duration, task: impl AsyncFn(&App) -> Result<(), Problem>) {
        let going = async {
            loop {
                if let Some(words) = task(&self).await.err().and_then(|problem| problem.for_the_log()) {
                    self.observe(Event::Problem(words));
                }
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = self.clone().stopped() => {}
            () = going => {}
        }
    }

    /// Ends when the server does: what streams without end must not outlive it.
    pub(crate) async fn stopped(self) {
        let mut stop = self.stop.clone();
        _ = stop.wait_for(|stop| *stop).await;
    }
}

impl std::ops::Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
