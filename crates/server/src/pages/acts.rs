//! Acts on a machine: back up now, call a job back, put files back, believe it again. Each leaves a line in the log.

use api::wire::agent::{Order, RestoreTo};
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use fleet::{JobId, JobKey, JobKind, MachineId, Observation, Selection};
use serde::Deserialize;
use store::{MachineChange, NewJob};

use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::Just;
use crate::pages::snapshots;
use crate::problem::{Problem, see};
use crate::token;
use crate::visitor::Visitor;

/// A wish to back up; `request` is the same when a form is sent twice.
#[derive(Deserialize)]
pub(crate) struct Wish {
    #[serde(default)]
    request: String,
}

/// `POST /machines/{machine}/backup`
pub(crate) async fn back_up(
    Shared(app): Shared<App>,
    Path(id): Path<MachineId>,
    Signed(visitor, wish): Signed<Wish>,
) -> Result<Response, Problem> {
    ask_for_backup(&app, &visitor, id, &wish.request, None).await?;
    Ok(see(&Just::at(&format!("/machines/{id}"), "asked", id)))
}

/// Why a machine without an agent is asked for nothing.
const NO_AGENT: &str = "Plain restic backs this machine up, by its own script: nothing can be asked of it from here.";

/// Asks for a backup, of this or of what the policy names; the job.
pub(crate) async fn ask_for_backup(
    app: &App,
    visitor: &Visitor,
    machine: MachineId,
    request: &str,
    what: Option<Vec<Selection>>,
) -> Result<JobId, Problem> {
    let order = Order::Backup { what };
    ask(app, visitor, machine, JobKind::Backup, (request, &order)).await
}

async fn ask(
    app: &App,
    visitor: &Visitor,
    machine: MachineId,
    kind: JobKind,
    (request, order): (&str, &Order),
) -> Result<JobId, Problem> {
    let (now, view) = (app.now(), app.store.within(&visitor.scope));
    if !view.tended(machine).await?.by_agent {
        return Err(Problem::Conflict(NO_AGENT.into()));
    }
    let id = JobId::made(now, app.random()?);
    let request: String = request.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    let request = if request.is_empty() { id.to_string() } else { request };
    let key = JobKey::requested(machine, kind, &request);
    let orders = serde_json::to_string(order).map_err(|error| Problem::internal("write an order", error))?;
    let job = view.ask_for(&NewJob { id, machine, kind, key, due: now, orders }).await?;
    app.calls.soon.notify_one();
    Ok(job)
}

/// `POST /jobs/{job}/cancel`
pub(crate) async fn cancel(
    Shared(app): Shared<App>,
    Path(id): Path<JobId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let machine = view.job(id).await?.job.machine;
    view.cancel_job(id).await?;
    app.calls.soon.notify_one();
    Ok(see(&Just::at(&format!("/machines/{machine}"), "cancelled", machine)))
}

/// `POST /machines/{machine}/release`
pub(crate) async fn release(
    Shared(app): Shared<App>,
    Path(id): Path<MachineId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    view.change_machine(id, MachineChange::Release).await?;
    let machine = view.machine(id).await?;
    crate::judge::observed(&app, machine.tenant, Observation::of_identity(&machine, None)).await?;
    Ok(see(&Just::at(&format!("/machines/{id}"), "released-machine", id)))
}

/// What is to be put back.
#[derive(Deserialize)]
pub(crate) struct Back {
    snapshot: String,
    path: String,
    to: To,
    #[serde(default)]
    request: String,
}

/// Where to. Overwriting is not asked for from a page.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum To {
    NewFolder,
    MissingOnly,
}

/// `POST /machines/{machine}/restore`
pub(crate) async fn restore(
    Shared(app): Shared<App>,
    Path(machine): Path<MachineId>,
    Signed(visitor, back): Signed<Back>,
) -> Result<Response, Problem> {
    let snapshot = snapshots::snapshot(&back.snapshot)?;
    let paths = match back.path.as_str() {
        "" | "/" => Vec::new(),
        path => vec![snapshots::path(path)?],
    };
    let to = match back.to {
        To::NewFolder => RestoreTo::NewFolder,
        To::MissingOnly => RestoreTo::MissingOnly,
    };
    let order = Order::Restore { snapshot, paths, to };
    let request = of_this(&back);
    ask(&app, &visitor, machine, JobKind::Restore, (&request, &order)).await?;
    Ok(see(&Just::at(&format!("/machines/{machine}"), "restoring", machine)))
}

/// A page has one mark for all of its buttons: the same button twice is one request, another button is another.
fn of_this(back: &Back) -> String {
    let wish = format!("{}\0{}\0{:?}\0{}", back.snapshot, back.path, back.to, back.request);
    hex::encode(token::sha256(wish.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_button_that_is_pressed_twice_is_one_request_and_another_one_is_another() {
        let pressed = |path: &str, to, request: &str| {
            of_this(&Back { snapshot: "ab".into(), path: path.into(), to, request: request.into() })
        };
        let once = pressed("/a", To::MissingOnly, "1");
        assert_eq!(once, pressed("/a", To::MissingOnly, "1"));
        let others = [("/b", To::MissingOnly, "1"), ("/a", To::NewFolder, "1"), ("/a", To::MissingOnly, "2")];
        for (path, to, request) in others {
            assert_ne!(once, pressed(path, to, request), "{path} {to:?} {request}");
        }
        assert_eq!(once.len(), 64, "all of it counts");
    }
}
