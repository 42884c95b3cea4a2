//! People sign in, and may do what memberships, grants and tokens give.

use continuity::{Act, Grant, GrantId, GrantedOn, Role, Verb};
use fleet::MachineClass;
use jiff::SignedDuration;
use stead_store::{Error, PasswordHash, Secret, SessionId, Token, TokenId};

use crate::house::{House, after, membership, start};

pub(crate) async fn a_session_opens_until_it_is_ended_unused_or_old(house: &House) {
    let (_, owner) = house.owner().await;
    let system = house.store.system();
    let open = async |device: &str| {
        let (secret, id) = (Secret::random(), SessionId::made(start(), house.random()));
        system.open_session(id, owner.person(), &secret, device, start()).await.unwrap();
        (secret, id)
    };
    let (phone, phone_id) = open("phone").await;
    let (desk, desk_id) = open("desk").await;
    let day = |days: i64| start() + SignedDuration::from_hours(24 * days);
    assert!(system.session(&Secret::random(), start()).await.unwrap().is_none());
    let (id, scope) = system.session(&phone, day(13)).await.unwrap().unwrap();
    assert_eq!((id, scope.person()), (phone_id, owner.person()));
    assert!(system.session(&desk, day(14)).await.unwrap().is_none(), "nobody used it");
    assert!(system.session(&phone, day(26)).await.unwrap().is_some(), "using it keeps it");
    for days in [39, 52, 65, 78, 89] {
        assert!(system.session(&phone, day(days)).await.unwrap().is_some());
    }
    assert!(system.session(&phone, day(90)).await.unwrap().is_none(), "it is old");

    let listed = house.store.within(&owner).sessions().await.unwrap();
    assert_eq!(listed.iter().map(|session| session.device.as_str()).collect::<Vec<_>>(), ["phone", "desk"]);
    house.store.within(&owner).end_session(desk_id).await.unwrap();
    assert!(system.session(&desk, start()).await.unwrap().is_none());
    let (_, stranger) = house.owner().await;
    let ended = house.store.within(&stranger).end_session(phone_id).await;
    assert!(matches!(ended, Err(Error::NotFound("session"))), "{ended:?}");
    assert_eq!(house.store.within(&stranger).end_other_sessions(desk_id).await.unwrap(), 0);
    system.sign_out(&phone).await.unwrap();
    assert!(system.session(&phone, start()).await.unwrap().is_none());
}

pub(crate) async fn a_link_and_a_one_time_password_let_in_once(house: &House) {
    let (_, owner) = house.owner().await;
    let system = house.store.system();
    let (link, late) = (Secret::random(), Secret::random());
    system.add_link(owner.person(), &link, after(10)).await.unwrap();
    system.add_link(owner.person(), &late, after(10)).await.unwrap();
    assert_eq!(system.use_link(&link, start()).await.unwrap().unwrap().id, owner.person());
    assert_eq!(system.use_link(&link, start()).await.unwrap(), None);
    assert_eq!(system.use_link(&late, after(10)).await.unwrap(), None);

    house.store.within(&owner).set_password(&PasswordHash::of("correct horse")).await.unwrap();
    house.store.within(&owner).set_totp(Some(b"secret")).await.unwrap();
    let me = house.store.within(&owner).me().await.unwrap();
    let found = system.sign_in(&format!(" {} ", me.email.to_uppercase())).await.unwrap().unwrap();
    assert_eq!(found.person.id, owner.person());
    assert_eq!(found.password.unwrap().check("correct horse"), Ok(()));
    assert_eq!(found.totp.as_deref(), Some(&b"secret"[..]));
    assert!(!system.replace_totp(owner.person(), b"another", b"sealed").await.unwrap());
    assert!(system.replace_totp(owner.person(), b"secret", b"sealed").await.unwrap());
    assert_eq!(system.totp_secrets().await.unwrap(), [(owner.person(), b"sealed".to_vec())]);
    assert!(system.use_totp_step(owner.person(), 100).await.unwrap());
    assert!(!system.use_totp_step(owner.person(), 100).await.unwrap(), "it was overheard");
    assert!(!system.use_totp_step(owner.person(), 99).await.unwrap());
    assert!(system.use_totp_step(owner.person(), 101).await.unwrap());
    assert!(system.sign_in("nobody@example.org").await.unwrap().is_none());
}

pub(crate) async fn a_token_may_do_what_it_was_made_for_and_no_more_than_its_maker(house: &House) {
    let (tenant, owner) = house.owner().await;
    let technician = house.member(&owner, tenant, "tess", Role::Technician).await;
    let secret = Secret::random();
    let token = Token {
        id: TokenId::made(start(), house.random()),
        name: "report".into(),
        acts: [Act::LOOK, Act::Invite].into(),
        made: start(),
        ends: after(60),
    };
    let view = house.store.within(&technician);
    view.add_token(&token, &secret).await.unwrap();
    assert_eq!(view.tokens().await.unwrap(), std::slice::from_ref(&token));
    let scope = house.store.system().token(&secret, start()).await.unwrap().unwrap();
    assert!(scope.may(Act::LOOK, tenant));
    assert!(!scope.may(Act::Configure, tenant), "it was not made for that");
    assert!(!scope.may(Act::Invite, tenant), "its maker may not");
    assert!(house.store.system().token(&secret, after(60)).await.unwrap().is_none());
    assert!(house.store.within(&owner).remove_token(token.id).await.is_err(), "it is not theirs");
    view.remove_token(token.id).await.unwrap();
    assert!(house.store.system().token(&secret, start()).await.unwrap().is_none());
}

pub(crate) async fn a_tenant_keeps_an_owner_and_addresses_are_one_person(house: &House) {
    let (tenant, owner) = house.owner().await;
    let (other, other_owner) = house.owner().await;
    let (view, system) = (house.store.within(&owner), house.store.system());
    let last = view.remove_member(membership(&owner, tenant, Role::Owner)).await;
    assert!(matches!(last, Err(Error::Conflict(_))), "{last:?}");
    assert_eq!(view.members(tenant).await.unwrap().len(), 1, "nothing of it happened");

    let tess = house.member(&owner, tenant, "tess", Role::Technician).await;
    let again = house.member(&other_owner, other, "tess", Role::Owner).await;
    assert_eq!(tess.person(), again.person());
    let scope = system.scope(tess.person(), start()).await.unwrap().unwrap();
    assert!(scope.may(Act::Configure, tenant) && !scope.may(Act::Invite, tenant) && scope.may(Act::Invite, other));
    view.remove_member(membership(&tess, tenant, Role::Technician)).await.unwrap();
    let scope = system.scope(tess.person(), start()).await.unwrap().unwrap();
    assert!(!scope.may(Act::LOOK, tenant) && scope.may(Act::LOOK, other));
    let names: Vec<_> = view.members(tenant).await.unwrap().into_iter().map(|member| member.role).collect();
    assert_eq!(names, [Role::Owner]);
}

pub(crate) async fn a_grant_ends_by_itself_and_the_partner_sees_nothing_after(house: &House) {
    let (tenant, owner) = house.owner().await;
    let (_, partner) = house.owner().await;
    let client = house.client(&owner, tenant, "Northgate Legal").await;
    let laptop = house.machine(&owner, client, "anna-laptop", MachineClass::Laptop, None).await;
    let other = house.machine(&owner, client, "files", MachineClass::Server, None).await;
    let grant = Grant {
        id: GrantId::made(start(), house.random()),
        tenant,
        person: partner.person(),
        on: GrantedOn::Machines(client, [laptop].into()),
        verbs: [Verb::Backup].into(),
        from: start(),
        to: after(480),
        reason: "disk backup while I drive".into(),
        approved_by: owner.person(),
        ended: None,
    };
    house.store.within(&owner).give_grant(&grant).await.unwrap();
    let forged = Grant { id: GrantId::made(start(), house.random()), person: owner.person(), ..grant.clone() };
    assert!(house.store.within(&partner).give_grant(&forged).await.is_err());

    let scope = house.scope(partner.person(), after(479)).await;
    let view = house.store.within(&scope);
    assert_eq!(view.machine(laptop).await.unwrap().name, "anna-laptop");
    assert!(matches!(view.machine(other).await, Err(Error::NotFound("machine"))));
    assert_eq!(view.client(client).await.unwrap().name, "Northgate Legal");
    assert_eq!(view.fleet(&Default::default(), None, 10).await.unwrap().counts.all(), 1);
    assert_eq!(view.grants().await.unwrap().len(), 1);
    let sealed = view.sealed_key(laptop).await;
    assert!(sealed.is_err(), "keys can never be granted: {sealed:?}");

    let later = house.scope(partner.person(), after(480)).await;
    let view = house.store.within(&later);
    assert!(view.machine(laptop).await.is_err() && view.client(client).await.is_err());
    assert_eq!(view.fleet(&Default::default(), None, 10).await.unwrap().counts.all(), 0);

    // Ended early, by whoever has it.
    house.store.within(&scope).end_grant(grant.id).await.unwrap();
    let at_once = house.scope(partner.person(), after(479)).await;
    assert!(house.store.within(&at_once).machine(laptop).await.is_err());
}
