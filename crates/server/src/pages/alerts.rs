//! Alerts: what needs somebody, who has it, what is silenced.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, Query, State as Shared};
use axum::response::{IntoResponse, Response};
use continuity::Act;
use fleet::{Alert, AlertId, AlertState, ClientId, Condition, MachineId, State, Subject};

use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::{Frame, Just, Place, show};
use crate::pages::silence;
use crate::parts::Mark;
use crate::problem::{Problem, see};
use crate::visitor::Visitor;
use crate::when::{When, clock};

/// Alerts on the page.
const MOST: u64 = 200;

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    frame: Frame,
    sentence: String,
    groups: Vec<Group>,
    silences: Vec<silence::Held>,
    may: bool,
}

struct Group {
    title: &'static str,
    alerts: Vec<Line>,
}

/// An alert on a page.
pub(crate) struct Line {
    pub(crate) id: AlertId,
    pub(crate) mark: Mark,
    pub(crate) address: Option<String>,
    pub(crate) subject: String,
    pub(crate) condition: &'static str,
    pub(crate) sentence: String,
    pub(crate) since: When,
    pub(crate) by: Option<String>,
    pub(crate) may_take: bool,
    pub(crate) may_release: bool,
}

/// `GET /alerts`
pub(crate) async fn get(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Query(just): Query<Just>,
) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let alerts = view.open_alerts(MOST).await?;
    let names = names(&app, &visitor, &alerts).await?;
    let may = !visitor.scope.reach(Act::Configure).is_nothing();
    let lines = |wanted: fn(&Alert) -> bool| -> Vec<Line> {
        alerts.iter().filter(|alert| wanted(alert)).map(|alert| line(alert, &names, &visitor, &app)).collect()
    };
    let (open, taken) =
        (lines(|alert| alert.state == AlertState::Open), lines(|alert| alert.state != AlertState::Open));
    let sentence = sentence(open.len(), taken.len());
    let groups = [("Nobody has these", open), ("Somebody has these", taken)];
    let groups = groups.into_iter().filter(|(_, alerts)| !alerts.is_empty());
    let page = AlertsPage {
        frame: Frame::new("Alerts", Place::Alerts, &visitor, &just),
        sentence,
        groups: groups.map(|(title, alerts)| Group { title, alerts }).collect(),
        silences: silence::held(&app, &visitor).await?,
        may,
    };
    Ok(show(&page)?.into_response())
}

#[derive(Template)]
#[template(path = "alert.html")]
struct AlertPage {
    frame: Frame,
    alert: Line,
    about: String,
    is_closed: bool,
}

/// `GET /alerts/{alert}`
pub(crate) async fn one(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Path(id): Path<AlertId>,
) -> Result<Response, Problem> {
    let alert = app.store.within(&visitor.scope).alert(id).await?;
    let names = names(&app, &visitor, std::slice::from_ref(&alert)).await?;
    let about = match alert.state {
        AlertState::Closed { at } => format!("It is over since {}.", clock(at, &app.facade.zone)),
        _ => format!("It is so since {}.", clock(alert.opened, &app.facade.zone)),
    };
    let page = AlertPage {
        frame: Frame::new("Alert", Place::Alerts, &visitor, &Just::default()),
        alert: line(&alert, &names, &visitor, &app),
        about,
        is_closed: alert.is_closed(),
    };
    Ok(show(&page)?.into_response())
}

fn sentence(open: usize, taken: usize) -> String {
    match (open, taken) {
        (0, 0) => "No alerts: nothing needs you.".into(),
        (0, taken) => format!("Nothing is open. {taken} taken on."),
        (1, 0) => "1 alert needs somebody.".into(),
        (1, taken) => format!("1 alert needs somebody, {taken} taken on."),
        (open, 0) => format!("{open} alerts need somebody."),
        (open, taken) => format!("{open} alerts need somebody, {taken} taken on."),
    }
}

/// Names of the machines that alerts are about.
async fn names(app: &App, visitor: &Visitor, alerts: &[Alert]) -> Result<BTreeMap<MachineId, String>, Problem> {
    let view = app.store.within(&visitor.scope);
    let mut names = BTreeMap::new();
    for alert in alerts {
        if let Subject::Machine(_, machine) = alert.key.subject
            && !names.contains_key(&machine)
        {
            names.insert(machine, view.machine(machine).await?.name);
        }
    }
    Ok(names)
}

/// An alert as this visitor sees it.
pub(crate) fn line(alert: &Alert, names: &BTreeMap<MachineId, String>, visitor: &Visitor, app: &App) -> Line {
    let (subject, address) = match alert.key.subject {
        Subject::Machine(_, machine) => {
            let name = names.get(&machine).cloned().unwrap_or_else(|| "A machine".into());
            (name, Some(format!("/machines/{machine}")))
        }
        Subject::Site(client, _) => ("A whole site".to_owned(), Some(format!("/clients/{client}"))),
        Subject::Ourselves if alert.key.condition == Condition::Messages => {
            ("This server".to_owned(), Some("/messages".to_owned()))
        }
        Subject::Ourselves => ("This server".to_owned(), None),
    };
    let may = may_handle(visitor, alert.key.subject.client());
    let (by, is_mine) = match &alert.state {
        AlertState::Acknowledged { by, at } => {
            let who = if by.key == visitor.person.actor().key { "You have it" } else { &format!("{} has it", by.name) };
            (Some(format!("{who}, since {}", When::past(*at, app.now()).words)), by.key == visitor.person.actor().key)
        }
        _ => (None, false),
    };
    // The name stands before it already.
    let told = alert.sentence.strip_prefix(&format!("{subject}: ")).unwrap_or(&alert.sentence).to_owned();
    Line {
        id: alert.id,
        mark: Mark::of(Some(state(alert.key.condition)), alert.key.condition.word()),
        address,
        subject,
        condition: alert.key.condition.word(),
        sentence: told,
        since: When::past(alert.opened, app.now()),
        may_take: may && alert.state == AlertState::Open,
        may_release: may && is_mine,
        by,
    }
}

fn may_handle(visitor: &Visitor, client: Option<ClientId>) -> bool {
    let reach = visitor.scope.reach(Act::Configure);
    !reach.tenants.is_empty() || client.is_some_and(|client| reach.clients.contains_key(&client))
}

/// How a condition looks.
fn state(condition: Condition) -> State {
    match condition {
        Condition::Silent | Condition::Offsite | Condition::Proven => State::Late,
        Condition::Backup | Condition::Storage | Condition::Quarantined | Condition::Messages => State::Failed,
    }
}

/// `POST /alerts/{alert}/acknowledge`
pub(crate) async fn acknowledge(
    Shared(app): Shared<App>,
    Path(id): Path<AlertId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    app.store.within(&visitor.scope).acknowledge(id).await?;
    Ok(see(&Just::at("/alerts", "acknowledged", id)))
}

/// `POST /alerts/{alert}/release`
pub(crate) async fn release(
    Shared(app): Shared<App>,
    Path(id): Path<AlertId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    app.store.within(&visitor.scope).release(id).await?;
    Ok(see(&Just::at("/alerts", "released", id)))
}
