//! What a firm set up, as JSON: clients, codes, pauses, and its audit log.

use api::answer::firm::{AuditLine, AuditLog, Client, Clients, Code, NewClient, NewCode, NewPause};
use api::answer::people::Made;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use continuity::Act;
use fleet::{KeyCustody, MachineClass, TenantId};
use serde::Deserialize;
use store::{AuditEntry, MachineChange};
use utoipa::IntoParams;

use super::{Refused, identity};
use crate::app::App;
use crate::form::Sent;
use crate::pages::enrol::{self, Fresh};
use crate::pages::{client, machine};
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

#[utoipa::path(post, path = "/api/v1/codes", request_body = NewCode, responses(
    (status = 201, description = "The code, told once", body = Code),
    Refused,
))]
pub(crate) async fn make_code(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewCode>,
) -> Result<(StatusCode, Json<Code>), Problem> {
    caller.must(Act::Configure)?;
    let classes = [MachineClass::Server, MachineClass::Workstation, MachineClass::Laptop];
    let class = classes.into_iter().find(|class| class.word() == new.class);
    let class = class.ok_or_else(|| Problem::Invalid("A class is server, workstation or laptop.".into()))?;
    let (client, policy) = (identity(&new.client)?, new.policy.unwrap_or_default());
    let wish = enrol::Wish { client, class, uses: new.uses, hours: new.hours, policy };
    let Fresh { id, text, expires } = enrol::fresh(&app, &caller, &wish).await?;
    let command = enrol::command(&app, &text);
    Ok((StatusCode::CREATED, Json(Code { id: id.to_string(), code: text, command, ends: exact(expires) })))
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

#[utoipa::path(get, path = "/api/v1/audit", params(Asked), responses(
    (status = 200, description = "The newest lines, and whether the chain is whole", body = AuditLog),
    Refused,
))]
pub(crate) async fn audit(
    State(app): State<App>,
    Caller(caller): Caller,
    Query(asked): Query<Asked>,
) -> Result<Json<AuditLog>, Problem> {
    caller.must(Act::Configure)?;
    let wanted: Option<TenantId> = asked.tenant.as_deref().map(identity).transpose()?;
    let view = app.store.within(&caller.scope);
    let mut ours = view.tenants().await?.into_iter().map(|tenant| tenant.id);
    let mine = |id: &TenantId| caller.scope.may(Act::Configure, *id) && wanted.is_none_or(|wanted| wanted == *id);
    let tenant = ours.find(mine).ok_or(Problem::NotFound)?;
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

fn of_line(entry: AuditEntry) -> AuditLine {
    let AuditEntry { number, at, actor, act, about, detail, hash, .. } = entry;
    AuditLine { number, at: exact(at), by: actor.name, act, about, detail, hash }
}
