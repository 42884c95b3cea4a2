//! A scope against a judge that looks at memberships and grants one by one.

use proptest::prelude::*;

use super::*;
use crate::GrantId;
use fleet::Uuid;

fn person(n: u128) -> Person {
    Person { id: PersonId::new(Uuid::from_u128(n)), name: format!("p{n}"), email: format!("p{n}@example.org") }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Clients 0..4 belong to tenants 0 and 1 by turns, machines 0..8 to clients by turns.
fn client(n: u128) -> (ClientId, TenantId) {
    (ClientId::new(Uuid::from_u128(100 + n)), TenantId::new(Uuid::from_u128(n % 2)))
}

fn machine(n: u128) -> (MachineId, ClientId, TenantId) {
    let (client, tenant) = client(n % 4);
    (MachineId::new(Uuid::from_u128(200 + n)), client, tenant)
}

fn some_membership() -> impl Strategy<Value = Membership> {
    let role = prop_oneof![Just(None), Just(Some(Role::Owner)), Just(Some(Role::Technician))];
    (0u128..3, 0u128..4, role).prop_map(|(who, n, role)| {
        let (client, tenant) = client(n);
        Membership { person: person(who).id, tenant, role: role.unwrap_or(Role::ClientViewer(client)) }
    })
}

fn some_grant() -> impl Strategy<Value = Grant> {
    let verbs = proptest::collection::btree_set(proptest::sample::select(&Verb::ALL[..]), 0..3);
    (0u128..3, 0u128..8, any::<bool>(), verbs, (0i64..10, 1i64..10), proptest::option::of(0i64..20)).prop_map(
        |(who, n, whole, verbs, (from, long), ended)| {
            let (machine, client, tenant) = machine(n);
            let on = if whole { GrantedOn::Client(client) } else { GrantedOn::Machines(client, [machine].into()) };
            Grant {
                id: GrantId::new(Uuid::from_u128(n)),
                tenant,
                person: person(who).id,
                on,
                verbs,
                from: at(from),
                to: at(from + long),
                reason: "holiday".into(),
                approved_by: person(9).id,
                ended: ended.map(at),
            }
        },
    )
}

fn member_gives(membership: &Membership, act: Act, client: ClientId, tenant: TenantId) -> bool {
    let here = match membership.role {
        Role::Owner | Role::Technician => membership.tenant == tenant,
        Role::ClientViewer(of) => of == client && membership.tenant == tenant,
    };
    here && membership.role.acts().contains(&act)
}

fn grant_gives(grant: &Grant, act: Act, n: u128, now: i64) -> bool {
    let (machine, client, tenant) = machine(n);
    let active = grant.from <= at(now) && at(now) < grant.to && grant.ended.is_none_or(|ended| at(now) < ended);
    let Act::Do(verb) = act else { return false };
    let on = match &grant.on {
        GrantedOn::Client(of) => *of == client,
        GrantedOn::Machines(of, machines) => *of == client && machines.contains(&machine),
    };
    active && on && grant.tenant == tenant && (grant.verbs.contains(&verb) || verb == Verb::Look)
}

proptest! {
    #[test]
    fn a_scope_holds_exactly_what_some_membership_or_active_grant_gives(
        memberships in proptest::collection::vec(some_membership(), 0..4),
        grants in proptest::collection::vec(some_grant(), 0..6),
        now in 0i64..20,
    ) {
        let scope = Scope::of(&person(1), &memberships, &grants, at(now));
        let mine = |other: PersonId| other == person(1).id;
        for act in Act::ALL {
            for n in 0..8 {
                let (machine, client, tenant) = machine(n);
                let by_role = memberships.iter().any(|m| mine(m.person) && member_gives(m, act, client, tenant));
                let by_grant = grants.iter().any(|g| mine(g.person) && grant_gives(g, act, n, now));
                prop_assert_eq!(scope.reach(act).machine(machine, client, tenant), by_role || by_grant);
            }
        }
    }

    #[test]
    fn no_grant_gives_what_can_never_be_granted(grants in proptest::collection::vec(some_grant(), 0..8), now in 0i64..20) {
        let scope = Scope::of(&person(1), &[], &grants, at(now));
        for act in Act::ALL.into_iter().filter(|act| !matches!(act, Act::Do(_))) {
            prop_assert!(scope.reach(act).is_nothing());
        }
        prop_assert!(Act::ALL.into_iter().all(|act| scope.reach(act).tenants.is_empty()));
    }

    #[test]
    fn a_token_never_widens_a_scope(
        memberships in proptest::collection::vec(some_membership(), 0..4),
        acts in proptest::collection::btree_set(proptest::sample::select(&Act::ALL[..]), 0..6),
    ) {
        let scope = Scope::of(&person(1), &memberships, &[], at(0));
        let token = scope.clone().only(&acts);
        for act in Act::ALL {
            let expected = if acts.contains(&act) { scope.reach(act) } else { Reach::default() };
            prop_assert_eq!(token.reach(act), expected);
        }
    }
}

#[test]
fn a_grant_ends_by_itself_and_at_once_when_somebody_ends_it() {
    let (_, client, tenant) = machine(0);
    let mut grant = Grant {
        id: GrantId::new(Uuid::nil()),
        tenant,
        person: person(1).id,
        on: GrantedOn::Client(client),
        verbs: [Verb::Backup].into(),
        from: at(100),
        to: at(200),
        reason: "disk backup while I drive".into(),
        approved_by: person(2).id,
        ended: None,
    };
    assert_eq!(grant.check(), Ok(()));
    let sees = |grant: &Grant, now| {
        let scope = Scope::of(&person(1), &[], std::slice::from_ref(grant), at(now));
        scope.reach(Act::LOOK).client(client, tenant)
    };
    assert!(!sees(&grant, 99) && sees(&grant, 100) && sees(&grant, 199) && !sees(&grant, 200));
    grant.ended = Some(at(150));
    assert!(sees(&grant, 149) && !sees(&grant, 150));
    grant.approved_by = person(1).id;
    assert_eq!(grant.check(), Err(crate::GrantError::OwnApproval));
}
