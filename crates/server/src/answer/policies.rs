//! Policies, as JSON: the same fields as their form, and what they mean in sentences.

use api::answer::firm::{NewPolicy, Policies, Policy, Preview};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use continuity::Act;
use fleet::{Destination, PolicyId, TenantId};

use super::{Refused, identity};
use crate::app::App;
use crate::form::Sent;
use crate::pages::policies::{PolicyForm, mine};
use crate::problem::Problem;
use crate::visitor::{Caller, Visitor};

#[utoipa::path(get, path = "/api/v1/policies", responses(
    (status = 200, description = "The policies of firms that the asker may set up", body = Policies),
    Refused,
))]
pub(crate) async fn list(State(app): State<App>, Caller(caller): Caller) -> Result<Json<Policies>, Problem> {
    caller.must(Act::Configure)?;
    let view = app.store.within(&caller.scope);
    let mut policies = Vec::new();
    for tenant in view.tenants().await?.into_iter().filter(|tenant| caller.scope.may(Act::Configure, tenant.id)) {
        let destinations = view.destinations(tenant.id).await?;
        for policy in view.policies(tenant.id).await? {
            policies.push(shown(&policy, &destinations)?);
        }
    }
    Ok(Json(Policies { policies }))
}

fn shown(policy: &fleet::Policy, destinations: &[Destination]) -> Result<Policy, Problem> {
    Ok(Policy {
        id: policy.id.to_string(),
        tenant: policy.tenant.to_string(),
        name: policy.name.clone(),
        sentences: policy.preview(destinations),
        fields: PolicyForm::of(policy)?.fields,
    })
}

#[utoipa::path(post, path = "/api/v1/policies", request_body = NewPolicy, responses(
    (status = 200, description = "It is saved, and means this", body = Policy),
    Refused,
))]
pub(crate) async fn save(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewPolicy>,
) -> Result<Json<Policy>, Problem> {
    let (policy, destinations) = meant(&app, &caller, new).await?;
    app.store.within(&caller.scope).save_policy(&policy).await?;
    Ok(Json(shown(&policy, &destinations)?))
}

/// The policy that is meant, and the destinations that it may name.
async fn meant(app: &App, caller: &Visitor, new: NewPolicy) -> Result<(fleet::Policy, Vec<Destination>), Problem> {
    let tenant: TenantId = identity(&new.tenant)?;
    caller.must_on(Act::Configure, tenant)?;
    let destinations = app.store.within(&caller.scope).destinations(tenant).await?;
    let id = match new.id.as_deref() {
        None => PolicyId::made(app.now(), app.random()?),
        Some(id) => mine(app, caller, identity(id)?).await?.id,
    };
    let form = PolicyForm { tenant, id: Some(id), fields: new.fields };
    let policy = form.meant(id, &destinations).map_err(Problem::Invalid)?;
    Ok((policy, destinations))
}

#[utoipa::path(post, path = "/api/v1/policies/preview", request_body = NewPolicy, responses(
    (status = 200, description = "What it would mean; nothing is saved", body = Preview),
    Refused,
))]
pub(crate) async fn preview(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewPolicy>,
) -> Result<Json<Preview>, Problem> {
    let (policy, destinations) = meant(&app, &caller, new).await?;
    Ok(Json(Preview { sentences: policy.preview(&destinations) }))
}

#[utoipa::path(post, path = "/api/v1/policies/{policy}/remove", params(("policy" = String, Path, description = "Which")), responses(
    (status = 204, description = "It is removed"),
    Refused,
))]
pub(crate) async fn remove(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let policy = mine(&app, &caller, identity(&id)?).await?;
    app.store.within(&caller.scope).remove_policy(policy.id, policy.tenant).await?;
    Ok(StatusCode::NO_CONTENT)
}
