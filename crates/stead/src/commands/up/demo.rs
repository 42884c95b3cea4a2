//! A demonstration: invented clients, machines and a year of their history, written through the store like real ones.

pub(super) mod alive;
mod history;
mod machines;

use continuity::{Person, PersonId, Scope};
use fleet::{
    Client, ClientId, Destination, DestinationId, Distance, Drill, Keep, KeyCustody, MachineId, Place, Policy,
    PolicyId, Schedule, Selection, Tenant, TenantId, Times, Zone,
};
use jiff::{Timestamp, ToSpan};
use store::Store;

use crate::failure::{Doing, Failure, Outcome};
use crate::output::Output;
use machines::{CLIENTS, Invented};

/// What the owner of the demonstration signs in with.
pub(super) const OWNER: &str = "martin@example.org";

/// Fills a new database; one that was filled before stays as it is.
pub(super) async fn fill(store: &Store, now: Timestamp, output: Output) -> Outcome {
    if !store.system().is_new().await? {
        return Ok(());
    }
    output.remark("inventing a year of a small provider's life, which takes a minute")?;
    let mut world = World { store, now, identities: 0 };
    let doing = || "cannot fill the demonstration".to_owned();
    world.invent().await.doing(doing)
}

/// What is being invented.
struct World<'s> {
    store: &'s Store,
    now: Timestamp,
    identities: u64,
}

/// What machines of the demonstration share.
struct Shared {
    scope: Scope,
    policy: PolicyId,
    offsite: DestinationId,
}

impl World<'_> {
    async fn invent(&mut self) -> Outcome {
        let tenant = TenantId::made(self.ago(365 * 24)?, self.bits());
        let shared = self.firm(tenant).await?;
        for (name, zone, machines) in CLIENTS {
            let client = self.client(&shared.scope, tenant, name, zone).await?;
            for invented in machines {
                self.machine(&shared, client, invented).await?;
            }
        }
        Ok(())
    }

    /// The firm, its people, its policy and where copies go.
    async fn firm(&mut self, tenant: TenantId) -> Outcome<Shared> {
        let begun = self.ago(365 * 24)?;
        let owner = Person { id: PersonId::made(begun, self.bits()), name: "Martin".into(), email: OWNER.into() };
        let named = Tenant { id: tenant, name: "Brightside IT".into() };
        let owner = self.store.system().found_tenant(&named, &owner, begun).await?;
        let scope = self.store.system().scope(owner, self.now).await?.ok_or_else(|| Failure::new("no owner"))?;
        let view = self.store.within(&scope);
        let offsite = DestinationId::made(begun, self.bits());
        let place = Place::Copies("s3:https://objects.example/brightside".into());
        let name = "Vault in Lincoln".to_owned();
        view.save_destination(&Destination { id: offsite, tenant, name, place, distance: Distance::Offsite }).await?;
        let policy = self.policy(tenant, offsite)?;
        view.save_policy(&policy).await?;
        let jim =
            Person { id: PersonId::made(begun, self.bits()), name: "Jim".into(), email: "jim@example.org".into() };
        view.invite(&jim, tenant, continuity::Role::Technician).await?;
        Ok(Shared { scope, policy: policy.id, offsite })
    }

    fn policy(&mut self, tenant: TenantId, offsite: DestinationId) -> Outcome<Policy> {
        let what = vec![Selection::Disks { devices: Vec::new() }];
        let times = Times::cron("0 2 * * *").doing(|| "cannot read a schedule".into())?;
        let schedule = Schedule { zone: Zone::utc(), times, spread: 3_600, windows: Vec::new() };
        let keep = Keep { daily: 30, weekly: 12, monthly: 24, ..Keep::default() };
        let drills = vec![Drill::BootTest];
        let id = PolicyId::made(self.now, self.bits());
        let name = "Every night, offsite, proven".to_owned();
        Ok(Policy {
            id,
            tenant,
            name,
            what,
            schedule,
            copies: vec![offsite],
            keep,
            drills,
            roaming: Default::default(),
        })
    }

    async fn client(&mut self, scope: &Scope, tenant: TenantId, name: &str, zone: &str) -> Outcome<ClientId> {
        let id = ClientId::made(self.ago(365 * 24)?, self.bits());
        let zone = Zone::named(zone).unwrap_or_else(|_| Zone::utc());
        let custody = KeyCustody::Managed;
        let client = Client { id, tenant, name: name.to_owned(), zone, custody, sheet_confirmed: None };
        self.store.within(scope).add_client(&client).await?;
        Ok(id)
    }

    async fn machine(&mut self, shared: &Shared, client: ClientId, invented: &Invented) -> Outcome {
        let machine = self.enrol(shared, client, invented).await?;
        self.history(shared, machine, invented).await
    }

    /// So many hours ago.
    fn ago(&self, hours: i64) -> Outcome<Timestamp> {
        self.now.checked_sub(hours.hours()).doing(|| "cannot count back".into())
    }

    /// Bits for an identity: counted, so that the demonstration is the same wherever it is made.
    fn bits(&mut self) -> [u8; 10] {
        self.identities += 1;
        let mut bits = [0; 10];
        bits[2..].copy_from_slice(&self.identities.to_be_bytes());
        bits
    }

    fn machine_id(&mut self) -> Outcome<MachineId> {
        Ok(MachineId::made(self.ago(365 * 24)?, self.bits()))
    }
}
