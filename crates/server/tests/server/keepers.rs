//! Keepers on the line.

use api::wire::agent::{Event as AgentEvent, ToAgent};
use api::wire::keeper::{Event, Found, FromKeeper, ToKeeper, Work};
use fleet::{
    ClientId, Destination, DestinationId, Distance, Drill, JobKind, Keep, MachineId, Outcome, Place, Policy, PolicyId,
    RunId, Schedule, Selection, TenantId, Times, Zone,
};
use store::{KeeperId, MachineChange, NewKeeper, Receipt};

use crate::caller::{Caller, Key};
use crate::shop::Shop;

const OWNER: &str = "owner@example.org";

/// A firm, a machine with a policy that asks for everything, and a keeper.
pub(crate) struct Stage {
    pub(crate) shop: Shop,
    pub(crate) client: ClientId,
    pub(crate) machine: MachineId,
    pub(crate) agent: Key,
    pub(crate) keeper: Key,
    vault: DestinationId,
}

impl Stage {
    pub(crate) async fn set() -> Stage {
        let shop = Shop::open().await;
        let tenant = shop.firm("Brightside", OWNER).await;
        let client = shop.client(OWNER, tenant, "Harbour Dental").await;
        let (agent, keeper) = (Key::agent(), Key::keeper());
        let (machine, _) = shop.machine_by(OWNER, client, "HD-SRV1", agent.public()).await;
        let new = NewKeeper {
            id: KeeperId::made(shop.now(), shop.bits()),
            name: "vault".into(),
            identity: keeper.public(),
            public: [7; 32],
        };
        shop.store.system().add_keeper(&new, shop.now()).await.unwrap();
        let vault = Stage::policy(&shop, tenant, machine).await;
        Stage { shop, client, machine, agent, keeper, vault }
    }

    async fn policy(shop: &Shop, tenant: TenantId, machine: MachineId) -> DestinationId {
        let scope = shop.scope(OWNER).await;
        let view = shop.store.within(&scope);
        let id = DestinationId::made(shop.now(), shop.bits());
        let place = Place::Copies("/srv/vault".into());
        view.save_destination(&Destination { id, tenant, name: "Vault".into(), place, distance: Distance::Offsite })
            .await
            .unwrap();
        let policy = Policy {
            id: PolicyId::made(shop.now(), shop.bits()),
            tenant,
            name: "All".into(),
            what: vec![Selection::Disks { devices: Vec::new() }],
            schedule: Schedule {
                zone: Zone::utc(),
                times: Times::daily(vec![jiff::civil::time(2, 30, 0, 0)]).unwrap(),
                spread: 0,
                windows: Vec::new(),
            },
            copies: vec![id],
            keep: Keep { daily: 7, ..Keep::default() },
            drills: vec![Drill::FileSample],
            roaming: Default::default(),
        };
        view.save_policy(&policy).await.unwrap();
        view.change_machine(machine, MachineChange::Policy(Some(policy.id))).await.unwrap();
        id
    }

    /// The machine's agent is told about the keeper and seals its key; its first snapshot comes.
    pub(crate) async fn seal(&mut self) -> Caller {
        let mut agent = Caller::welcomed(&self.shop, &mut self.agent).await;
        let public = agent.waits_for(|message: ToAgent| match message {
            ToAgent::Duties(duties) => duties.keeper.map(|keeper| keeper.public),
            _ => None,
        });
        let keeper = public.await;
        agent.tells(1, AgentEvent::Sealed { keeper, key: hex::encode(b"sealed") }).await;
        let receipt = Receipt {
            machine: self.machine,
            kind: "snapshots".into(),
            name: "ab".repeat(32),
            size: 300,
            sha256: [1; 32],
            received: self.shop.now(),
            account: self.machine.to_string(),
        };
        self.shop.store.system().receive(&receipt).await.unwrap();
        agent
    }
}

#[tokio::test]
async fn a_keeper_is_told_where_repositories_are_and_what_is_due_and_its_proofs_are_kept() {
    let mut stage = Stage::set().await;
    stead_server::gateway::tell(&stage.shop.store, "https://gate.example:8444".into(), None).await.unwrap();
    let agent = stage.seal().await;
    let mut keeper = Caller::welcomed(&stage.shop, &mut stage.keeper).await;
    let told = keeper.waits_for(|message: ToKeeper| match message {
        ToKeeper::Gateway { address, account, credential, .. } => Some((address, account, credential)),
        _ => None,
    });
    let (address, account, credential) = told.await;
    assert_eq!(address, "https://gate.example:8444");
    let known = stage.shop.store.system().gateway_account(&account, stage.shop.now()).await.unwrap().unwrap();
    assert_eq!(known, store::GatewayAccount::Keeper(store::Secret::received(&credential).hash()));

    let mut seen = std::collections::BTreeSet::new();
    let mut number = 0;
    while seen.len() < 4 {
        let (job, machine, work) = keeper
            .waits_for(|message: ToKeeper| match message {
                ToKeeper::Task { job, machine, work } => Some((job, machine, work)),
                _ => None,
            })
            .await;
        assert_eq!((machine.machine, machine.sealed.as_str()), (stage.machine, "7365616c6564"));
        let (kind, found) = match work {
            Work::Check { slice, of } => {
                assert!((1..=of).contains(&slice));
                (JobKind::Check, None)
            }
            Work::Prune { keep, received } => {
                assert_eq!((keep.daily, received.len()), (7, 1));
                (JobKind::Prune, None)
            }
            Work::Copy(to) => {
                let (destination, distance, newest) = (to.id, Distance::Offsite, stage.shop.now());
                (JobKind::Copy(to.id), Some(Found::Copied { destination, distance, newest }))
            }
            Work::Drill(drill) => (JobKind::Drill(drill), Some(Found::Drilled { drill, evidence: "12 files".into() })),
        };
        assert!(seen.insert(kind.word()), "{kind:?} was given twice");
        let (run, at) = (RunId::made(stage.shop.now(), stage.shop.bits()), stage.shop.now());
        let machine = stage.machine;
        let begun = Event::Begun { machine, run, job, kind, at };
        let ended = Event::Ended { machine, run, job, at, outcome: Outcome::Good, found };
        for event in [begun, ended.clone(), ended] {
            number += 1;
            keeper.says(&FromKeeper::Event { number, event }).await;
        }
    }
    let last = number;
    keeper.waits_for(|message: ToKeeper| (message == ToKeeper::Heard { number: last }).then_some(())).await;
    let scope = stage.shop.scope(OWNER).await;
    let view = stage.shop.store.within(&scope);
    let copies = view.copies(stage.machine, 10).await.unwrap();
    assert_eq!((copies.len(), copies[0].destination), (1, stage.vault));
    assert_eq!(view.drills(stage.machine, 10).await.unwrap().len(), 1);
    assert!(view.jobs(stage.machine, 10).await.unwrap().iter().all(|row| row.job.state.is_over()));
    drop(agent);
    stage.shop.close().await;
}

#[tokio::test]
async fn a_blind_client_gives_no_key_away() {
    let mut stage = Stage::set().await;
    let scope = stage.shop.scope(OWNER).await;
    let view = stage.shop.store.within(&scope);
    let (id, custody) = (ClientId::made(stage.shop.now(), stage.shop.bits()), fleet::KeyCustody::Blind);
    let managed = view.client(stage.client).await.unwrap();
    view.add_client(&fleet::Client { id, custody, ..managed }).await.unwrap();
    stage.agent = Key::agent();
    let (blind, _) = stage.shop.machine_by(OWNER, id, "BLIND", stage.agent.public()).await;
    let mut agent = Caller::welcomed(&stage.shop, &mut stage.agent).await;
    let keeper = agent.waits_for(|message: ToAgent| match message {
        ToAgent::Duties(duties) => Some(duties.keeper),
        _ => None,
    });
    assert_eq!(keeper.await, None);
    agent.tells(1, AgentEvent::Sealed { keeper: hex::encode([7; 32]), key: "00".into() }).await;
    assert_eq!(stage.shop.store.system().sealed_to(blind, &[7; 32]).await.unwrap(), None);
    assert!(stage.shop.troubles.lock().iter().any(|words| words.contains("no keeper may have it")));
    stage.shop.troubles.lock().clear();
    drop(agent);
    stage.shop.close().await;
}
