//! What people name at a terminal: machines, clients, firms, policies, snapshots; each becomes the one that is meant.

use api::answer::backups::{Snapshot, Snapshots};
use api::answer::firm::{Client, Clients};
use api::answer::people::{Firm, People};
use api::answer::{Fleet, Machine, MachineWithRuns};

use super::call::Call;
use crate::failure::{Failure, Outcome};

impl Call {
    /// The one machine whose name, or identity, this is.
    pub(super) fn machine(&self, name: &str) -> Outcome<Machine> {
        if let Ok(id) = name.parse::<fleet::MachineId>() {
            // A machine that is retired stands in no list.
            return Ok(self.get::<MachineWithRuns>(&format!("/api/v1/machines/{id}"), &[])?.machine);
        }
        let mut found: Vec<Machine> = Vec::new();
        let mut after = String::new();
        loop {
            let page: Fleet = self.get("/api/v1/fleet", &[("find", name), ("after", &after)])?;
            found.extend(page.machines.into_iter().filter(|machine| machine.name == name));
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        let list = "`stead fleet machines` lists them";
        one("machine", name, found, list)
    }

    /// The one client whose name, or identity, this is.
    pub(super) fn client(&self, name: &str) -> Outcome<Client> {
        let mut clients = self.clients()?;
        clients.retain(|client| client.id == name || client.name == name);
        one("client", name, clients, "`stead fleet clients` lists them")
    }

    /// All clients within sight.
    pub(super) fn clients(&self) -> Outcome<Vec<Client>> {
        let Clients { clients } = self.get("/api/v1/clients", &[])?;
        Ok(clients)
    }

    /// The firm of this name or identity; without one the only firm that one belongs to.
    pub(super) fn firm(&self, name: Option<&str>) -> Outcome<Firm> {
        let People { mut firms } = self.get("/api/v1/people", &[])?;
        let Some(name) = name else {
            firms.retain(|firm| !firm.members.is_empty());
            return match firms.len() {
                1 => Ok(firms.remove(0)),
                0 => Err(Failure::new("you belong to no firm on this server").hint("ask an owner for what you need")),
                _ => Err(Failure::new("you belong to several firms").hint(format!("say which: {}", names(&firms)))),
            };
        };
        firms.retain(|firm| firm.tenant == name || firm.name == name);
        one("firm", name, firms, "`stead fleet people` lists them")
    }

    /// The snapshot that this begins the name of; `latest` is the newest.
    pub(super) fn snapshot(&self, machine: &Machine, name: &str) -> Outcome<Snapshot> {
        let mut found = self.snapshots(machine)?;
        let is_prefix = |snapshot: &Snapshot| !name.is_empty() && snapshot.id.starts_with(name);
        match name {
            "latest" => found.truncate(1),
            _ => found.retain(is_prefix),
        }
        one("snapshot", name, found, "`stead fleet snapshots MACHINE` lists them; `latest` is the newest")
    }

    /// All of a machine, the newest first.
    pub(super) fn snapshots(&self, machine: &Machine) -> Outcome<Vec<Snapshot>> {
        let Snapshots { snapshots } = self.get(&format!("/api/v1/machines/{}/snapshots", machine.id), &[])?;
        Ok(snapshots)
    }
}

fn names(firms: &[Firm]) -> String {
    let names: Vec<String> = firms.iter().map(|firm| format!("`--firm {:?}`", firm.name)).collect();
    names.join(" or ")
}

/// The only one that was found.
pub(super) fn one<T>(what: &str, name: &str, mut found: Vec<T>, list: &str) -> Outcome<T> {
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::new(format!("there is no {what} {name:?} within your sight"))
            .hint(format!("{list}; names are told apart by upper and lower case"))),
        count => Err(Failure::new(format!("{count} of the name {name:?} are there: which {what} is meant?"))
            .hint("give its id (`--json` shows it)")),
    }
}
