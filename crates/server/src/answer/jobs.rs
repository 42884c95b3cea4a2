//! Jobs, as JSON: what was asked for at a machine, calling it back, and putting something back.

use api::answer::Asked;
use api::answer::backups::{Job, Jobs, NewRestore};
use api::wire::agent::RestoreTo;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use fleet::MachineId;
use store::JobRow;

use super::{Refused, identity};
use crate::app::App;
use crate::form::Sent;
use crate::pages::{acts, snapshots};
use crate::problem::Problem;
use crate::visitor::Caller;
use crate::when::exact;

/// Jobs in one answer.
const MOST: u64 = 50;

/// Paths that are asked for at once.
const PATHS: usize = 100;

#[utoipa::path(get, path = "/api/v1/machines/{machine}/jobs", params(("machine" = String, Path, description = "Whose")), responses(
    (status = 200, description = "The machine's newest jobs", body = Jobs),
    Refused,
))]
pub(crate) async fn list(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<Jobs>, Problem> {
    let id: MachineId = identity(&id)?;
    let view = app.store.within(&caller.scope);
    view.machine(id).await?;
    let jobs = view.jobs(id, MOST).await?;
    Ok(Json(Jobs { jobs: jobs.into_iter().map(of_job).collect() }))
}

fn of_job(row: JobRow) -> Job {
    let JobRow { job, asked_by, .. } = row;
    let (kind, state) = (job.kind.word().into(), job.state.word().into());
    Job { id: job.id.to_string(), kind, state, due: exact(job.due), asked_by }
}

#[utoipa::path(post, path = "/api/v1/jobs/{job}/cancel", params(("job" = String, Path, description = "Which")), responses(
    (status = 204, description = "It is called back; what is done of it stays"),
    Refused,
))]
pub(crate) async fn cancel(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    acts::call_back(&app, &caller, identity(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/api/v1/machines/{machine}/restore", params(("machine" = String, Path, description = "Where")),
    request_body = NewRestore, responses(
    (status = 202, description = "It is asked for; the machine begins when it can", body = Asked),
    Refused,
))]
pub(crate) async fn restore(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Sent(new): Sent<NewRestore>,
) -> Result<(StatusCode, Json<Asked>), Problem> {
    let id: MachineId = identity(&id)?;
    if new.paths.len() > PATHS {
        return Err(Problem::Invalid(format!("At most {PATHS} paths are put back at once.")));
    }
    let to = match new.to.as_str() {
        "new_folder" => RestoreTo::NewFolder,
        "missing_only" => RestoreTo::MissingOnly,
        _ => return Err(Problem::Invalid("Where to is new_folder or missing_only.".into())),
    };
    let back = acts::Wanted { snapshot: snapshots::snapshot(&new.snapshot)?, paths: new.paths, to };
    let job = acts::ask_for_restore(&app, &caller, id, back, &new.request.unwrap_or_default()).await?;
    Ok((StatusCode::ACCEPTED, Json(Asked { job: job.to_string() })))
}
