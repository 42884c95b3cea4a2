//! Silences: messages about something are held back for a while, with a reason; the red stays.

use axum::extract::{Path, State};
use axum::response::Response;
use fleet::{AlertId, ClientId, Silence, SilenceId, SilenceScope, Subject};
use jiff::ToSpan;
use serde::Deserialize;

use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::Just;
use crate::problem::{Problem, see};
use crate::visitor::Visitor;
use crate::when::clock;

/// How many are read.
const MOST: u64 = 200;

/// A silence that holds, on a page.
pub(crate) struct Held {
    pub(crate) id: SilenceId,
    pub(crate) scope: SilenceScope,
    pub(crate) sentence: String,
}

/// Those that hold now, the last to end first.
pub(crate) async fn holding(app: &App, visitor: &Visitor) -> Result<Vec<Silence>, Problem> {
    let now = app.now();
    let mut all = app.store.within(&visitor.scope).silences(MOST).await?;
    all.retain(|silence| silence.until > now);
    Ok(all)
}

/// The same, for a page.
pub(crate) async fn held(app: &App, visitor: &Visitor) -> Result<Vec<Held>, Problem> {
    Ok(holding(app, visitor).await?.iter().map(|silence| of(app, silence)).collect())
}

fn of(app: &App, silence: &Silence) -> Held {
    let until = clock(silence.until, &app.facade.zone);
    let held_back = match silence.suppressed {
        0 => String::new(),
        1 => " 1 message was held back.".into(),
        more => format!(" {more} messages were held back."),
    };
    let what = match silence.scope {
        SilenceScope::Client(_) => "A client".to_owned(),
        SilenceScope::Site(_) => "A site".into(),
        SilenceScope::Machine(_) => "A machine".into(),
        SilenceScope::Condition(_, condition) => format!("One condition of a machine ({})", condition.word()),
    };
    let sentence = format!("{what}, silenced by {} until {until}: {}.{held_back}", silence.by.name, silence.reason);
    Held { id: silence.id, scope: silence.scope, sentence }
}

#[derive(Deserialize)]
pub(crate) struct Wish {
    pub(crate) reason: String,
    pub(crate) hours: u16,
}

/// `POST /clients/{client}/silence`
pub(crate) async fn client(
    State(app): State<App>,
    Path(client): Path<ClientId>,
    Signed(visitor, wish): Signed<Wish>,
) -> Result<Response, Problem> {
    let id = begin(&app, &visitor, SilenceScope::Client(client), wish).await?;
    Ok(see(&Just::at(&format!("/clients/{client}"), "silenced", id)))
}

/// `POST /alerts/{alert}/silence`
pub(crate) async fn alert(
    State(app): State<App>,
    Path(alert): Path<AlertId>,
    Signed(visitor, wish): Signed<Wish>,
) -> Result<Response, Problem> {
    let scope = of_alert(&app, &visitor, alert).await?;
    let id = begin(&app, &visitor, scope, wish).await?;
    Ok(see(&Just::at("/alerts", "silenced", id)))
}

/// What is silenced with an alert.
pub(crate) async fn of_alert(app: &App, visitor: &Visitor, alert: AlertId) -> Result<SilenceScope, Problem> {
    let open = app.store.within(&visitor.scope).open_alerts(MOST).await?;
    let found = open.into_iter().find(|found| found.id == alert).ok_or(Problem::NotFound)?;
    match found.key.subject {
        Subject::Machine(_, machine) => Ok(SilenceScope::Condition(machine, found.key.condition)),
        Subject::Site(_, site) => Ok(SilenceScope::Site(site)),
        Subject::Ourselves => Err(Problem::Conflict("Alerts about this server itself cannot be silenced.".into())),
    }
}

/// Begins a silence.
pub(crate) async fn begin(app: &App, visitor: &Visitor, scope: SilenceScope, wish: Wish) -> Result<SilenceId, Problem> {
    let from = app.now();
    let until = from.checked_add(i64::from(wish.hours).hours()).map_err(|error| Problem::Invalid(error.to_string()))?;
    let id = SilenceId::made(from, app.random()?);
    let by = visitor.person.actor();
    let silence = Silence { id, scope, by, reason: wish.reason.trim().into(), from, until, suppressed: 0 };
    app.store.within(&visitor.scope).add_silence(&silence).await?;
    Ok(id)
}

/// `POST /silences/{silence}/end`
pub(crate) async fn end(
    State(app): State<App>,
    Path(id): Path<SilenceId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    app.store.within(&visitor.scope).end_silence(id).await?;
    Ok(see(&Just::at("/alerts", "silence-ended", id)))
}
