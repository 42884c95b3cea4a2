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
    sheet: Option<Sheet>,
    may_have_keys: bool,
    silences: Vec<silence::Held>,
    may_silence: bool,
}

/// Whether the recovery sheet is at hand.
struct Sheet {
    sentence: String,
    is_confirmed: bool,
}

impl Sheet {
    /// None where there is none to have.
    fn of(app: &App, client: &Client) -> Option<Sheet> {
        let sentence = match client.sheet_confirmed {
            Some(at) => format!("The recovery sheet is at hand: confirmed {}.", clock(at, &app.facade.zone)),
            None => {
                "Nobody has shown yet that the recovery sheet is at hand. Without it, backups are lost with the keys."
                    .into()
            }
        };
        let is_confirmed = client.sheet_confirmed.is_some();
        (client.custody == KeyCustody::Managed).then_some(Sheet { sentence, is_confirmed })
    }
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
        sheet: Sheet::of(&app, &client),
        may_have_keys: visitor.scope.reach(Act::ExportKeys).client(id, client.tenant),
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
    match new(&app, &visitor, form.tenant, &form.name, &form.zone).await? {
        Ok(id) => Ok(see(&format!("/enrol?client={id}&said=client&of={id}"))),
        Err(wrong) => enrol::again(&app, &visitor, &form.name, &form.zone, &wrong).await,
    }
}

/// Adds a client; or what is wrong, in a sentence.
pub(crate) async fn new(
    app: &App,
    visitor: &Visitor,
    tenant: TenantId,
    name: &str,
    zone: &str,
) -> Result<Result<ClientId, String>, Problem> {
    let name = name.trim();
    let zone = match Zone::named(zone.trim()) {
        Ok(zone) if !name.is_empty() && name.chars().count() <= 100 => zone,
        Ok(_) => return Ok(Err("A client needs a name of at most 100 characters.".into())),
        Err(error) => return Ok(Err(sentence(&error))),
    };
    let (id, custody) = (ClientId::made(app.now(), app.random()?), KeyCustody::default());
    let client = Client { id, tenant, name: name.to_owned(), zone, custody, sheet_confirmed: None };
    app.store.within(&visitor.scope).add_client(&client).await?;
    Ok(Ok(id))
}

/// An error's words as a sentence.
pub(crate) fn sentence(error: &impl std::fmt::Display) -> String {
    let words = error.to_string();
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
