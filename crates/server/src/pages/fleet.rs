//! The fleet: one true sentence, counters that are filters, machines in groups of their clients, the worst first.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State as Shared};
use axum::response::{IntoResponse, Redirect, Response};
use fleet::{Alert, State, Subject};
use serde::Deserialize;
use store::{Card, Counts, FleetFilter, PageMark};

use crate::app::App;
use crate::page::{Frame, Just, Place, show};
use crate::pages::live::{self, Part};
use crate::pages::row::{self, Group};
use crate::parts::Mark;
use crate::problem::Problem;
use crate::visitor::Visitor;
use crate::when::When;

/// Machines on one page.
const MACHINES: u64 = 50;

/// Alerts that are looked through for those about the server itself.
const ALERTS: u64 = 200;

#[derive(Template)]
#[template(path = "fleet.html")]
struct FleetPage {
    frame: Frame,
    sentence: String,
    checked: String,
    /// What is wrong with the server itself, each with its place among the alerts.
    ourselves: Vec<(String, String)>,
    chips: Vec<Chip>,
    find: String,
    groups: Vec<Group>,
    live: String,
    after: Option<String>,
}

/// A counter that is a filter.
struct Chip {
    address: String,
    mark: Option<Mark>,
    count: u64,
    word: &'static str,
    current: bool,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    state: String,
    #[serde(default)]
    find: String,
    after: Option<String>,
    #[serde(flatten)]
    just: Just,
}

impl Asked {
    fn filter(&self) -> FleetFilter {
        let name = self.find.trim();
        let name = (!name.is_empty()).then(|| name.chars().take(100).collect());
        FleetFilter { state: State::of_word(&self.state), client: None, name }
    }
}

/// `GET /`
pub(crate) async fn get(
    Shared(app): Shared<App>,
    visitor: Result<Visitor, Problem>,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let visitor = match visitor {
        Err(Problem::SignIn) => return Ok(Redirect::to("/sign-in").into_response()),
        visitor => visitor?,
    };
    let view = app.store.within(&visitor.scope);
    let filter = asked.filter();
    let mark = asked.after.as_deref().and_then(read_mark);
    let page = view.fleet(&filter, mark.as_ref(), MACHINES).await?;
    let clients = view.clients().await?;
    let page = FleetPage {
        frame: Frame::new("Fleet", Place::Fleet, &visitor, &asked.just),
        sentence: row::sentence(&page.counts),
        checked: checked(&page.cards, &app),
        ourselves: ourselves(view.open_alerts(ALERTS).await?),
        chips: chips(&page.counts, filter.state),
        groups: row::groups(&page.cards, &clients),
        after: page.next.as_ref().map(|mark| next_page(mark, &asked)),
        live: live_address(&asked),
        find: asked.find,
    };
    Ok(show(&page)?.into_response())
}

/// Alerts that are about no machine: no card shows them.
fn ourselves(alerts: Vec<Alert>) -> Vec<(String, String)> {
    let ours = alerts.into_iter().filter(|alert| alert.key.subject == Subject::Ourselves);
    ours.map(|alert| (format!("/alerts/{}", alert.id), alert.sentence)).collect()
}

/// How often it is looked whether something changed.
const LOOK: Duration = Duration::from_secs(2);

/// What there is to know in one sentence, and how many machines stand how.
#[derive(Template)]
#[template(path = "counts.html")]
struct CountsPart {
    sentence: String,
    checked: String,
    chips: Vec<Chip>,
}

/// The machines of a page, as they are again and again.
#[derive(Template)]
#[template(path = "machines.html")]
struct Machines {
    groups: Vec<Group>,
}

/// `GET /live`
pub(crate) async fn live(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    // Refused now rather than in the stream.
    parts(&app, &visitor, &asked).await?;
    let asked = Arc::new(asked);
    Ok(live::answer(app, visitor, LOOK, move |app, visitor| {
        let asked = Arc::clone(&asked);
        async move { parts(&app, &visitor, &asked).await }
    }))
}

/// What moves by itself.
async fn parts(app: &App, visitor: &Visitor, asked: &Asked) -> Result<Vec<Part>, Problem> {
    let view = app.store.within(&visitor.scope);
    let mark = asked.after.as_deref().and_then(read_mark);
    let page = view.fleet(&asked.filter(), mark.as_ref(), MACHINES).await?;
    let groups = row::groups(&page.cards, &view.clients().await?);
    let counts = CountsPart {
        sentence: row::sentence(&page.counts),
        checked: checked(&page.cards, app),
        chips: chips(&page.counts, asked.filter().state),
    };
    Ok(vec![Part::of("counts", &counts)?, Part::of("region", &Machines { groups })?])
}

/// Where the same machines are told as they change.
fn live_address(asked: &Asked) -> String {
    let pairs = [
        ("state", asked.state.as_str()),
        ("find", asked.find.as_str()),
        ("after", asked.after.as_deref().unwrap_or_default()),
    ];
    let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    format!("/live?{}", serde_urlencoded::to_string(pairs).unwrap_or_default())
}

/// When the oldest of the answers on the page was found.
fn checked(cards: &[Card], app: &App) -> String {
    let oldest = cards.iter().map(|card| card.judged).min();
    oldest.map_or_else(String::new, |judged| match When::past(judged, app.now()).words.as_str() {
        "now" => "Checked just now.".into(),
        words => format!("Checked {words}."),
    })
}

fn chips(counts: &Counts, current: Option<State>) -> Vec<Chip> {
    let all = Chip { address: "/".into(), mark: None, count: counts.all(), word: "all", current: current.is_none() };
    let of = |state: State| Chip {
        address: format!("/?state={}", state.word()),
        mark: Some(Mark::of(Some(state), "")),
        count: counts.of(state),
        word: state.word(),
        current: current == Some(state),
    };
    let states = State::ALL.into_iter().rev().filter(|state| counts.of(*state) > 0 || current == Some(*state));
    [all].into_iter().chain(states.map(of)).filter(|chip| chip.count > 0 || chip.current).collect()
}

fn next_page(mark: &PageMark, asked: &Asked) -> String {
    let after = mark_text(mark);
    let pairs = [("state", asked.state.as_str()), ("find", asked.find.as_str()), ("after", after.as_str())];
    let pairs: Vec<_> = pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    format!("/?{}", serde_urlencoded::to_string(pairs).unwrap_or_default())
}

/// A mark as an address carries it.
pub(crate) fn mark_text(mark: &PageMark) -> String {
    format!("{}.{}.{}", mark.rank, mark.machine, mark.name)
}

/// Rank, machine and name of a page's last machine. What is no mark leads to the first page.
pub(crate) fn read_mark(text: &str) -> Option<PageMark> {
    let mut parts = text.splitn(3, '.');
    let rank = parts.next()?.parse().ok()?;
    let machine = parts.next()?.parse().ok()?;
    Some(PageMark { rank, machine, name: parts.next()?.to_owned() })
}
