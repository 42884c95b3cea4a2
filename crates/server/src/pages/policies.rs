//! Policies: what is done for machines, in plain words before anything is saved.

mod form;
mod road;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use continuity::Act;
use fleet::{Destination, Policy, PolicyId, TenantId};
use serde::Deserialize;

use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::{Frame, Just, Place, show};
use crate::pages::client::sentence;
use crate::problem::{Problem, see};
use crate::visitor::Visitor;

use form::Fields;
pub(crate) use form::PolicyForm;

#[derive(Template)]
#[template(path = "policies.html")]
struct PoliciesPage {
    frame: Frame,
    sentence: String,
    wrong: Option<String>,
    firms: Vec<Firm>,
}

struct Firm {
    id: TenantId,
    name: String,
    policies: Vec<(PolicyId, String, Vec<String>)>,
}

#[derive(Template)]
#[template(path = "policy.html")]
struct PolicyPage {
    frame: Frame,
    title: String,
    wrong: Option<String>,
    preview: Vec<String>,
    form: PolicyForm,
    destinations: Vec<(String, String, bool)>,
}

/// `GET /policies`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Query(just): Query<Just>,
) -> Result<Response, Problem> {
    visitor.must(Act::Configure)?;
    list(&app, &visitor, StatusCode::OK, &just, None).await
}

async fn list(
    app: &App,
    visitor: &Visitor,
    status: StatusCode,
    just: &Just,
    wrong: Option<String>,
) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let mut firms = Vec::new();
    for tenant in view.tenants().await? {
        if visitor.scope.may(Act::Configure, tenant.id) {
            let destinations = view.destinations(tenant.id).await?;
            let policies = view.policies(tenant.id).await?;
            let line = |policy: &Policy| (policy.id, policy.name.clone(), policy.preview(&destinations));
            firms.push(Firm { id: tenant.id, name: tenant.name, policies: policies.iter().map(line).collect() });
        }
    }
    let sentence = match firms.iter().map(|firm| firm.policies.len()).sum::<usize>() {
        0 => "There is no policy yet.".to_owned(),
        1 => "1 policy".into(),
        more => format!("{more} policies"),
    };
    let page = PoliciesPage { frame: Frame::new("Policies", Place::Settings, visitor, just), sentence, wrong, firms };
    Ok((status, show(&page)?).into_response())
}

/// What the editor shows beside the form.
#[derive(Default)]
struct Beside {
    wrong: Option<String>,
    preview: Vec<String>,
}

async fn edit(
    app: &App,
    visitor: &Visitor,
    status: StatusCode,
    form: PolicyForm,
    beside: Beside,
) -> Result<Response, Problem> {
    let destinations = app.store.within(&visitor.scope).destinations(form.tenant).await?;
    let choice = |destination: &Destination| {
        let field = format!("copy-{}", destination.id);
        let is_on = form.is_on(&field);
        (field, destination.name.clone(), is_on)
    };
    let page = PolicyPage {
        frame: Frame::new("Policy", Place::Settings, visitor, &Just::default()),
        title: if form.id.is_some() { form.text("name").to_owned() } else { "A new policy".into() },
        wrong: beside.wrong,
        preview: beside.preview,
        destinations: destinations.iter().map(choice).collect(),
        form,
    };
    Ok((status, show(&page)?).into_response())
}

#[derive(Deserialize)]
pub(crate) struct OfFirm {
    tenant: Option<TenantId>,
}

/// `GET /policies/new`
pub(crate) async fn new(
    State(app): State<App>,
    visitor: Visitor,
    Query(asked): Query<OfFirm>,
) -> Result<Response, Problem> {
    visitor.must(Act::Configure)?;
    let tenants = app.store.within(&visitor.scope).tenants().await?;
    let mut ours = tenants.into_iter().map(|tenant| tenant.id).filter(|id| visitor.scope.may(Act::Configure, *id));
    let tenant = match asked.tenant {
        Some(tenant) => ours.find(|ours| *ours == tenant),
        None => ours.next(),
    };
    let form = PolicyForm::usual(tenant.ok_or(Problem::NotFound)?, &app.facade.zone);
    edit(&app, &visitor, StatusCode::OK, form, Beside::default()).await
}

/// A policy that this visitor may change.
pub(crate) async fn mine(app: &App, visitor: &Visitor, id: PolicyId) -> Result<Policy, Problem> {
    let view = app.store.within(&visitor.scope);
    let mut is_seen = false;
    for tenant in view.tenants().await?.into_iter().filter(|tenant| visitor.scope.may(Act::LOOK, tenant.id)) {
        let found = view.policies(tenant.id).await?.into_iter().find(|policy| policy.id == id);
        match (found, visitor.scope.may(Act::Configure, tenant.id)) {
            (Some(policy), true) => return Ok(policy),
            (Some(_), false) => is_seen = true,
            (None, _) => {}
        }
    }
    Err(if is_seen { Problem::Forbidden(Act::Configure.word()) } else { Problem::NotFound })
}

/// `GET /policies/{policy}`
pub(crate) async fn one(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<PolicyId>,
) -> Result<Response, Problem> {
    let policy = mine(&app, &visitor, id).await?;
    let destinations = app.store.within(&visitor.scope).destinations(policy.tenant).await?;
    let beside = Beside { preview: policy.preview(&destinations), ..Beside::default() };
    edit(&app, &visitor, StatusCode::OK, PolicyForm::of(&policy)?, beside).await
}

#[derive(Deserialize)]
pub(crate) struct Typed {
    tenant: TenantId,
    #[serde(default)]
    id: String,
    #[serde(flatten)]
    fields: Fields,
}

/// `POST /policies`: shows what it would mean, or saves it.
pub(crate) async fn save(State(app): State<App>, Signed(visitor, typed): Signed<Typed>) -> Result<Response, Problem> {
    visitor.must_on(Act::Configure, typed.tenant)?;
    let id = match typed.id.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|_| Problem::NotFound)?),
    };
    let form = PolicyForm { tenant: typed.tenant, id, fields: typed.fields };
    let fresh = PolicyId::made(app.now(), app.random()?);
    let view = app.store.within(&visitor.scope);
    let destinations = view.destinations(typed.tenant).await?;
    let policy = match form.meant(id.unwrap_or(fresh), &destinations) {
        Ok(policy) => policy,
        Err(wrong) => {
            let beside = Beside { wrong: Some(wrong), ..Beside::default() };
            return edit(&app, &visitor, StatusCode::UNPROCESSABLE_ENTITY, form, beside).await;
        }
    };
    if form.text("do") == "preview" {
        let beside = Beside { preview: policy.preview(&destinations), ..Beside::default() };
        return edit(&app, &visitor, StatusCode::OK, form, beside).await;
    }
    if id.is_some() {
        mine(&app, &visitor, policy.id).await?;
    }
    view.save_policy(&policy).await?;
    Ok(see(&Just::at("/policies", "policy", policy.id)))
}

/// `POST /policies/{policy}/copy`
pub(crate) async fn copy(
    State(app): State<App>,
    Path(id): Path<PolicyId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    let mut policy = mine(&app, &visitor, id).await?;
    policy.id = PolicyId::made(app.now(), app.random()?);
    policy.name = format!("{} (copy)", policy.name.chars().take(90).collect::<String>());
    app.store.within(&visitor.scope).save_policy(&policy).await?;
    Ok(see(&format!("/policies/{}", policy.id)))
}

/// `POST /policies/{policy}/remove`
pub(crate) async fn remove(
    State(app): State<App>,
    Path(id): Path<PolicyId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    let policy = mine(&app, &visitor, id).await?;
    match app.store.within(&visitor.scope).remove_policy(id, policy.tenant).await {
        Ok(()) => Ok(see(&Just::at("/policies", "policy-removed", id))),
        Err(store::Error::Conflict(why)) => {
            list(&app, &visitor, StatusCode::CONFLICT, &Just::default(), Some(sentence(&why))).await
        }
        Err(error) => Err(error.into()),
    }
}
