//! Alerts, silences and the outbox.

use fleet::{
    AlertId, AlertKey, AlertState, ClientId, Condition, Escalation, Finding, MachineClass, MachineId, NoticeKind,
    Observation, Recipient, Silence, SilenceId, SilenceScope, Step, Subject, TenantId,
};
use jiff::Timestamp;
use stead_store::{Error, Notification};

use crate::house::{House, after, start};

struct Shop {
    tenant: TenantId,
    owner: continuity::Scope,
    client: ClientId,
    machine: MachineId,
}

async fn shop(house: &House) -> Shop {
    let (tenant, owner) = house.owner().await;
    let client = house.client(&owner, tenant, "Harbour Dental").await;
    let machine = house.machine(&owner, client, "files", MachineClass::Server, None).await;
    Shop { tenant, owner, client, machine }
}

impl Shop {
    fn seen(&self, finding: Finding) -> Vec<Observation> {
        let key = AlertKey { subject: Subject::Machine(self.client, self.machine), condition: Condition::Backup };
        vec![Observation { key, finding }]
    }

    /// Observes and tells, as a server's task does.
    async fn observe(&self, house: &House, finding: Finding, now: Timestamp) -> usize {
        let escalation = Escalation { steps: vec![Step { after: 0, to: vec![Recipient("jim".into())] }], quiet: None };
        let seen = self.seen(finding);
        let system = house.store.system();
        let told = system.on_board(self.tenant, now, |board| {
            board.board.observe(seen, now, || AlertId::made(now, house.random()));
            board.board.notices(&escalation, &mut board.silences, now)
        });
        told.await.unwrap().len()
    }
}

fn wrong() -> Finding {
    Finding::Wrong("files: Failed now: the disk is full.".into())
}

async fn due(house: &House, now: Timestamp) -> Vec<Notification> {
    house.store.system().take_notifications(now, now + jiff::SignedDuration::from_mins(5), 10).await.unwrap()
}

pub(crate) async fn an_alert_is_one_until_it_closes_and_each_message_is_put_once(house: &House) {
    let shop = shop(house).await;
    assert_eq!(shop.observe(house, wrong(), start()).await, 1);
    assert_eq!(shop.observe(house, wrong(), after(1)).await, 0);
    let view = house.store.within(&shop.owner);
    let open = view.open_alerts(10).await.unwrap();
    assert_eq!((open.len(), open[0].opened), (1, start()));

    let first = due(house, after(1)).await;
    assert_eq!(
        (first.len(), first[0].text.as_str(), first[0].kind),
        (1, "files: Failed now: the disk is full.", NoticeKind::There)
    );
    assert!(due(house, after(2)).await.is_empty(), "somebody sends it");
    let system = house.store.system();
    system.notification_failed(&first[0].id, "no route", after(6)).await.unwrap();
    let second = due(house, after(6)).await;
    assert_eq!((second[0].id.as_str(), second[0].attempts), (first[0].id.as_str(), 1), "the same message again");
    system.notification_sent(&second[0].id, after(6)).await.unwrap();
    assert!(due(house, after(90)).await.is_empty());

    assert_eq!(shop.observe(house, Finding::Fine, after(91)).await, 1);
    assert!(view.open_alerts(10).await.unwrap().is_empty());
    let over = due(house, after(91)).await.remove(0);
    assert_eq!(over.kind, NoticeKind::Over);
    let retold = system.retold(&over).await.unwrap();
    assert!(retold.is_over && retold.was_told && !retold.earlier_waits, "{retold:?}");
    system.notification_waits(&over, after(93), true).await.unwrap();
    assert!(due(house, after(92)).await.is_empty(), "it waits");
    let late = due(house, after(93)).await.remove(0);
    assert!(late.held && late.attempts == 0 && late.id == over.id, "{late:?}");
    system.notification_given_up(&late.id, "no route", after(93)).await.unwrap();
    let deaf = system.deaf(shop.tenant, start()).await.unwrap();
    assert_eq!(deaf, [("jim".to_owned(), "no route".to_owned())]);
    assert_eq!(shop.observe(house, wrong(), after(94)).await, 1, "it is another one");
    let all = view.alerts(10).await.unwrap();
    assert_eq!((all.len(), all[0].opened, all[1].state.word()), (2, after(94), "closed"));
}

pub(crate) async fn a_silence_counts_what_it_held_and_ends(house: &House) {
    let shop = shop(house).await;
    let view = house.store.within(&shop.owner);
    let silence = Silence {
        id: SilenceId::made(start(), house.random()),
        scope: SilenceScope::Machine(shop.machine),
        by: fleet::Actor { key: "x".into(), name: "somebody else".into() },
        reason: "new disk".into(),
        from: start(),
        until: after(60),
        suppressed: 99,
    };
    view.add_silence(&silence).await.unwrap();
    assert!(view.add_silence(&Silence { reason: " ".into(), ..silence.clone() }).await.is_err());
    assert_eq!(shop.observe(house, wrong(), after(1)).await, 0);
    let kept = view.silences(10).await.unwrap();
    assert_eq!((kept[0].suppressed, &kept[0].by), (1, shop.owner.actor()), "who asks is who silences");
    assert_eq!(shop.observe(house, wrong(), after(60)).await, 1, "the state is told once");
    assert_eq!(due(house, after(60)).await.len(), 1);

    let other = Silence { id: SilenceId::made(start(), house.random()), ..silence };
    view.add_silence(&other).await.unwrap();
    view.end_silence(other.id).await.unwrap();
    assert!(view.silences(10).await.unwrap().iter().any(|ended| ended.id == other.id && ended.until == start()));
}

pub(crate) async fn the_first_who_acknowledges_has_it(house: &House) {
    let shop = shop(house).await;
    shop.observe(house, wrong(), start()).await;
    let id = house.store.within(&shop.owner).open_alerts(10).await.unwrap()[0].id;
    let tess = house.member(&shop.owner, shop.tenant, "tess", continuity::Role::Technician).await;
    let viewer = continuity::Role::ClientViewer(shop.client);
    let viewer = house.member(&shop.owner, shop.tenant, "vera", viewer).await;
    assert!(matches!(house.store.within(&viewer).acknowledge(id).await, Err(Error::NotAllowed(_))), "she may look");
    let (one, two) = (house.store.within(&shop.owner), house.second.within(&tess));
    let (one, two) = tokio::join!(one.acknowledge(id), two.acknowledge(id));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let alert = house.store.within(&tess).open_alerts(10).await.unwrap().remove(0);
    let AlertState::Acknowledged { by, .. } = alert.state else { panic!("{alert:?}") };
    assert_eq!(by == *shop.owner.actor(), one.is_ok());
}
