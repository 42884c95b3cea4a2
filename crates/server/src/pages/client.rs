//! A client: how its machines stand, who holds its keys, what is silenced. And a new client.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use continuity::Act;
use fleet::{Client, ClientId, KeyCustody, SilenceScope, TenantId, Zone};
use serde::Deserialize;
use store::FleetFilter;

use crate::app::App;
use crate::form::Signed;
use crate::page::{Frame, Just, Place, show};
use crate::pages::row::{self, Group};
use crate::pages::{enrol, silence};
use crate::problem::{Problem, see};
use crate::visitor::Visitor;
use crate::when::clock;

/// Machines of a client on its page; the fleet finds the others.
const MACHINES: u64 = 200;

#[derive(Template)]
#[template(path = "client.html")]
struct ClientPage {
    frame: Frame,
    id: ClientId,
    name: String,
    sentence: String,
    about: String,
    group: Option<Group>,
    may_enrol: bool,
    custody: &'static str,
    sheet: String,
    silences: Vec<silence::Held>,
    may_silence: bool,
}

/// `GET /clients/{client}`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ClientId>,
    Query(just): Query<Just>,
) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let client = view.client(id).await?;
    let filter = FleetFilter { client: Some(id), ..FleetFilter::default() };
    let page = view.fleet(&filter, None, MACHINES).await?;
    let may = visitor.scope.reach(Act::Configure).client(id, client.tenant);
    let silenced = silence::held(&app, &visitor).await?.into_iter();
    let silences = silenced.filter(|held| held.scope == SilenceScope::Client(id)).collect();
    let group = row::groups(&page.cards, std::slice::from_ref(&client)).into_iter().next();
    let page = ClientPage {
        frame: Frame::new(&client.name, Place::Fleet, &visitor, &just),
        sentence: row::sentence_of(&page.cards),
        about: format!("Its days and quiet hours are those of {}.", client.zone.name()),
        group,
        may_enrol: may,
        custody: client.custody.sentence(),
        sheet: match client.sheet_confirmed {
            Some(at) => format!("The recovery sheet is at hand: confirmed {}.", clock(at, &app.facade.zone)),
            None => "Nobody has confirmed yet that the recovery sheet is at hand.".into(),
        },
        silences,
        may_silence: may,
        id,
        name: client.name,
    };
    Ok(show(&page)?.into_response())
}

#[derive(Deserialize)]
pub(crate) struct New {
    tenant: TenantId,
    name: String,
    zone: String,
}

/// `POST /clients`
pub(crate) async fn add(State(app): State<App>, Signed(visitor, form): Signed<New>) -> Result<Response, Problem> {
    let name = form.name.trim();
    let zone = match Zone::named(form.zone.trim()) {
        Ok(zone) if !name.is_empty() && name.chars().count() <= 100 => zone,
        Ok(_) => return enrol::again(&app, &visitor, &form.name, &form.zone, "A client needs a name.").await,
        Err(error) => return enrol::again(&app, &visitor, &form.name, &form.zone, &sentence(&error)).await,
    };
    let id = ClientId::made(app.now(), app.random()?);
    let custody = KeyCustody::default();
    let client = Client { id, tenant: form.tenant, name: name.to_owned(), zone, custody, sheet_confirmed: None };
    app.store.within(&visitor.scope).add_client(&client).await?;
    Ok(see(&format!("/enrol?client={id}&said=client&of={id}")))
}

/// An error's words as a sentence.
pub(crate) fn sentence(error: &impl std::fmt::Display) -> String {
    let words = error.to_string();
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
