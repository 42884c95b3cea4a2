//! Scope: what a request may see and do at one moment. It holds nothing that no membership and no active grant gives.

use std::collections::{BTreeMap, BTreeSet};

use fleet::{Actor, ClientId, MachineId, TenantId};
use jiff::Timestamp;

use crate::{Act, Grant, GrantedOn, Membership, Person, PersonId, Role, Verb};

/// Where one act is allowed. Something is within reach if its tenant, its client or itself is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Everything of these tenants, also what belongs to no client.
    pub tenants: BTreeSet<TenantId>,
    /// Everything of these clients.
    pub clients: BTreeMap<ClientId, TenantId>,
    /// These machines only.
    pub machines: BTreeMap<MachineId, (ClientId, TenantId)>,
}

impl Reach {
    /// Whether nothing is within reach.
    pub fn is_nothing(&self) -> bool {
        *self == Reach::default()
    }

    /// Whether a tenant as such is within reach: its settings, people, policies.
    pub fn tenant(&self, tenant: TenantId) -> bool {
        self.tenants.contains(&tenant)
    }

    /// Whether all of a client is within reach.
    pub fn client(&self, client: ClientId, tenant: TenantId) -> bool {
        self.tenant(tenant) || self.clients.get(&client) == Some(&tenant)
    }

    /// Whether a machine is within reach.
    pub fn machine(&self, machine: MachineId, client: ClientId, tenant: TenantId) -> bool {
        self.client(client, tenant) || self.machines.get(&machine) == Some(&(client, tenant))
    }
}

/// What a request may see and do at one moment.
#[derive(Clone, Debug)]
pub struct Scope {
    person: PersonId,
    actor: Actor,
    at: Timestamp,
    reaches: BTreeMap<Act, Reach>,
}

impl Scope {
    /// What a person may see and do at a moment. Memberships and grants of others, and grants that do not hold then,
    /// count for nothing.
    pub fn of(person: &Person, memberships: &[Membership], grants: &[Grant], at: Timestamp) -> Scope {
        let mut scope = Scope { person: person.id, actor: person.actor(), at, reaches: BTreeMap::new() };
        for membership in memberships.iter().filter(|membership| membership.person == person.id) {
            scope.join(membership);
        }
        for grant in grants.iter().filter(|grant| grant.person == person.id && grant.holds(at)) {
            scope.take(grant);
        }
        scope
    }

    /// The same, for these acts only: what a token may.
    pub fn only(mut self, acts: &BTreeSet<Act>) -> Scope {
        self.reaches.retain(|act, _| acts.contains(act));
        self
    }

    /// Who asks.
    pub fn person(&self) -> PersonId {
        self.person
    }

    /// Who asks, as the fleet knows them.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// The moment it is for.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Where an act is allowed.
    pub fn reach(&self, act: impl Into<Act>) -> Reach {
        self.reaches.get(&act.into()).cloned().unwrap_or_default()
    }

    /// Whether an act is allowed on a tenant as such.
    pub fn may(&self, act: impl Into<Act>, tenant: TenantId) -> bool {
        self.reaches.get(&act.into()).is_some_and(|reach| reach.tenant(tenant))
    }

    fn join(&mut self, membership: &Membership) {
        for act in membership.role.acts() {
            let reach = self.reaches.entry(*act).or_default();
            match membership.role {
                Role::Owner | Role::Technician => {
                    reach.tenants.insert(membership.tenant);
                }
                Role::ClientViewer(client) => {
                    reach.clients.insert(client, membership.tenant);
                }
            }
        }
    }

    fn take(&mut self, grant: &Grant) {
        for verb in grant.verbs.iter().copied().chain([Verb::Look]) {
            let reach = self.reaches.entry(verb.into()).or_default();
            match &grant.on {
                GrantedOn::Client(client) => {
                    reach.clients.insert(*client, grant.tenant);
                }
                GrantedOn::Machines(client, machines) => {
                    reach.machines.extend(machines.iter().map(|machine| (*machine, (*client, grant.tenant))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
