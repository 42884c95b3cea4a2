//! A machine: five lights with their evidence, what is done for it, its last 28 days, its runs with reasons.

mod lights;
mod proofs;
mod runs;

use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Path, Query, State as Shared};
use axum::response::{IntoResponse, Response};
use continuity::{Act, Verb};
use fleet::{JobKind, JobState, Machine, MachineId, Pause, Run, State, Subject};
use jiff::ToSpan;
use serde::Deserialize;
use store::{Card, MachineChange, View};

use self::lights::Lights;
use self::proofs::{ProofLine, proofs};
use self::runs::Runs;
use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::{Frame, Just, Place, show};
use crate::pages::live::{self, Part};
use crate::pages::now::Now;
use crate::parts::{Bar28, Mark};
use crate::problem::{Problem, see};
use crate::visitor::Visitor;
use crate::when::{When, clock};

/// Runs on the page.
const RUNS: u64 = 30;

/// Jobs that are looked through for those that are not over.
const JOBS: u64 = 50;

/// How often it is looked whether something changed.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Template)]
#[template(path = "machine.html")]
struct MachinePage {
    frame: Frame,
    address: String,
    client: String,
    client_address: String,
    name: String,
    headline: Headline,
    now: Now,
    lights: Lights,
    by_agent: bool,
    policy: Vec<String>,
    pause: Option<String>,
    may_pause: bool,
    may_back_up: bool,
    may_restore: bool,
    request: String,
    quarantine: Option<String>,
    jobs: Vec<JobLine>,
    proofs: Vec<ProofLine>,
    alerts: Vec<AlertLine>,
    bar: Bar28,
    first_day: String,
    days: Vec<(String, &'static str)>,
    runs: Runs,
}

/// How it stands, in a sentence.
#[derive(Template)]
#[template(path = "machine_headline.html")]
struct Headline {
    sentence: String,
    about: String,
}

impl HtmlSafe for Headline {}

impl Headline {
    fn of(machine: &Machine, card: &Card, app: &App) -> Headline {
        Headline { sentence: card.sentence.clone(), about: about(machine, card, app) }
    }
}

struct AlertLine {
    mark: Mark,
    sentence: String,
    since: String,
}

/// A job that is not over.
struct JobLine {
    sentence: String,
    at: When,
    cancel: Option<String>,
}

/// `GET /machines/{machine}`
pub(crate) async fn get(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Path(id): Path<MachineId>,
    Query(just): Query<Just>,
) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let (card, machine) = (view.card(id).await?, view.machine(id).await?);
    let client = view.client(machine.client).await?;
    let runs: Vec<Run> = view.runs(id, RUNS).await?.into_iter().map(|row| row.run).collect();
    let may = |act: Act| visitor.scope.reach(act).machine(id, machine.client, machine.tenant);
    let (looked_after, tended) = (machine.retired.is_none(), view.tended(id).await?);
    let page = MachinePage {
        frame: Frame::new(&machine.name, Place::Fleet, &visitor, &just),
        address: format!("/machines/{id}"),
        client_address: format!("/clients/{}", client.id),
        headline: Headline::of(&machine, &card, &app),
        now: Now::of(&runs, &client.zone, app.now()),
        lights: Lights::of(&card),
        by_agent: tended.by_agent,
        policy: policy(&view, &machine, &visitor).await?,
        pause: machine.pause.as_ref().filter(|pause| pause.holds(app.now())).map(|pause| pause_words(pause, &app)),
        may_pause: may(Act::Configure) && looked_after,
        may_back_up: may(Act::Do(Verb::Backup)) && looked_after && tended.by_agent,
        may_restore: may(Act::Do(Verb::Restore)) && (tended.by_agent || tended.by_keeper),
        request: hex::encode(app.random()?),
        quarantine: view.quarantine(id).await?.map(|found| found.why),
        jobs: jobs(&view, &machine, &visitor, &app).await?,
        proofs: proofs(&view, id, &app).await?,
        alerts: alerts(&view, id, &app).await?,
        bar: Bar28::wide(&card.bar),
        first_day: card.bar.days().next().map(|(date, _)| date.strftime("%-d %b").to_string()).unwrap_or_default(),
        days: days(&card),
        runs: Runs::of(&runs, tended.by_agent, app.now()),
        client: client.name,
        name: machine.name,
    };
    Ok(show(&page)?.into_response())
}

/// `GET /machines/{machine}/live`
pub(crate) async fn live(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Path(id): Path<MachineId>,
) -> Result<Response, Problem> {
    // Refused now rather than in the stream.
    parts(&app, &visitor, id).await?;
    Ok(live::answer(app, visitor, LOOK, move |app, visitor| async move { parts(&app, &visitor, id).await }))
}

/// What moves by itself.
async fn parts(app: &App, visitor: &Visitor, id: MachineId) -> Result<Vec<Part>, Problem> {
    let view = app.store.within(&visitor.scope);
    let (card, machine) = (view.card(id).await?, view.machine(id).await?);
    let zone = view.client(machine.client).await?.zone;
    let runs: Vec<Run> = view.runs(id, RUNS).await?.into_iter().map(|row| row.run).collect();
    let by_agent = view.tended(id).await?.by_agent;
    Ok(vec![
        Part::of("region", &Now::of(&runs, &zone, app.now()))?,
        Part::of("headline", &Headline::of(&machine, &card, app))?,
        Part::of("lights", &Lights::of(&card))?,
        Part::of("runs", &Runs::of(&runs, by_agent, app.now()))?,
    ])
}

fn about(machine: &Machine, card: &Card, app: &App) -> String {
    let mut about = capital(machine.class.word());
    about += &format!(", looked after since {}.", clock(machine.enrolled, &app.facade.zone));
    if let Some(retired) = machine.retired {
        about += &format!(" Retired {}; its backups are kept.", clock(retired, &app.facade.zone));
    }
    match When::past(card.judged, app.now()).words.as_str() {
        "now" => about + " Checked just now.",
        words => about + &format!(" Checked {words}."),
    }
}

pub(crate) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// What is done for it, in the policy's own sentences; for those who see the firm's policies.
async fn policy(view: &View<'_>, machine: &Machine, visitor: &Visitor) -> Result<Vec<String>, Problem> {
    let Some(id) = machine.policy else { return Ok(Vec::new()) };
    if !visitor.scope.may(Act::LOOK, machine.tenant) {
        return Ok(vec!["A policy of the firm that looks after it.".into()]);
    }
    let policies = view.policies(machine.tenant).await?;
    let destinations = view.destinations(machine.tenant).await?;
    let policy = policies.iter().find(|policy| policy.id == id);
    Ok(policy.map(|policy| policy.preview(&destinations)).unwrap_or_default())
}

/// What was asked for and is not over.
async fn jobs(view: &View<'_>, machine: &Machine, visitor: &Visitor, app: &App) -> Result<Vec<JobLine>, Problem> {
    let jobs = view.jobs(machine.id, JOBS).await?;
    let line = |row: store::JobRow| {
        let kind = row.job.kind;
        let act = match kind {
            JobKind::Restore => Act::Do(Verb::Restore),
            JobKind::Prune | JobKind::Copy(_) => Act::Configure,
            _ => Act::Do(Verb::Backup),
        };
        let may = visitor.scope.reach(act).machine(machine.id, machine.client, machine.tenant);
        let by = row.asked_by.map_or_else(|| "by schedule".to_owned(), |by| format!("asked for by {by}"));
        let stands = if row.job.state == JobState::Waiting { "waits" } else { "is being done" };
        JobLine {
            sentence: format!("{} {stands}, {by}", capital(what(kind))),
            at: When::past(row.job.due, app.now()),
            cancel: may.then(|| format!("/jobs/{}/cancel", row.job.id)),
        }
    };
    Ok(jobs.into_iter().filter(|row| !row.job.state.is_over()).map(line).collect())
}

fn pause_words(pause: &Pause, app: &App) -> String {
    let until = clock(pause.until, &app.facade.zone);
    format!("Paused by {} until {until}: {}.", pause.by.name, pause.reason)
}

async fn alerts(view: &View<'_>, id: MachineId, app: &App) -> Result<Vec<AlertLine>, Problem> {
    let open = view.open_alerts(200).await?;
    let about_it = |subject: Subject| matches!(subject, Subject::Machine(_, machine) if machine == id);
    let line = |alert: fleet::Alert| AlertLine {
        mark: Mark::of(Some(State::Failed), alert.state.word()),
        since: When::past(alert.opened, app.now()).words,
        sentence: alert.sentence,
    };
    Ok(open.into_iter().filter(|alert| about_it(alert.key.subject)).map(line).collect())
}

/// The bar as a table, the newest day first.
fn days(card: &Card) -> Vec<(String, &'static str)> {
    let mut days: Vec<_> =
        card.bar.days().map(|(date, day)| (date.strftime("%a %-d %b").to_string(), day.words())).collect();
    days.reverse();
    days
}

/// What a run does.
pub(crate) fn what(kind: JobKind) -> &'static str {
    kind.word()
}

#[derive(Deserialize)]
pub(crate) struct Wish {
    reason: String,
    hours: u16,
}

/// `POST /machines/{machine}/pause`
pub(crate) async fn pause(
    Shared(app): Shared<App>,
    Path(id): Path<MachineId>,
    Signed(visitor, wish): Signed<Wish>,
) -> Result<Response, Problem> {
    pause_for(&app, &visitor, id, &wish.reason, wish.hours).await?;
    Ok(see(&Just::at(&format!("/machines/{id}"), "paused", id)))
}

/// Pauses a machine for some hours.
pub(crate) async fn pause_for(
    app: &App,
    visitor: &Visitor,
    id: MachineId,
    reason: &str,
    hours: u16,
) -> Result<(), Problem> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 200 || !(1..=31 * 24).contains(&hours) {
        return Err(Problem::Invalid("A pause has a reason, and an end within 31 days.".into()));
    }
    let from = app.now();
    let until = from.checked_add(i64::from(hours).hours()).map_err(|error| Problem::Invalid(error.to_string()))?;
    let pause = Pause { by: visitor.person.actor(), reason: reason.to_owned(), from, until };
    change(app, visitor, id, MachineChange::Pause(Some(pause))).await
}

/// `POST /machines/{machine}/resume`
pub(crate) async fn resume(
    Shared(app): Shared<App>,
    Path(id): Path<MachineId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    change(&app, &visitor, id, MachineChange::Pause(None)).await?;
    Ok(see(&Just::at(&format!("/machines/{id}"), "resumed", id)))
}

/// Changes a machine, and judges it at once.
pub(crate) async fn change(app: &App, visitor: &Visitor, id: MachineId, change: MachineChange) -> Result<(), Problem> {
    app.store.within(&visitor.scope).change_machine(id, change).await?;
    crate::judge::at_once(app, id).await
}
