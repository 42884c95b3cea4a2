//! The gateway without the network: who is asking, and may they come in?

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use backend::Clock;
use http::StatusCode;

use crate::allowance::Allowances;
use crate::attempts::Attempts;
use crate::meter;
use crate::refusal::{Granted, Refusal};
use crate::repositories::Opened;
use crate::turnstile::Turnstile;
use crate::visit::Visit;
use crate::{Access, AttemptLimits, Ledger, Lengths, Repositories, RepositoryName, SecretHash};

/// What a gateway is made of.
pub struct Options {
    /// Who may come in.
    pub access: Arc<dyn Access>,
    /// Where repositories are stored.
    pub repositories: Arc<dyn Repositories>,
    /// Where receipts are written down.
    pub ledger: Arc<dyn Ledger>,
    /// The time that counts.
    pub clock: Arc<dyn Clock>,
    /// A directory for files on their way to storage that takes no pieces.
    pub spool: PathBuf,
    /// How long files may be.
    pub lengths: Lengths,
    /// How many failed attempts are judged.
    pub attempts: AttemptLimits,
    /// A lock that was received longer ago is removed. restic renews its own every five minutes.
    pub locks_last: Duration,
    /// Bytes in memory of files on their way to storage that takes no pieces; more of them wait.
    pub memory: u64,
    /// Hears what whoever keeps the gateway should know, in words: storage that fails, receipts that cannot be written.
    pub trouble: Arc<dyn Fn(&str) + Send + Sync>,
    /// Bytes read from storage at once for somebody who reads a whole file.
    pub piece: usize,
    /// Whether there is room for a pack of so many bytes beside what must stay free. Where there is none packs are refused,
    /// and everything else still comes in: the names of what came before are small.
    pub room: Arc<dyn Fn(u64) -> bool + Send + Sync>,
}

/// A gateway, without the network.
pub struct Gateway {
    pub(crate) options: Options,
    pub(crate) opened: Opened,
    pub(crate) allowances: Allowances,
    pub(crate) turnstile: Turnstile,
    attempts: Attempts,
}

/// Who is asking.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) address: IpAddr,
    /// User and password, if they were given.
    pub(crate) credential: Option<(String, String)>,
}

impl Options {
    /// The usual limits for a gateway made of these parts.
    pub fn new(
        access: Arc<dyn Access>,
        repositories: Arc<dyn Repositories>,
        ledger: Arc<dyn Ledger>,
        clock: Arc<dyn Clock>,
        spool: PathBuf,
    ) -> Options {
        Options {
            access,
            repositories,
            ledger,
            clock,
            spool,
            lengths: Lengths::default(),
            attempts: AttemptLimits::default(),
            locks_last: Duration::from_secs(2 * 3600),
            memory: 512 << 20,
            trouble: Arc::new(|_| ()),
            piece: 1 << 20,
            room: Arc::new(|_| true),
        }
    }
}

impl Gateway {
    /// A gateway made of these parts.
    pub fn new(options: Options) -> Gateway {
        Gateway {
            opened: Opened::new(Arc::clone(&options.repositories)),
            allowances: Allowances::default(),
            turnstile: Turnstile::new(options.memory),
            attempts: Attempts::new(options.attempts),
            options,
        }
    }

    /// Lets somebody in to a repository. Whether one exists is told only to those who may use it.
    pub(crate) fn admit(self: &Arc<Gateway>, caller: &Caller, repository: &RepositoryName) -> Granted<Visit> {
        let (account, holder) = self.recognise(caller)?;
        let foreign = || Refusal::forbidden("this credential is for another repository");
        if !holder.reaches(repository) {
            return Err(foreign());
        }
        let rules = self.options.access.rules(repository)?.ok_or_else(foreign)?;
        let backend = self.opened.get(repository)?;
        let gateway = Arc::clone(self);
        Ok(Visit { gateway, by: account, holder, repository: repository.clone(), rules, backend })
    }

    fn recognise(&self, caller: &Caller) -> Granted<(String, crate::Holder)> {
        let Some((account, password)) = &caller.credential else { return Err(Refusal::stranger()) };
        if let Some(wait) = self.attempts.wait(account, caller.address) {
            let words = "too many failed attempts; this one was not judged";
            return Err(Refusal::later(StatusCode::TOO_MANY_REQUESTS, words, wait.as_secs() + 1));
        }
        let found = self.options.access.account(account)?;
        let secret = found.as_ref().map_or(SecretHash::NOBODY, |found| found.secret);
        match (secret.is_of(password), found) {
            (true, Some(found)) => {
                self.attempts.succeeded(account, caller.address);
                Ok((account.clone(), found.holder))
            }
            _ => {
                meter::failed_attempt();
                self.attempts.failed(account, caller.address);
                Err(Refusal::stranger())
            }
        }
    }
}
