//! Books: who may come in to the gateway and what it received, in the server's database. The gateway asks from threads
//! that may wait; the database is asked on the server's runtime.

use std::collections::HashMap;

use backend::{FileKind, FileName, Id};
use fleet::MachineId;
use gateway::{
    Access, AccessError, Account, Act, Enrolment, Holder, Ledger, LedgerError, Limits, LockHolder, Reach, Receipt,
    RepositoryName, Rules, SecretHash, Today,
};
use jiff::Timestamp;
use jiff::civil::Date;
use store::{GatewayAccount, Store};
use tokio::runtime::Handle;

/// Receipts that are read at once.
const AT_ONCE: u64 = 1_000;

/// Accounts, rules and receipts in the server's database.
#[derive(Clone)]
pub(crate) struct Books {
    store: Store,
    runtime: Handle,
}

/// A repository whose name is no machine's.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no machine's repository")]
struct NoMachine(RepositoryName);

impl Books {
    /// Those of a store, asked on this runtime.
    pub(crate) fn new(store: Store, runtime: Handle) -> Books {
        Books { store, runtime }
    }
}

/// A machine's repository is called as its identity is written, and in no other way.
fn machine_of(repository: &RepositoryName) -> Option<MachineId> {
    let machine: MachineId = repository.as_str().parse().ok()?;
    (machine.to_string() == repository.as_str()).then_some(machine)
}

fn repository_of(machine: MachineId) -> RepositoryName {
    machine.to_string().parse().expect("a UUID in lower case is a repository's name")
}

fn holder(found: GatewayAccount) -> Account {
    let (hash, holder) = match found {
        GatewayAccount::Machine(machine, hash) => (hash, Holder::Machine(repository_of(machine))),
        GatewayAccount::Keeper(hash) => (hash, Holder::Keeper(Reach::All)),
    };
    Account { secret: SecretHash::from_bytes(hash.bytes()), holder }
}

impl Access for Books {
    fn account(&self, name: &str) -> Result<Option<Account>, AccessError> {
        let found = self.runtime.block_on(self.store.system().gateway_account(name, Timestamp::now()));
        Ok(found.map_err(|error| access("look up", name, error))?.map(holder))
    }

    fn rules(&self, repository: &RepositoryName) -> Result<Option<Rules>, AccessError> {
        let Some(machine) = machine_of(repository) else { return Ok(None) };
        let found = self.runtime.block_on(self.store.system().repository_rules(machine));
        let found = found.map_err(|error| access("look up", repository.as_str(), error))?;
        Ok(found.map(|found| Rules {
            enrolment: if found.closed { Enrolment::Sealed } else { Enrolment::Open },
            limits: Limits {
                stored_bytes: found.quota,
                daily_bytes: found.daily_bytes,
                daily_snapshots: found.daily_snapshots,
            },
        }))
    }

    fn repositories(&self) -> Result<Vec<RepositoryName>, AccessError> {
        let found = self.runtime.block_on(self.store.system().repositories());
        let found = found.map_err(|error| access("list", "repositories", error))?;
        Ok(found.into_iter().map(repository_of).collect())
    }
}

fn access(action: &'static str, what: &str, error: store::Error) -> AccessError {
    AccessError { action, what: what.to_owned(), source: error.into() }
}

impl Ledger for Books {
    fn record(&self, repository: &RepositoryName, receipt: &Receipt) -> Result<(), LedgerError> {
        let machine = machine(repository, "write")?;
        let system = self.store.system();
        let (kind, name) = (receipt.file.kind.directory(), name_of(&receipt.file));
        let written = match receipt.act {
            Act::Received => {
                let new = store::Receipt {
                    machine,
                    kind: kind.to_owned(),
                    name,
                    size: receipt.size,
                    sha256: *receipt.sha256.as_bytes(),
                    received: receipt.at,
                    account: receipt.by.clone(),
                };
                self.runtime.block_on(system.receive(&new)).map(drop)
            }
            Act::Removed | Act::Expired => self.runtime.block_on(system.removed(machine, kind, &name)),
        };
        written.map_err(|error| ledger("write", repository, error))
    }

    fn today(&self, repository: &RepositoryName, day: Date) -> Result<Today, LedgerError> {
        let machine = machine(repository, "read")?;
        let found = self.runtime.block_on(self.store.system().received_on(machine, day));
        let (bytes, snapshots) = found.map_err(|error| ledger("read", repository, error))?;
        Ok(Today { bytes, snapshots })
    }

    fn locks(&self, repository: &RepositoryName) -> Result<HashMap<Id, LockHolder>, LedgerError> {
        let mut locks = HashMap::new();
        self.each(repository, FileKind::Lock, &mut |receipt| {
            locks.insert(receipt.file.id, LockHolder { by: receipt.by, at: receipt.at });
        })?;
        Ok(locks)
    }

    fn receipt(&self, repository: &RepositoryName, file: &FileName) -> Result<Option<Receipt>, LedgerError> {
        let machine = machine(repository, "read")?;
        let (kind, name) = (file.kind.directory(), name_of(file));
        let found = self.runtime.block_on(self.store.system().receipt(machine, kind, &name));
        let found = found.map_err(|error| ledger("read", repository, error))?;
        Ok(found.map(|found| receipt(*file, found)))
    }

    /// What is there, by kind and time: what was removed has left no receipt.
    fn receipts(&self, repository: &RepositoryName, visit: &mut dyn FnMut(Receipt)) -> Result<(), LedgerError> {
        let mut all = Vec::new();
        for kind in FileKind::NAMED.into_iter().chain([FileKind::Config]) {
            self.each(repository, kind, &mut |receipt| all.push(receipt))?;
        }
        all.sort_by_key(|receipt| receipt.at);
        all.into_iter().for_each(visit);
        Ok(())
    }
}

impl Books {
    fn each(
        &self,
        repository: &RepositoryName,
        kind: FileKind,
        visit: &mut dyn FnMut(Receipt),
    ) -> Result<(), LedgerError> {
        let machine = machine(repository, "read")?;
        let mut after = String::new();
        loop {
            let system = self.store.system();
            let some = system.receipts(machine, kind.directory(), &after, AT_ONCE);
            let some = self.runtime.block_on(some).map_err(|error| ledger("read", repository, error))?;
            let Some(last) = some.last() else { return Ok(()) };
            after = last.name.clone();
            for found in some {
                // A name that is none was not written by a gateway.
                let file = match kind {
                    FileKind::Config => FileName::CONFIG,
                    kind => match found.name.parse() {
                        Ok(id) => FileName::new(kind, id),
                        Err(_) => continue,
                    },
                };
                visit(receipt(file, found));
            }
        }
    }
}

fn receipt(file: FileName, found: store::Receipt) -> Receipt {
    let sha256 = Id::from_bytes(found.sha256);
    Receipt { at: found.received, act: Act::Received, file, size: found.size, sha256, by: found.account }
}

/// Its name in the books; the config has none of its own.
fn name_of(file: &FileName) -> String {
    match file.kind {
        FileKind::Config => "config".into(),
        _ => file.id.to_string(),
    }
}

fn machine(repository: &RepositoryName, action: &'static str) -> Result<MachineId, LedgerError> {
    let none = || LedgerError { action, repository: repository.clone(), source: NoMachine(repository.clone()).into() };
    machine_of(repository).ok_or_else(none)
}

fn ledger(action: &'static str, repository: &RepositoryName, error: store::Error) -> LedgerError {
    LedgerError { action, repository: repository.clone(), source: error.into() }
}
