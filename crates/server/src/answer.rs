//! The JSON API: the same things as the pages, for programs, described by OpenAPI.

use std::collections::BTreeMap;

use api::answer::{
    Alert, Alerts, Asked as AskedFor, Fleet, Light, Machine, MachineWithRuns, Problem as Told, Run, Runs,
};
use axum::Json;
use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use fleet::{AlertState, MachineId, RunState, Selection, State, Subject};
use serde::Deserialize;
use store::{Card, FleetFilter, RunRow};
use utoipa::{IntoParams, IntoResponses, OpenApi};

use crate::app::App;
use crate::pages::client::sentence;
use crate::pages::fleet::{mark_text, read_mark};
use crate::pages::{acts, row};
use crate::problem::Problem;
use crate::visitor::Caller;
use crate::when::exact;

pub(crate) mod backups;
pub(crate) mod codes;
pub(crate) mod destinations;
pub(crate) mod firm;
pub(crate) mod jobs;
pub(crate) mod messages;
pub(crate) mod people;
pub(crate) mod policies;
pub(crate) mod settings;
pub(crate) mod sheet;
pub(crate) mod silences;

/// Machines, runs and alerts in one answer.
const MACHINES: u64 = 100;
const RUNS: u64 = 50;
const ALERTS: u64 = 200;

/// Disks that are asked for at once.
const DISKS: usize = 32;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "stead",
        description = "Who is safe, what runs, what needs somebody. Give a token as `Authorization: Bearer`."
    ),
    paths(
        crate::join::enrol,
        fleet,
        machine,
        runs,
        back_up,
        jobs::list,
        jobs::cancel,
        jobs::restore,
        backups::snapshots,
        backups::folder,
        backups::download,
        backups::find,
        alerts,
        acknowledge,
        release,
        firm::pause,
        firm::resume,
        firm::clients,
        firm::add_client,
        firm::audit,
        firm::export,
        settings::get,
        settings::save,
        settings::retire,
        settings::release,
        silences::list,
        silences::client,
        silences::alert,
        silences::end,
        codes::make,
        codes::list,
        codes::end,
        sheet::get,
        sheet::confirm,
        destinations::list,
        destinations::save,
        messages::list,
        messages::mail,
        messages::webhook,
        messages::key,
        messages::steps,
        messages::watchdog,
        messages::test,
        people::list,
        people::add,
        people::link,
        people::role,
        people::grants,
        people::grant,
        people::end_grant,
        policies::list,
        policies::save,
        policies::preview,
        policies::remove,
    )
)]
struct Described;

/// How a request is refused, wherever that is not said otherwise.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes answers that are made of problems")]
pub(crate) enum Refused {
    /// The address cannot be understood.
    #[response(status = 400)]
    Address(#[to_schema] Told),
    /// No token, or one that opens nothing.
    #[response(status = 401)]
    SignIn(#[to_schema] Told),
    /// The token may see it and not do it.
    #[response(status = 403)]
    Forbidden(#[to_schema] Told),
    /// Nothing of that name is within sight.
    #[response(status = 404)]
    NotFound(#[to_schema] Told),
    /// Somebody was quicker, or it is not possible as things stand.
    #[response(status = 409)]
    Conflict(#[to_schema] Told),
    /// More was sent than is taken.
    #[response(status = 413)]
    TooLarge(#[to_schema] Told),
    /// The request makes no sense.
    #[response(status = 422)]
    Invalid(#[to_schema] Told),
}

/// How a request is refused that is counted.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "describes an answer that is made of a problem")]
pub(crate) enum TooOften {
    /// It was tried too often; `Retry-After` says for how many seconds nothing is heard.
    #[response(status = 429)]
    Wait(#[to_schema] Told),
}

/// An identity in a path or a request; what is none names nothing.
fn identity<T: std::str::FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::NotFound)
}

/// `GET /health`
pub(crate) async fn health() -> &'static str {
    "ok"
}

/// `GET /api/v1/openapi.json`
pub(crate) async fn open_api() -> Json<utoipa::openapi::OpenApi> {
    Json(Described::openapi())
}

/// Which machines.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Those in this state.
    #[serde(default)]
    state: String,
    /// Those with this in their name.
    #[serde(default)]
    find: String,
    /// Those after a page's `next`.
    after: Option<String>,
}

#[utoipa::path(get, path = "/api/v1/fleet", params(Asked), responses(
    (status = 200, description = "A page of machines, the worst first", body = Fleet),
    Refused,
))]
pub(crate) async fn fleet(
    Shared(app): Shared<App>,
    Caller(caller): Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<Fleet>, Problem> {
    let state = State::of_word(&asked.state);
    if state.is_none() && !asked.state.is_empty() {
        return Err(Problem::Invalid(format!("There is no state {:?}.", asked.state)));
    }
    let name = (!asked.find.is_empty()).then_some(asked.find);
    let filter = FleetFilter { state, client: None, name };
    let mark = asked.after.as_deref().and_then(read_mark);
    let page = app.store.within(&caller.scope).fleet(&filter, mark.as_ref(), MACHINES).await?;
    let count = |state: State| (state.word().to_owned(), page.counts.of(state));
    Ok(Json(Fleet {
        sentence: row::sentence(&page.counts),
        counts: State::ALL.into_iter().map(count).collect::<BTreeMap<_, _>>(),
        machines: page.cards.iter().map(of_card).collect(),
        next: page.next.as_ref().map(mark_text),
    }))
}

fn of_card(card: &Card) -> Machine {
    Machine {
        id: card.machine.to_string(),
        client: card.client.to_string(),
        name: card.name.clone(),
        class: card.class.word().into(),
        state: card.state.word().into(),
        paused: card.paused,
        sentence: card.sentence.clone(),
        lights: card.lights.iter().map(of_light).collect(),
        percent: card.percent,
        bar: card.bar.to_string(),
        judged: exact(card.judged),
    }
}

fn of_light(light: &fleet::Light) -> Light {
    Light {
        kind: light.kind.words().into(),
        state: light.state.map(|state| state.word().into()),
        sentence: light.sentence.clone(),
        at: light.at.map(exact),
    }
}

#[utoipa::path(get, path = "/api/v1/machines/{machine}", params(("machine" = String, Path, description = "Which")), responses(
    (status = 200, description = "The machine and its newest runs", body = MachineWithRuns),
    Refused,
))]
pub(crate) async fn machine(
    Shared(app): Shared<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<MachineWithRuns>, Problem> {
    let id: MachineId = identity(&id)?;
    let view = app.store.within(&caller.scope);
    let machine = of_card(&view.card(id).await?);
    let zone = &app.facade.zone;
    let runs = view.runs(id, RUNS).await?;
    Ok(Json(MachineWithRuns { machine, runs: runs.iter().map(|row| of_run(row, zone)).collect() }))
}

#[utoipa::path(get, path = "/api/v1/machines/{machine}/runs", params(("machine" = String, Path, description = "Which")), responses(
    (status = 200, description = "The machine's newest runs, the newest first", body = Runs),
    Refused,
))]
pub(crate) async fn runs(
    Shared(app): Shared<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<Runs>, Problem> {
    let id: MachineId = identity(&id)?;
    let view = app.store.within(&caller.scope);
    view.machine(id).await?;
    let runs = view.runs(id, RUNS).await?;
    Ok(Json(Runs { runs: runs.iter().map(|row| of_run(row, &app.facade.zone)).collect() }))
}

/// What is to be backed up.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct What {
    /// Images of these disks instead of what the policy names: paths such as /dev/sda or the word system, with commas
    /// between; all: every disk that stays in the machine.
    #[serde(default)]
    disks: String,
}

impl What {
    fn selection(&self) -> Result<Option<Vec<Selection>>, Problem> {
        let names: Vec<String> = match self.disks.trim() {
            "" => return Ok(None),
            "all" => Vec::new(),
            names => names.split(',').map(|name| name.trim().to_owned()).collect(),
        };
        if names.len() > DISKS || self.disks.len() > DISKS * 200 {
            return Err(Problem::Invalid(format!("At most {DISKS} disks are asked for at once.")));
        }
        let disks = Selection::disks(names).map_err(|error| Problem::Invalid(sentence(&error)))?;
        Ok(Some(vec![disks]))
    }
}

#[utoipa::path(post, path = "/api/v1/machines/{machine}/backup", params(("machine" = String, Path, description = "Which"), What), responses(
    (status = 202, description = "It is asked for; the machine begins when it can", body = AskedFor),
    Refused,
))]
pub(crate) async fn back_up(
    Shared(app): Shared<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Query(what): Query<What>,
) -> Result<(StatusCode, Json<AskedFor>), Problem> {
    let id: MachineId = identity(&id)?;
    let job = acts::ask_for_backup(&app, &caller, id, "", what.selection()?).await?;
    Ok((StatusCode::ACCEPTED, Json(AskedFor { job: job.to_string() })))
}

fn of_run(row: &RunRow, zone: &fleet::Zone) -> Run {
    let run = &row.run;
    let (ended, words) = match &run.state {
        RunState::Running => (None, run.progress.words(zone)),
        RunState::Ended { at, outcome } => (Some(exact(*at)), outcome.words()),
    };
    Run {
        id: run.id.to_string(),
        job: run.job.map(|job| job.to_string()),
        kind: run.kind.word().into(),
        started: exact(run.started),
        ended,
        state: run.state().word().into(),
        percent: run.progress.percent(),
        words,
        snapshots: row.snapshots.clone(),
    }
}

#[utoipa::path(get, path = "/api/v1/alerts", responses(
    (status = 200, description = "What needs somebody, the newest first", body = Alerts),
    Refused,
))]
pub(crate) async fn alerts(Shared(app): Shared<App>, Caller(caller): Caller) -> Result<Json<Alerts>, Problem> {
    let alerts = app.store.within(&caller.scope).open_alerts(ALERTS).await?;
    Ok(Json(Alerts { alerts: alerts.iter().map(of_alert).collect() }))
}

fn of_alert(alert: &fleet::Alert) -> Alert {
    Alert {
        id: alert.id.to_string(),
        machine: match alert.key.subject {
            Subject::Machine(_, machine) => Some(machine.to_string()),
            _ => None,
        },
        condition: alert.key.condition.word().into(),
        sentence: alert.sentence.clone(),
        opened: exact(alert.opened),
        state: alert.state.word().into(),
        by: match &alert.state {
            AlertState::Acknowledged { by, .. } => Some(by.name.clone()),
            _ => None,
        },
    }
}

#[utoipa::path(post, path = "/api/v1/alerts/{alert}/acknowledge", params(("alert" = String, Path, description = "Which")), responses(
    (status = 204, description = "It is yours; it may be said twice"),
    Refused,
))]
pub(crate) async fn acknowledge(
    Shared(app): Shared<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.store.within(&caller.scope).acknowledge(identity(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/api/v1/alerts/{alert}/release", params(("alert" = String, Path, description = "Which")), responses(
    (status = 204, description = "It is open again"),
    Refused,
))]
pub(crate) async fn release(
    Shared(app): Shared<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.store.within(&caller.scope).release(identity(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
