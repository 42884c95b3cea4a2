//! Grants: leave for somebody to do some things on a client's machines for a while.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, State};
use axum::response::Response;
use continuity::{Act, Grant, GrantId, GrantedOn, Verb};
use fleet::{ClientId, TenantId};
use jiff::ToSpan;
use serde::Deserialize;

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
    email: String,
    client: ClientId,
    reason: String,
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
        return people::refuse(&app, &visitor, words).await;
    };
    let grant = grant(&app, &visitor, &wish, known.person.id)?;
    match app.store.within(&visitor.scope).give_grant(&grant).await {
        Ok(()) => Ok(see(&Just::at("/people", "granted", grant.id))),
        Err(store::Error::Conflict(why)) => people::refuse(&app, &visitor, &super::client::sentence(&why)).await,
        Err(error) => Err(error.into()),
    }
}

fn grant(app: &App, visitor: &Visitor, wish: &Wish, person: continuity::PersonId) -> Result<Grant, Problem> {
    let from = app.now();
    let to = from.checked_add(i64::from(wish.hours).hours()).map_err(|error| Problem::Invalid(error.to_string()))?;
    let ticked = |verb: &Verb| wish.others.contains_key(&field(*verb));
    let verbs: BTreeSet<Verb> = Verb::ALL.into_iter().filter(ticked).chain([Verb::Look]).collect();
    Ok(Grant {
        id: GrantId::made(from, app.random()?),
        tenant: wish.tenant,
        person,
        on: GrantedOn::Client(wish.client),
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
