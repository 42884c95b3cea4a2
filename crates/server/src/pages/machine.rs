//! A machine: five lights with their evidence, what is done for it, its last 28 days, its runs with reasons.

use askama::Template;
use axum::extract::{Path, Query, State as Shared};
use axum::response::{IntoResponse, Response};
use continuity::{Act, Verb};
use fleet::{
    Evidence, JobKind, JobState, Light, Machine, MachineId, Missed, Outcome, Pause, Run, RunState, State, Subject,
    Verdict,
};
use jiff::ToSpan;
use serde::Deserialize;
use store::{Card, MachineChange, View};

use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::{Frame, Just, Place, show};
use crate::pages::now::Now;
use crate::parts::{Bar28, Mark};
use crate::problem::{Problem, see};
use crate::visitor::Visitor;
use crate::when::{When, clock};

/// Runs on the page.
const RUNS: u64 = 30;

/// Jobs that are looked through for those that are not over, and drills and copies that are shown.
const JOBS: u64 = 50;
const PROOFS: u64 = 10;

#[derive(Template)]
#[template(path = "machine.html")]
struct MachinePage {
    frame: Frame,
    address: String,
    client: String,
    client_address: String,
    name: String,
    sentence: String,
    about: String,
    now: Now,
    lights: Vec<LightLine>,
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
    runs: Vec<RunLine>,
}

struct LightLine {
    mark: Mark,
    about: &'static str,
    sentence: String,
    evidence: Option<String>,
    at: Option<When>,
}

struct AlertLine {
    mark: Mark,
    sentence: String,
    since: String,
}

struct RunLine {
    id: String,
    mark: Mark,
    sentence: String,
    at: When,
    missed: Vec<(String, String)>,
}

/// A job that is not over.
struct JobLine {
    sentence: String,
    at: When,
    cancel: Option<String>,
}

/// A drill or a copy.
struct ProofLine {
    mark: Mark,
    sentence: String,
    evidence: String,
    at: When,
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
        sentence: card.sentence.clone(),
        about: about(&machine, &card, &app),
        now: Now::of(&runs, &client.zone, app.now()),
        lights: card.lights.iter().map(|light| light_line(light, &card)).collect(),
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
        runs: runs.iter().map(|run| run_line(run, &app)).collect(),
        client: client.name,
        name: machine.name,
    };
    Ok(show(&page)?.into_response())
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

fn light_line(light: &Light, card: &Card) -> LightLine {
    // Copies and drills have no page of their own yet; their sentences say what they were.
    let evidence = match light.evidence {
        Some(Evidence::Run(run)) => Some(format!("#run-{run}")),
        _ => None,
    };
    LightLine {
        mark: Mark::of_light(light),
        about: light.kind.words(),
        sentence: light.sentence.clone(),
        evidence,
        // As of when the sentence beside it was made.
        at: light.at.map(|at| When::past(at, card.judged)),
    }
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

/// Drills and copies, the newest first.
async fn proofs(view: &View<'_>, id: MachineId, app: &App) -> Result<Vec<ProofLine>, Problem> {
    let mut proofs = Vec::new();
    for drill in view.drills(id, PROOFS).await? {
        let (state, words) = judged(&drill.verdict, drill.kind.done());
        proofs.push((drill.ended, state, words, drill.evidence));
    }
    for copy in view.copies(id, PROOFS).await? {
        let (state, words) = judged(&copy.verdict, "Copied");
        proofs.push((copy.ended, state, words, String::new()));
    }
    proofs.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let line = |(at, state, sentence, evidence)| ProofLine {
        mark: Mark::of(Some(state), ""),
        sentence,
        evidence,
        at: When::past(at, app.now()),
    };
    Ok(proofs.into_iter().map(line).collect())
}

fn judged(verdict: &Verdict, done: &str) -> (State, String) {
    match verdict {
        Verdict::Good => (State::Good, done.to_owned()),
        Verdict::Incomplete(why) => (State::Incomplete, format!("{done}, incomplete: {why}")),
        Verdict::Failed(why) => (State::Failed, format!("Failed: {why}")),
    }
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

fn run_line(run: &Run, app: &App) -> RunLine {
    let (at, words) = match &run.state {
        RunState::Running => (run.started, format!("{} % done", run.progress.percent())),
        RunState::Ended { at, outcome } => (*at, ended(run, *at, outcome)),
    };
    let missed = match &run.state {
        RunState::Ended { outcome: Outcome::Incomplete { missed, .. }, .. } => missed.as_slice(),
        _ => &[],
    };
    RunLine {
        id: run.id.to_string(),
        mark: Mark::of(Some(run.state()), what(run.kind)),
        sentence: format!("{}, {words}", capital(what(run.kind))),
        at: When::past(at, app.now()),
        missed: missed.iter().map(|Missed { what, why }| (what.clone(), why.clone())).collect(),
    }
}

fn ended(run: &Run, at: jiff::Timestamp, outcome: &Outcome) -> String {
    let seconds = at.duration_since(run.started).as_secs().max(0);
    let took = match seconds {
        ..90 => format!("{seconds} s"),
        90..5_400 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    };
    match outcome {
        Outcome::Good => {
            let amount = run.progress.amount;
            let size = fleet::size_in_words;
            format!("good: {} read, {} new, in {took}", size(amount.total), size(amount.new))
        }
        other => format!("{}, after {took}", other.words()),
    }
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
