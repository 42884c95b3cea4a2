//! What a firm set up, as JSON: clients, pauses, and its audit log.

use api::answer::firm::{AuditLine, AuditLog, Client, Clients, NewClient, NewPause};
use api::answer::people::Made;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use continuity::Act;
use fleet::{KeyCustody, TenantId};
use serde::Deserialize;
use store::{AuditEntry, MachineChange};
use utoipa::IntoParams;

use super::{Refused, identity};
use crate::app::App;
use crate::form::Sent;
use crate::pages::{audit, client, machine};
use crate::problem::Problem;
use crate::visitor::Caller;
use crate::when::exact;

/// Lines of an audit log in one answer.
const LINES: u64 = 200;

#[utoipa::path(post, path = "/api/v1/machines/{machine}/pause", params(("machine" = String, Path, description = "Which")),
    request_body = NewPause, responses(
    (status = 204, description = "No run starts until the pause ends"),
    Refused,
))]
pub(crate) async fn pause(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Sent(new): Sent<NewPause>,
) -> Result<StatusCode, Problem> {
    machine::pause_for(&app, &caller, identity(&id)?, &new.reason, new.hours).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/api/v1/machines/{machine}/resume", params(("machine" = String, Path, description = "Which")), responses(
    (status = 204, description = "Runs start again"),
    Refused,
))]
pub(crate) async fn resume(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    machine::change(&app, &caller, identity(&id)?, MachineChange::Pause(None)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(get, path = "/api/v1/clients", responses(
    (status = 200, description = "The clients within sight, by name", body = Clients),
    Refused,
))]
pub(crate) async fn clients(State(app): State<App>, Caller(caller): Caller) -> Result<Json<Clients>, Problem> {
    let one = |client: fleet::Client| Client {
        id: client.id.to_string(),
        tenant: client.tenant.to_string(),
        zone: client.zone.name().to_owned(),
        name: client.name,
        custody: if client.custody == KeyCustody::Managed { "managed" } else { "blind" }.into(),
        sheet_confirmed: client.sheet_confirmed.map(exact),
    };
    let clients = app.store.within(&caller.scope).clients().await?;
    Ok(Json(Clients { clients: clients.into_iter().map(one).collect() }))
}

#[utoipa::path(post, path = "/api/v1/clients", request_body = NewClient, responses(
    (status = 201, description = "The client is there", body = Made),
    Refused,
))]
pub(crate) async fn add_client(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewClient>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let tenant = identity(&new.tenant)?;
    caller.must_on(Act::Configure, tenant)?;
    let added = client::new(&app, &caller, tenant, &new.name, &new.zone).await?.map_err(Problem::Invalid)?;
    Ok((StatusCode::CREATED, Json(Made { id: added.to_string() })))
}

/// Whose log, and from where.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Whose; none: of the first firm that the asker may set up.
    tenant: Option<String>,
    /// Lines before this one; none: the newest.
    before: Option<u64>,
}

impl Asked {
    fn tenant(&self) -> Result<Option<TenantId>, Problem> {
        self.tenant.as_deref().map(identity).transpose()
    }
}

#[utoipa::path(get, path = "/api/v1/audit", params(Asked), responses(
    (status = 200, description = "The newest lines, and whether the chain is whole", body = AuditLog),
    Refused,
))]
pub(crate) async fn audit(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<AuditLog>, Problem> {
    let tenant = audit::whose(&app, &caller, asked.tenant()?).await?;
    let view = app.store.within(&caller.scope);
    let verified = view.verify_audit(tenant).await?;
    let lines = view.audit_newest(tenant, asked.before, LINES).await?;
    Ok(Json(AuditLog {
        tenant: tenant.to_string(),
        whole: verified.is_ok(),
        verdict: verified
            .map_or_else(|error| error.to_string(), |chain| format!("{} lines, all verified", chain.lines)),
        next: lines.last().map(|line| line.number).filter(|number| *number > 1),
        lines: lines.into_iter().map(of_line).collect(),
    }))
}

/// Whose log.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Whose {
    /// Of which tenant; none: of the first firm that the asker may set up.
    tenant: Option<String>,
}

#[utoipa::path(get, path = "/api/v1/audit/export", params(Whose), responses(
    (status = 200, description = "The whole chain, a line of JSON for each act; `stead server audit verify` judges it",
        content_type = "application/jsonl", body = String),
    Refused,
))]
pub(crate) async fn export(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(whose): Query<Whose>,
) -> Result<Response, Problem> {
    let tenant = whose.tenant.as_deref().map(identity).transpose()?;
    let tenant = audit::whose(&app, &caller, tenant).await?;
    Ok(audit::exported(app, caller.scope, tenant))
}

fn of_line(entry: AuditEntry) -> AuditLine {
    let AuditEntry { number, at, actor, act, about, detail, hash, .. } = entry;
    AuditLine { number, at: exact(at), by: actor.name, act, about, detail, hash }
}
