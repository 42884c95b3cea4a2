//! People and grants, as JSON.

use std::collections::BTreeSet;

use api::answer::people::{Firm, Grant, Grants, Invited, Made, Member, NewGrant, NewPerson, NewRole, People};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use continuity::{Act, GrantId, GrantedOn, PersonId, Role, Verb};
use fleet::TenantId;
use jiff::ToSpan;

use super::{Refused, identity};
use crate::app::App;
use crate::form::Sent;
use crate::pages::client::sentence;
use crate::pages::people;
use crate::problem::Problem;
use crate::visitor::{Caller, Visitor};
use crate::when::exact;

#[utoipa::path(get, path = "/api/v1/people", responses(
    (status = 200, description = "The firms within sight and who belongs to them", body = People),
    Refused,
))]
pub(crate) async fn list(State(app): State<App>, Caller(caller): Caller) -> Result<Json<People>, Problem> {
    let view = app.store.within(&caller.scope);
    let mut firms = Vec::new();
    for tenant in view.tenants().await? {
        let is_member = caller.scope.may(Act::LOOK, tenant.id);
        let members = if is_member { view.members(tenant.id).await? } else { Vec::new() };
        let members = members.into_iter().map(of_member).collect();
        firms.push(Firm { tenant: tenant.id.to_string(), name: tenant.name, members });
    }
    Ok(Json(People { firms }))
}

fn of_member(member: store::Member) -> Member {
    let client = match member.role {
        Role::ClientViewer(client) => Some(client.to_string()),
        _ => None,
    };
    let store::Member { person, role } = member;
    Member { person: person.id.to_string(), name: person.name, email: person.email, role: role.words().into(), client }
}

/// The role of these words.
fn role_of(words: &str, client: Option<&str>) -> Result<Role, Problem> {
    match (words, client) {
        ("owner", None) => Ok(Role::Owner),
        ("technician", None) => Ok(Role::Technician),
        ("client viewer", Some(client)) => Ok(Role::ClientViewer(identity(client)?)),
        _ => Err(Problem::Invalid("A role is owner, technician, or client viewer of a client.".into())),
    }
}

#[utoipa::path(post, path = "/api/v1/people", request_body = NewPerson, responses(
    (status = 201, description = "The person is a member; without a link if they sign in as usual", body = Invited),
    Refused,
))]
pub(crate) async fn add(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewPerson>,
) -> Result<(StatusCode, Json<Invited>), Problem> {
    let tenant: TenantId = identity(&new.tenant)?;
    caller.must_on(Act::Invite, tenant)?;
    let role = role_of(&new.role, new.client.as_deref())?;
    let person = people::invite(&app, &caller, (&new.name, &new.email), tenant, role).await?;
    let person = person.ok_or_else(|| Problem::Invalid(people::NO_PERSON.into()))?;
    let link = people::new_link(&app, &caller, person).await?;
    Ok((StatusCode::CREATED, Json(invited(person, link))))
}

fn invited(person: PersonId, link: Option<people::Link>) -> Invited {
    let (link, ends) = link.map(|link| (link.address, exact(link.ends))).unzip();
    Invited { person: person.to_string(), link, ends }
}

#[utoipa::path(post, path = "/api/v1/people/{person}/link", params(("person" = String, Path, description = "Whose")), responses(
    (status = 200, description = "The link, told once", body = Invited),
    Refused,
))]
pub(crate) async fn link(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<Invited>, Problem> {
    caller.must(Act::Invite)?;
    let person = identity(&id)?;
    let link = people::new_link(&app, &caller, person).await?;
    let link = link.ok_or_else(|| Problem::Invalid(people::ELSEWHERE.into()))?;
    Ok(Json(invited(person, Some(link))))
}

#[utoipa::path(post, path = "/api/v1/people/{person}/role", params(("person" = String, Path, description = "Whose")),
    request_body = NewRole, responses(
    (status = 204, description = "The role is this one"),
    Refused,
))]
pub(crate) async fn role(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Sent(new): Sent<NewRole>,
) -> Result<StatusCode, Problem> {
    let tenant = identity(&new.tenant)?;
    caller.must_on(Act::Invite, tenant)?;
    let role = role_of(&new.role, new.client.as_deref())?;
    app.store.within(&caller.scope).change_role(identity(&id)?, tenant, role).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(get, path = "/api/v1/grants", responses(
    (status = 200, description = "The grants within sight", body = Grants),
    Refused,
))]
pub(crate) async fn grants(State(app): State<App>, Caller(caller): Caller) -> Result<Json<Grants>, Problem> {
    let (given, now) = (app.store.within(&caller.scope).grants().await?, app.now());
    let one = |grant: continuity::Grant| Grant {
        id: grant.id.to_string(),
        tenant: grant.tenant.to_string(),
        client: grant.on.client().to_string(),
        machines: match &grant.on {
            GrantedOn::Client(_) => Vec::new(),
            GrantedOn::Machines(_, machines) => machines.iter().map(ToString::to_string).collect(),
        },
        person: grant.person.to_string(),
        verbs: grant.verbs.iter().copied().map(word).collect(),
        from: exact(grant.from),
        to: exact(grant.end()),
        holds: grant.holds(now),
        reason: grant.reason,
    };
    Ok(Json(Grants { grants: given.into_iter().map(one).collect() }))
}

fn word(verb: Verb) -> String {
    format!("{verb:?}").to_lowercase()
}

#[utoipa::path(post, path = "/api/v1/grants", request_body = NewGrant, responses(
    (status = 201, description = "The grant is given; it ends by itself", body = Made),
    Refused,
))]
pub(crate) async fn grant(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewGrant>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let tenant: TenantId = identity(&new.tenant)?;
    // Before anything is told about addresses.
    caller.must_on(Act::ChangeGrants, tenant)?;
    let known = app.store.system().sign_in(new.email.trim()).await?;
    let known = known.ok_or_else(|| Problem::Invalid("Nobody on this server has that address.".into()))?;
    let given = meant(&app, &caller, tenant, known.person.id, &new)?;
    app.store.within(&caller.scope).give_grant(&given).await.map_err(invalid)?;
    Ok((StatusCode::CREATED, Json(Made { id: given.id.to_string() })))
}

/// What makes no grant was asked for wrongly.
fn invalid(error: store::Error) -> Problem {
    match error {
        store::Error::Conflict(why) => Problem::Invalid(sentence(&why)),
        error => error.into(),
    }
}

fn meant(
    app: &App,
    caller: &Visitor,
    tenant: TenantId,
    person: PersonId,
    new: &NewGrant,
) -> Result<continuity::Grant, Problem> {
    let from = app.now();
    let to = from.checked_add(i64::from(new.hours).hours()).map_err(|error| Problem::Invalid(error.to_string()))?;
    let machines: BTreeSet<_> = new.machines.iter().map(|id| identity(id)).collect::<Result<_, _>>()?;
    let client = identity(&new.client)?;
    Ok(continuity::Grant {
        id: GrantId::made(from, app.random()?),
        tenant,
        person,
        on: if machines.is_empty() { GrantedOn::Client(client) } else { GrantedOn::Machines(client, machines) },
        verbs: new.verbs.iter().map(|verb| verb_of(verb)).chain([Ok(Verb::Look)]).collect::<Result<_, _>>()?,
        from,
        to,
        reason: new.reason.trim().to_owned(),
        approved_by: caller.person.id,
        ended: None,
    })
}

fn verb_of(text: &str) -> Result<Verb, Problem> {
    let found = Verb::ALL.into_iter().find(|verb| word(*verb) == text);
    found.ok_or_else(|| Problem::Invalid(format!("There is no verb {text:?}.")))
}

#[utoipa::path(post, path = "/api/v1/grants/{grant}/end", params(("grant" = String, Path, description = "Which")), responses(
    (status = 204, description = "It has ended"),
    Refused,
))]
pub(crate) async fn end_grant(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.store.within(&caller.scope).end_grant(identity(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
