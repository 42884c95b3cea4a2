//! Now: what a machine does at this moment, on its page, and again whenever it changes.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::extract::{Path, State as Shared};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use fleet::{MachineId, Run, RunState, Zone};
use futures_util::{Stream, StreamExt, stream};
use jiff::Timestamp;

use crate::app::App;
use crate::pages::machine::{capital, what};
use crate::parts::Ring;
use crate::problem::Problem;
use crate::visitor::Visitor;
use crate::when::When;

/// How often it is looked whether something changed. Everybody who looks sees the same, because all read the store.
const LOOK: Duration = Duration::from_secs(1);

/// A stream ends after this long; the browser asks again, and is judged again.
const LONGEST: Duration = Duration::from_secs(300);

/// What a machine does now.
#[derive(Template, PartialEq, Eq)]
#[template(path = "now.html")]
pub(crate) struct Now {
    run: Option<Going>,
    idle: String,
}

impl HtmlSafe for Now {}

#[derive(PartialEq, Eq)]
struct Going {
    ring: Ring,
    title: String,
    words: String,
    heard: String,
}

impl Now {
    /// From its newest runs.
    pub(crate) fn of(runs: &[Run], zone: &Zone, now: Timestamp) -> Now {
        let going = runs.iter().find(|run| run.state == RunState::Running);
        let idle = match runs.first() {
            None => "Nothing runs, and nothing ever ran.".into(),
            Some(run) => {
                format!("Nothing runs. The last {} began {}.", what(run.kind), When::past(run.started, now).words)
            }
        };
        Now { run: going.map(|run| Going::of(run, zone, now)), idle }
    }
}

impl Going {
    fn of(run: &Run, zone: &Zone, now: Timestamp) -> Going {
        let began = When::past(run.started, now).words;
        let heard = match run.progress.at {
            Some(at) => format!("Began {began}, last heard of {}.", When::past(at, now).words),
            None => format!("Began {began}, and has not reported yet."),
        };
        let title = capital(what(run.kind));
        Going { ring: Ring::of(&run.progress), title, words: run.progress.words(zone), heard }
    }
}

/// `GET /machines/{machine}/live`
pub(crate) async fn live(
    Shared(app): Shared<App>,
    visitor: Visitor,
    Path(id): Path<MachineId>,
) -> Result<Response, Problem> {
    // Refused now rather than in the stream.
    read(&app, &visitor, id).await?;
    let stream = regions(app.clone(), visitor, id).take_until(Box::pin(over(app)));
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))).into_response())
}

pub(crate) async fn over(app: App) {
    _ = tokio::time::timeout(LONGEST, app.stopped()).await;
}

/// Until the next full second: whoever looks, at whichever server, looks at the same moments, and two people on the phone see
/// the same figure.
fn until_next(now: Timestamp) -> Duration {
    LOOK.saturating_sub(Duration::from_nanos(u64::try_from(now.subsec_nanosecond()).unwrap_or_default()))
}

/// The region whenever it changed; ends when it can be read no more, as when a grant has ended.
fn regions(app: App, visitor: Visitor, id: MachineId) -> impl Stream<Item = Result<Event, Infallible>> {
    let start = (app, visitor, None::<Now>);
    stream::unfold(start, move |(app, visitor, shown)| async move {
        loop {
            tokio::time::sleep(until_next(app.now())).await;
            let visitor_now = visitor.again(&app).await.ok()?;
            let now = read(&app, &visitor_now, id).await.ok()?;
            if shown.as_ref() != Some(&now) {
                let event = Event::default().event("region").data(now.render().ok()?.replace('\r', " "));
                return Some((Ok(event), (app, visitor, Some(now))));
            }
        }
    })
}

async fn read(app: &App, visitor: &Visitor, id: MachineId) -> Result<Now, Problem> {
    let view = app.store.within(&visitor.scope);
    let machine = view.machine(id).await?;
    let zone = view.client(machine.client).await?.zone;
    let runs: Vec<Run> = view.runs(id, 10).await?.into_iter().map(|row| row.run).collect();
    Ok(Now::of(&runs, &zone, app.now()))
}
