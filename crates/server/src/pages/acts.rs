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

/// Why a file in an image of a disk is not put back.
const IN_IMAGE: &str = "What is in an image of a disk is not put over a running system: download it.";

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
    let machine = call_back(&app, &visitor, id).await?;
    Ok(see(&Just::at(&format!("/machines/{machine}"), "cancelled", machine)))
}

/// Calls a job back that is not over; whose it is.
pub(crate) async fn call_back(app: &App, visitor: &Visitor, job: JobId) -> Result<MachineId, Problem> {
    let view = app.store.within(&visitor.scope);
    let machine = view.job(job).await?.job.machine;
    view.cancel_job(job).await?;
    app.calls.soon.notify_one();
    Ok(machine)
}

/// `POST /machines/{machine}/release`
pub(crate) async fn release(
    Shared(app): Shared<App>,
    Path(id): Path<MachineId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    believe_again(&app, &visitor, id).await?;
    Ok(see(&Just::at(&format!("/machines/{id}"), "released-machine", id)))
}

/// Believes a quarantined machine again.
pub(crate) async fn believe_again(app: &App, visitor: &Visitor, id: MachineId) -> Result<(), Problem> {
    let view = app.store.within(&visitor.scope);
    view.change_machine(id, MachineChange::Release).await?;
    let machine = view.machine(id).await?;
    crate::judge::observed(app, machine.tenant, Observation::of_identity(&machine, None)).await
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
    let to = match back.to {
        To::NewFolder => RestoreTo::NewFolder,
        To::MissingOnly => RestoreTo::MissingOnly,
    };
    let (request, paths) = (of_this(&back), vec![back.path]);
    ask_for_restore(&app, &visitor, machine, Wanted { snapshot, paths, to }, &request).await?;
    Ok(see(&Just::at(&format!("/machines/{machine}"), "restoring", machine)))
}

/// What is wanted back.
pub(crate) struct Wanted {
    /// From which snapshot.
    pub(crate) snapshot: String,
    /// Paths as they were typed; none, or the top: all of it.
    pub(crate) paths: Vec<String>,
    /// Where to.
    pub(crate) to: RestoreTo,
}

/// Asks for a restore; the job.
pub(crate) async fn ask_for_restore(
    app: &App,
    visitor: &Visitor,
    machine: MachineId,
    wanted: Wanted,
    request: &str,
) -> Result<JobId, Problem> {
    let Wanted { snapshot, paths, to } = wanted;
    let is_all = paths.iter().any(|path| path.is_empty() || path == "/");
    let paths = if is_all { Vec::new() } else { paths };
    let paths: Vec<String> = paths.iter().map(|path| snapshots::path(path)).collect::<Result<_, _>>()?;
    if paths.iter().any(|path| snapshots::opened::in_image(path)) {
        return Err(Problem::Invalid(IN_IMAGE.into()));
    }
    let order = Order::Restore { snapshot, paths, to };
    ask(app, visitor, machine, JobKind::Restore, (request, &order)).await
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
