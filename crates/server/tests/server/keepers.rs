//! Keepers on the line.

use api::wire::agent::{Event as AgentEvent, ToAgent};
use api::wire::keeper::{Answer, Entry, EntryKind, Event, Found, FromKeeper, Question, Snapshot, ToKeeper, Work};
use fleet::{
    ClientId, Destination, DestinationId, Distance, Drill, JobKind, Keep, MachineId, Outcome, Place, Policy, PolicyId,
    RunId, Schedule, Selection, TenantId, Times, Zone,
};
use store::{KeeperId, MachineChange, NewKeeper, Receipt};

use crate::caller::{Caller, Key};
use crate::shop::Shop;

pub(crate) const OWNER: &str = "owner@example.org";

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
        Stage::on(Shop::open().await).await
    }

    pub(crate) async fn on(shop: Shop) -> Stage {
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
            roaming: fleet::Roaming::default(),
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

/// Answers one question of a page, as a keeper does.
pub(crate) async fn answers(keeper: &mut Caller, answer: impl Fn(&Question) -> Result<Answer, String>) -> u64 {
    let (ask, question) = keeper
        .waits_for(|message: ToKeeper| match message {
            ToKeeper::Ask { ask, question, .. } => Some((ask, question)),
            _ => None,
        })
        .await;
    keeper.says(&FromKeeper::Answer { ask, answer: answer(&question) }).await;
    ask
}

pub(crate) fn snapshot(shop: &Shop) -> Snapshot {
    Snapshot { id: "ab".repeat(32), at: shop.now(), paths: vec!["/home".into()], tags: Vec::new(), size: Some(1_000) }
}

#[tokio::test]
async fn pages_show_what_the_keeper_knows_and_names_stay_text() {
    let mut stage = Stage::set().await;
    let agent = stage.seal().await;
    let mut owner = stage.shop.signed_in(OWNER).await;
    let list = format!("/machines/{}/snapshots", stage.machine);
    assert!(owner.get(&list).await.text.contains("is not connected now"));
    let mut keeper = Caller::welcomed(&stage.shop, &mut stage.keeper).await;
    let found = snapshot(&stage.shop);
    let evil = Entry { name: "<b>x".into(), kind: EntryKind::File, size: 7, changed: None };
    let entries = |_: &Question| Ok(Answer::Entries { entries: vec![evil.clone()], more: true });
    let opens = async |keeper: &mut Caller| {
        answers(keeper, |_| Ok(Answer::Snapshots(vec![found.clone()]))).await;
        let home = Entry { name: "home".into(), kind: EntryKind::Folder, size: 0, changed: None };
        answers(keeper, |_| Ok(Answer::Entries { entries: vec![home.clone()], more: false })).await;
        answers(keeper, entries).await;
    };
    let (page, ()) = tokio::join!(owner.get(&list), opens(&mut keeper));
    assert!(page.text.contains(&format!("{list}/{}", found.id)), "{}", page.text);
    assert!(page.text.contains(r#"value="/home/&#60;b&#62;x""#), "the newest is open: {}", page.text);

    let folder = format!("{list}/{}?path=%2Fhome", found.id);
    let (page, _) = tokio::join!(owner.get(&folder), answers(&mut keeper, entries));
    assert!(page.text.contains("&#60;b&#62;x") && !page.text.contains("<b>x"), "{}", page.text);
    assert!(page.text.contains("after=%3Cb%3Ex"), "there is more: {}", page.text);
    let put = [("snapshot", found.id.as_str()), ("path", "/home/<b>x"), ("to", "new_folder")];
    let restore = format!("/machines/{}/restore", stage.machine);
    assert_eq!(owner.send(&restore, &put).await.status, 303);
    assert_eq!(owner.send(&restore, &[put[0], ("path", "/a/../b"), put[2]]).await.status, 422);
    assert_eq!(owner.send(&restore, &[put[0], put[1], ("to", "overwrite")]).await.status, 422);
    let (page, _) = tokio::join!(owner.get(&folder), answers(&mut keeper, |_| Err("it is gone".into())));
    assert!(page.status == 409 && page.text.contains("it is gone"), "{}", page.text);
    drop(agent);
    stage.shop.close().await;
}

#[tokio::test]
async fn a_download_comes_whole_or_not_at_all_and_is_in_the_log() {
    let mut stage = Stage::set().await;
    let agent = stage.seal().await;
    let mut owner = stage.shop.signed_in(OWNER).await;
    let mut keeper = Caller::welcomed(&stage.shop, &mut stage.keeper).await;
    let file = format!("/machines/{}/snapshots/{}/download?path=%2Fa", stage.machine, "ab".repeat(32));
    let body: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let begins = |_: &Question| Ok(Answer::Fetching { name: "ü \"a\".txt".into(), size: Some(12_000_000) });
    let sends = async |keeper: &mut Caller, pieces: usize| {
        let ask = answers(keeper, begins).await;
        for piece in body.chunks(256 << 10).take(pieces) {
            keeper.sends([&ask.to_be_bytes(), piece].concat()).await;
        }
        ask
    };
    let whole = async {
        let ask = sends(&mut keeper, usize::MAX).await;
        keeper.says(&FromKeeper::Answer { ask, answer: Ok(Answer::Fetched) }).await;
    };
    let (page, ()) = tokio::join!(owner.get(&file), whole);
    assert_eq!(page.header("content-disposition"), "attachment; filename*=UTF-8''%C3%BC%20%22a%22.txt");
    assert_eq!((page.header("content-length"), page.bytes == body), ("12000000", true));
    let broken = async {
        let ask = sends(&mut keeper, 3).await;
        keeper.says(&FromKeeper::Answer { ask, answer: Err("the pack is damaged".into()) }).await;
    };
    let (page, ()) = tokio::join!(owner.get(&file), broken);
    assert!(page.bytes.len() < body.len(), "it was broken off");
    let scope = stage.shop.scope(OWNER).await;
    let view = stage.shop.store.within(&scope);
    let tenant = view.machine(stage.machine).await.unwrap().tenant;
    let log = view.audit_from(tenant, 0, 1_000).await.unwrap();
    assert_eq!(log.iter().filter(|line| line.act == "file download").count(), 2);
    drop(agent);
    stage.shop.close().await;
}

#[tokio::test]
async fn a_browser_that_leaves_is_forgotten() {
    let mut stage = Stage::set().await;
    let agent = stage.seal().await;
    let owner = stage.shop.signed_in(OWNER).await;
    let mut keeper = Caller::welcomed(&stage.shop, &mut stage.keeper).await;
    let file = format!("/machines/{}/snapshots/{}/download?path=%2Fa", stage.machine, "ab".repeat(32));
    let begins = |_: &Question| Ok(Answer::Fetching { name: "a".into(), size: None });
    // The head is read and the connection closed.
    let (status, ask) = tokio::join!(owner.status("GET", &file, None), answers(&mut keeper, begins));
    assert_eq!(status, 200);
    for _ in 0..64 {
        keeper.sends([ask.to_be_bytes().as_slice(), &[0; 256 << 10]].concat()).await;
    }
    keeper.waits_for(|message: ToKeeper| (message == ToKeeper::Forget { ask }).then_some(())).await;
    drop(agent);
    stage.shop.close().await;
}

#[tokio::test]
async fn back_up_now_reaches_the_machine_and_both_pages_move() {
    let mut stage = Stage::set().await;
    let mut agent = stage.seal().await;
    let mut owner = stage.shop.signed_in(OWNER).await;
    let page = format!("/machines/{}", stage.machine);
    assert!(owner.get(&page).await.text.contains("Back up now"));
    assert_eq!(owner.send(&format!("{page}/backup"), &[("request", "one")]).await.status, 303);
    assert_eq!(owner.send(&format!("{page}/backup"), &[("request", "one")]).await.status, 303);
    let order = agent.waits_for(|message: ToAgent| match message {
        ToAgent::Order { job, .. } => Some(job),
        _ => None,
    });
    let job = order.await;
    let run = RunId::made(stage.shop.now(), stage.shop.bits());
    let at = stage.shop.now();
    agent.tells(2, AgentEvent::Begun { run, job: Some(job), kind: JobKind::Backup, at }).await;
    let report = fleet::Report {
        number: 1,
        at,
        phase: fleet::Phase::Reading,
        condition: fleet::RunCondition::Moving,
        amount: fleet::Amount { done: 92, total: 100, new: 1 },
        setback: None,
    };
    agent.says(&api::wire::agent::FromAgent::Progress { run, report }).await;
    while !owner.get("/").await.text.contains("backup 92 % done") {}
    let text = owner.get(&page).await.text;
    assert!(text.contains("92 per cent done") && text.contains("is being done"), "{text}");
    assert_eq!(owner.send(&format!("/jobs/{}/cancel", job.job), &[]).await.status, 303);
    agent.waits_for(|message: ToAgent| (message == ToAgent::Cancel { job: job.job }).then_some(())).await;
    assert!(!owner.get(&page).await.text.contains("is being done"), "it was asked for once");
    drop(agent);
    stage.shop.close().await;
}
