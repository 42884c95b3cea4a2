//! A client's recovery sheet: how it is printed, what it opens, and that somebody has it. What stands on it never passes
//! this server but for two groups, always the same two: the keeper compares them.

use api::wire::keeper::{Answer, Question};
use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use continuity::Act;
use fleet::{Client, ClientId, KeyCustody, MachineId};
use serde::Deserialize;
use store::FleetFilter;

use crate::app::App;
use crate::form::Signed;
use crate::keepers::{self, Unanswered};
use crate::page::{Frame, Just, Place, show};
use crate::problem::{Problem, see};
use crate::visitor::Visitor;
use crate::when::clock;

/// Machines of a client that are looked through for one whose key a keeper has.
const MACHINES: u64 = 200;

/// Why a client has no sheet.
const BLIND: &str = "Only the machines of this client hold their keys: there is no password that opens all of them.";
const NO_KEY: &str = "No keeper has the key of a machine of this client yet. Enrol a machine first; its key is sealed to the \
                      keeper at its first call.";

#[derive(Template)]
#[template(path = "sheet.html")]
struct SheetPage {
    frame: Frame,
    address: String,
    client: String,
    confirmed: Option<String>,
    /// Why nothing can be done here now.
    problem: Option<String>,
    wrong: Option<&'static str>,
    command: String,
    asks: [u8; 2],
    opens: Vec<String>,
    missing: Vec<(String, String)>,
}

/// A client whose keys this visitor may have.
pub(crate) async fn enter(app: &App, visitor: &Visitor, id: ClientId) -> Result<Client, Problem> {
    let client = app.store.within(&visitor.scope).client(id).await?;
    match visitor.scope.reach(Act::ExportKeys).client(id, client.tenant) {
        true => Ok(client),
        false => Err(Problem::Forbidden(Act::ExportKeys.word())),
    }
}

/// `GET /clients/{client}/sheet`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<ClientId>,
    Query(just): Query<Just>,
) -> Result<Response, Problem> {
    let client = enter(&app, &visitor, id).await?;
    page(&app, &visitor, &client, &just, None).await
}

/// What a sheet asks for and opens, machines by their names.
#[derive(Default)]
pub(crate) struct Stands {
    pub(crate) asks: [u8; 2],
    pub(crate) opens: Vec<String>,
    pub(crate) missing: Vec<(String, String)>,
}

/// How it stands with a client's sheet; or why nothing can be known of it now.
pub(crate) async fn stands(app: &App, visitor: &Visitor, client: &Client) -> Result<Result<Stands, String>, Problem> {
    if client.custody == KeyCustody::Blind {
        return Ok(Err(BLIND.to_owned()));
    }
    let (asks, opens, missing) = match ask(app, visitor, client.id, sheet(client.id)).await? {
        Ok((_, Answer::RecoverySheet { asks, opens, missing })) => (asks, opens, missing),
        Ok(_) => return Ok(Err("The keeper answered something else.".to_owned())),
        Err(why) => return Ok(Err(why)),
    };
    let names = names(app, visitor, client.id).await?;
    let name = |id: &MachineId| {
        let known = names.iter().find(|(known, _)| known == id);
        known.map_or_else(|| "a machine that is retired".to_owned(), |(_, name)| name.clone())
    };
    let opens = opens.iter().map(name).collect();
    Ok(Ok(Stands { asks, opens, missing: missing.into_iter().map(|(id, why)| (name(&id), why)).collect() }))
}

async fn page(
    app: &App,
    visitor: &Visitor,
    client: &Client,
    just: &Just,
    wrong: Option<&'static str>,
) -> Result<Response, Problem> {
    let (Stands { asks, opens, missing }, problem) = match stands(app, visitor, client).await? {
        Ok(stands) => (stands, None),
        Err(why) => (Stands::default(), Some(why)),
    };
    let page = SheetPage {
        frame: Frame::new("Recovery sheet", Place::Fleet, visitor, just),
        address: format!("/clients/{}", client.id),
        client: client.name.clone(),
        confirmed: client.sheet_confirmed.map(|at| clock(at, &app.facade.zone)),
        problem,
        wrong,
        command: command(client),
        asks,
        opens,
        missing,
    };
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok((status, show(&page)?).into_response())
}

/// What is typed on the keeper's machine. A name comes from people: what a shell would understand is left out.
pub(crate) fn command(client: &Client) -> String {
    let name: String = client.name.chars().filter(|c| c.is_alphanumeric() || " .,-&()".contains(*c)).collect();
    format!("stead keeper sheet {} --name '{name}' --page sheet.html", client.id)
}

fn sheet(client: ClientId) -> Question {
    Question::RecoverySheet { client: client.to_string() }
}

async fn names(app: &App, visitor: &Visitor, client: ClientId) -> Result<Vec<(MachineId, String)>, Problem> {
    let filter = FleetFilter { client: Some(client), ..FleetFilter::default() };
    let page = app.store.within(&visitor.scope).fleet(&filter, None, MACHINES).await?;
    Ok(page.cards.into_iter().map(|card| (card.machine, card.name)).collect())
}

/// Asks the keeper that has the key of one of the client's machines; or says why it cannot be asked.
async fn ask(
    app: &App,
    visitor: &Visitor,
    client: ClientId,
    question: Question,
) -> Result<Result<(MachineId, Answer), String>, Problem> {
    let mut why = NO_KEY.to_owned();
    for (machine, _) in names(app, visitor, client).await? {
        match keepers::ask(app, machine, question.clone()).await {
            Ok(answer) => return Ok(Ok((machine, answer))),
            Err(ours) if ours.is_ours() => return Err(ours.into()),
            Err(Unanswered::NoKey) => {}
            // One keeper that is away is away for all of its machines.
            Err(unanswered) => {
                why = unanswered.to_string();
                break;
            }
        }
    }
    Ok(Err(why))
}

#[derive(Deserialize)]
pub(crate) struct Typed {
    first: String,
    second: String,
}

/// `POST /clients/{client}/sheet`: two groups are typed from the paper.
pub(crate) async fn confirm(
    State(app): State<App>,
    Path(id): Path<ClientId>,
    Signed(visitor, typed): Signed<Typed>,
) -> Result<Response, Problem> {
    let client = enter(&app, &visitor, id).await?;
    match proved(&app, &visitor, id, [typed.first, typed.second]).await? {
        true => Ok(see(&Just::at(&format!("/clients/{id}"), "sheet", id))),
        false => page(&app, &visitor, &client, &Just::default(), Some(OTHER)).await,
    }
}

/// What is said to groups that are others.
pub(crate) const OTHER: &str = "Those are not the groups that stand there. Is it the sheet of this client?";

/// Whether these are the groups that are asked for; then it is written down that somebody has the sheet.
pub(crate) async fn proved(app: &App, visitor: &Visitor, id: ClientId, groups: [String; 2]) -> Result<bool, Problem> {
    let nowhere = std::net::Ipv4Addr::UNSPECIFIED.into();
    if let Err(crate::attempts::Wait(seconds)) = app.attempts.count(&format!("sheet of {id}"), nowhere) {
        return Err(Problem::TooMany(seconds));
    }
    let groups = groups.map(|group| group.chars().take(20).collect());
    let proves = Question::ProveSheet { client: id.to_string(), groups };
    match ask(app, visitor, id, proves).await? {
        Ok((_, Answer::SheetProved { right: true })) => {
            app.store.within(&visitor.scope).confirm_sheet(id, app.now()).await?;
            Ok(true)
        }
        Ok((_, Answer::SheetProved { right: false })) => Ok(false),
        Ok(_) => Err(Problem::Conflict("The keeper answered something else.".into())),
        Err(why) => Err(Problem::Conflict(why)),
    }
}
