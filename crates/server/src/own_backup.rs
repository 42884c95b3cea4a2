//! The server's own backup, as all servers on one database know it: when the last one was made, and what goes wrong since.
//! What goes wrong is an alert of the firm that was first on this server, until one is made again.

use fleet::{AlertKey, Condition, Finding, Observation, Subject, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use store::{Error, Result, Store};

use crate::app::App;
use crate::problem::Problem;
use crate::when::exact;

/// The server's settings that say so.
const LAST: &str = "own backup";
const TROUBLE: &str = "own backup trouble";

/// Characters of a reason.
const LONGEST: usize = 500;

/// What goes wrong, since when.
#[derive(Serialize, Deserialize)]
struct Trouble {
    since: Timestamp,
    why: String,
}

/// When the last one was made; none: never.
pub async fn last(store: &Store) -> Result<Option<Timestamp>> {
    Ok(store.system().setting(LAST).await?.and_then(|last| last.parse().ok()))
}

/// One was made: whatever went wrong before is over.
pub async fn made(store: &Store, at: Timestamp) -> Result<()> {
    if trouble(store).await?.is_some() {
        store.system().set_setting(TROUBLE, "").await?;
    }
    store.system().set_setting(LAST, &at.to_string()).await
}

/// One could not be made, and why, in words. It is an alert within seconds; told again, it goes on since it began.
pub async fn failed(store: &Store, why: &str, at: Timestamp) -> Result<()> {
    let since = trouble(store).await?.map_or(at, |known| known.since);
    let trouble = Trouble { since, why: why.chars().take(LONGEST).collect() };
    let text = serde_json::to_string(&trouble)
        .map_err(|error| Error::Conflict(format!("what goes wrong cannot be written: {error}")))?;
    store.system().set_setting(TROUBLE, &text).await
}

async fn trouble(store: &Store) -> Result<Option<Trouble>> {
    let text = store.system().setting(TROUBLE).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// The firm that hears of it, if something goes wrong now.
pub(crate) async fn troubled(app: &App) -> Result<Option<TenantId>, Problem> {
    match trouble(&app.store).await? {
        Some(_) => operator(app).await,
        None => Ok(None),
    }
}

/// The firm that was first on this server runs it.
async fn operator(app: &App) -> Result<Option<TenantId>, Problem> {
    Ok(app.store.system().tenants().await?.first().map(|tenant| tenant.id))
}

/// What is to be observed of it for a firm; none: it is not the one that hears of it.
pub(crate) async fn observation(app: &App, tenant: TenantId) -> Result<Option<Observation>, Problem> {
    if operator(app).await? != Some(tenant) {
        return Ok(None);
    }
    let finding = match trouble(&app.store).await? {
        Some(Trouble { since, why }) => {
            let since = exact(since);
            Finding::Wrong(format!("This server cannot back up itself since {since}: {why}. It is tried again."))
        }
        None => Finding::Fine,
    };
    Ok(Some(Observation { key: AlertKey { subject: Subject::Ourselves, condition: Condition::Backup }, finding }))
}
