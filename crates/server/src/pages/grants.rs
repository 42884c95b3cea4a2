//! Grants: leave for somebody to do some things on a client's machines for a while.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::response::Response;
use continuity::{Act, Grant, GrantId, GrantedOn, Verb};
use fleet::{ClientId, TenantId};
use jiff::ToSpan;
use serde::Deserialize;
use store::FleetFilter;

use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::Just;
use crate::pages::people;
use crate::problem::{Problem, see};
use crate::visitor::Visitor;

/// What is asked for; verbs that are ticked stand among the other fields by their names.
#[derive(Deserialize)]
pub(crate) struct Wish {
    tenant: TenantId,
    pub(crate) email: String,
    pub(crate) client: ClientId,
    /// Names of machines, with commas between; empty: all of the client.
    #[serde(default)]
    pub(crate) machines: String,
    pub(crate) reason: String,
    hours: u16,
    #[serde(flatten)]
    others: BTreeMap<String, String>,
}

/// What a form calls a verb, and what people do.
pub(crate) fn verbs() -> Vec<(String, &'static str)> {
    Verb::ALL.into_iter().filter(|verb| *verb != Verb::Look).map(|verb| (field(verb), verb.word())).collect()
}

fn field(verb: Verb) -> String {
    format!("{verb:?}").to_lowercase()
}

/// `POST /grants`
pub(crate) async fn give(State(app): State<App>, Signed(visitor, wish): Signed<Wish>) -> Result<Response, Problem> {
    // Before anything is told about addresses.
    visitor.must_on(Act::ChangeGrants, wish.tenant)?;
    let Some(known) = app.store.system().sign_in(wish.email.trim()).await? else {
        let words =
            "Nobody on this server has that address. They need an account first: add them, or their own firm does.";
        return people::refuse_grant(&app, &visitor, wish, words).await;
    };
    let on = match granted_on(&app, &visitor, &wish).await? {
        Ok(on) => on,
        Err(words) => return people::refuse_grant(&app, &visitor, wish, &words).await,
    };
    let grant = grant(&app, &visitor, &wish, known.person.id, on)?;
    match app.store.within(&visitor.scope).give_grant(&grant).await {
        Ok(()) => Ok(see(&Just::at("/people", "granted", grant.id))),
        Err(store::Error::Conflict(why)) => {
            people::refuse_grant(&app, &visitor, wish, &super::client::sentence(&why)).await
        }
        Err(error) => Err(error.into()),
    }
}

/// All machines of the client, or those that are named.
async fn granted_on(app: &App, visitor: &Visitor, wish: &Wish) -> Result<Result<GrantedOn, String>, Problem> {
    let names: Vec<_> = wish.machines.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let mut machines = BTreeSet::new();
    for name in &names {
        let filter = FleetFilter { state: None, client: Some(wish.client), name: Some((*name).to_owned()) };
        let page = app.store.within(&visitor.scope).fleet(&filter, None, 100).await?;
        let mut named = page.cards.iter().filter(|card| card.name.eq_ignore_ascii_case(name));
        match (named.next(), named.next()) {
            (Some(card), None) => _ = machines.insert(card.machine),
            (Some(_), Some(_)) => return Ok(Err(format!("Several machines of that client are called {name:?}."))),
            (None, _) => return Ok(Err(format!("No machine of that client is called {name:?}."))),
        }
    }
    Ok(Ok(match names.is_empty() {
        true => GrantedOn::Client(wish.client),
        false => GrantedOn::Machines(wish.client, machines),
    }))
}

fn grant(
    app: &App,
    visitor: &Visitor,
    wish: &Wish,
    person: continuity::PersonId,
    on: GrantedOn,
) -> Result<Grant, Problem> {
    let from = app.now();
    let to = from.checked_add(i64::from(wish.hours).hours()).map_err(|error| Problem::Invalid(error.to_string()))?;
    let ticked = |verb: &Verb| wish.others.contains_key(&field(*verb));
    let verbs: BTreeSet<Verb> = Verb::ALL.into_iter().filter(ticked).chain([Verb::Look]).collect();
    Ok(Grant {
        id: GrantId::made(from, app.random()?),
        tenant: wish.tenant,
        person,
        on,
        verbs,
        from,
        to,
        reason: wish.reason.trim().to_owned(),
        approved_by: visitor.person.id,
        ended: None,
    })
}

/// `POST /grants/{grant}/end`
pub(crate) async fn end(
    State(app): State<App>,
    Path(id): Path<GrantId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    app.store.within(&visitor.scope).end_grant(id).await?;
    Ok(see(&Just::at("/people", "grant-ended", id)))
}
