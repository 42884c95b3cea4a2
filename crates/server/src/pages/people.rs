//! People: who belongs to a firm, as what; who holds grants, until when; one-time links for those who cannot sign in.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use continuity::{Act, Grant, GrantId, GrantedOn, Person, PersonId, Role, Verb};
use fleet::{Client, ClientId, Tenant, TenantId};
use jiff::ToSpan;
use serde::Deserialize;
use store::{Member, Secret, View};

use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::{Frame, Just, Place, show};
use crate::pages::client::sentence as sentence_of;
use crate::pages::grants::{self, Wish};
use crate::problem::{Problem, see};
use crate::visitor::{self, Visitor};
use crate::when::clock;

/// Why no link is made.
pub(crate) const ELSEWHERE: &str = "They have an account that opens another firm's machines too, and sign in as usual. If they \
                         cannot, the operator of this server makes them a link: `stead server link`.";

/// What a person is made of.
pub(crate) const NO_PERSON: &str = "A person has a name and an e-mail address.";

/// How long a one-time link is good.
const LINK_HOURS: i64 = 72;

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    frame: Frame,
    sentence: String,
    tenants: Vec<TenantPanel>,
    verbs: Vec<(String, &'static str)>,
    link: Option<ShownLink>,
    wrong: Option<String>,
    typed_name: String,
    typed_email: String,
    wish: Option<Wish>,
}

/// A one-time link that was just made.
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) ends: jiff::Timestamp,
}

impl Link {
    fn shown(self, app: &App) -> ShownLink {
        ShownLink { name: self.name, address: self.address, ends: clock(self.ends, &app.facade.zone) }
    }
}

/// The same on a page.
struct ShownLink {
    name: String,
    address: String,
    ends: String,
}

struct TenantPanel {
    id: TenantId,
    name: String,
    members: Vec<MemberLine>,
    clients: Vec<(ClientId, String)>,
    grants: Vec<GrantLine>,
    may_invite: bool,
    may_grant: bool,
}

struct MemberLine {
    id: PersonId,
    name: String,
    email: String,
    role: &'static str,
    about: String,
    is_self: bool,
}

struct GrantLine {
    id: GrantId,
    person: String,
    sentence: String,
    about: String,
    may_end: bool,
}

/// What a page of people shows beside the usual.
#[derive(Default)]
struct Beside {
    link: Option<ShownLink>,
    wrong: Option<String>,
    typed_name: String,
    typed_email: String,
    wish: Option<Wish>,
    just: Just,
}

/// `GET /people`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Query(just): Query<Just>,
) -> Result<Response, Problem> {
    page(&app, &visitor, StatusCode::OK, Beside { just, ..Beside::default() }).await
}

/// The page again, with what was wrong.
pub(crate) async fn refuse(app: &App, visitor: &Visitor, why: &str) -> Result<Response, Problem> {
    let beside = Beside { wrong: Some(why.to_owned()), ..Beside::default() };
    page(app, visitor, StatusCode::UNPROCESSABLE_ENTITY, beside).await
}

/// The page again, with what was wrong about a grant.
pub(crate) async fn refuse_grant(app: &App, visitor: &Visitor, wish: Wish, why: &str) -> Result<Response, Problem> {
    let beside = Beside { wrong: Some(why.to_owned()), wish: Some(wish), ..Beside::default() };
    page(app, visitor, StatusCode::UNPROCESSABLE_ENTITY, beside).await
}

async fn page(app: &App, visitor: &Visitor, status: StatusCode, beside: Beside) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let (clients, given) = (view.clients().await?, view.grants().await?);
    let mut tenants = Vec::new();
    for tenant in view.tenants().await? {
        tenants.push(panel(app, visitor, &view, tenant, &clients, &given).await?);
    }
    let page = PeoplePage {
        frame: Frame::new("People", Place::People, visitor, &beside.just),
        sentence: sentence(&tenants, &given, app),
        tenants,
        verbs: grants::verbs(),
        link: beside.link,
        wrong: beside.wrong,
        typed_name: beside.typed_name,
        typed_email: beside.typed_email,
        wish: beside.wish,
    };
    Ok((status, show(&page)?).into_response())
}

fn sentence(tenants: &[TenantPanel], given: &[Grant], app: &App) -> String {
    let now = app.now();
    let grants = match given.iter().filter(|grant| grant.holds(now)).count() {
        0 => "no grant holds now.".into(),
        1 => "1 grant holds now.".into(),
        more => format!("{more} grants hold now."),
    };
    match tenants.iter().map(|tenant| tenant.members.len()).sum::<usize>() {
        1 => format!("You are the only member; {grants}"),
        members => format!("{members} members; {grants}"),
    }
}

async fn panel(
    app: &App,
    visitor: &Visitor,
    view: &View<'_>,
    tenant: Tenant,
    clients: &[Client],
    given: &[Grant],
) -> Result<TenantPanel, Problem> {
    let is_member = visitor.scope.may(Act::LOOK, tenant.id);
    let members = if is_member { view.members(tenant.id).await? } else { Vec::new() };
    let mut lines = Vec::new();
    for grant in given.iter().filter(|grant| grant.tenant == tenant.id && grant.end() > app.now()) {
        lines.push(grant_line(app, visitor, grant, clients).await?);
    }
    let theirs = clients.iter().filter(|client| client.tenant == tenant.id);
    Ok(TenantPanel {
        members: members.iter().map(|member| member_line(member, visitor, clients)).collect(),
        clients: theirs.map(|client| (client.id, client.name.clone())).collect(),
        grants: lines,
        may_invite: visitor.scope.may(Act::Invite, tenant.id),
        may_grant: visitor.scope.may(Act::ChangeGrants, tenant.id),
        id: tenant.id,
        name: tenant.name,
    })
}

fn member_line(member: &Member, visitor: &Visitor, clients: &[Client]) -> MemberLine {
    let about = match member.role {
        Role::ClientViewer(of) => {
            let client = clients.iter().find(|client| client.id == of);
            client.map(|client| format!(", sees {}", client.name)).unwrap_or_default()
        }
        _ => String::new(),
    };
    MemberLine {
        id: member.person.id,
        name: member.person.name.clone(),
        email: member.person.email.clone(),
        role: member.role.words(),
        about,
        is_self: member.person.id == visitor.person.id,
    }
}

async fn grant_line(app: &App, visitor: &Visitor, grant: &Grant, clients: &[Client]) -> Result<GrantLine, Problem> {
    let client = clients.iter().find(|client| client.id == grant.on.client());
    let client = client.map_or("a client", |client| client.name.as_str());
    let on = match &grant.on {
        GrantedOn::Client(_) => format!("all machines of {client}"),
        GrantedOn::Machines(_, machines) if machines.len() == 1 => format!("one machine of {client}"),
        GrantedOn::Machines(_, machines) => format!("{} machines of {client}", machines.len()),
    };
    let verbs: Vec<_> = grant.verbs.iter().filter(|verb| **verb != Verb::Look).map(|verb| verb.word()).collect();
    let may = if verbs.is_empty() { "look at".into() } else { format!("{} on", verbs.join(", ")) };
    let holder = app.store.system().scope(grant.person, app.now()).await?;
    let until = clock(grant.end(), &app.facade.zone);
    let is_mine = grant.person == visitor.person.id;
    Ok(GrantLine {
        id: grant.id,
        person: holder.map_or_else(|| "Somebody".into(), |holder| holder.actor().name.clone()),
        sentence: format!("may {may} {on} until {until}"),
        about: grant.reason.clone(),
        may_end: is_mine || visitor.scope.may(Act::ChangeGrants, grant.tenant),
    })
}

#[derive(Deserialize)]
pub(crate) struct New {
    tenant: TenantId,
    name: String,
    email: String,
    role: String,
}

/// `POST /people`
pub(crate) async fn add(State(app): State<App>, Signed(visitor, form): Signed<New>) -> Result<Response, Problem> {
    let role = role_of(&form.role)?;
    let Some(id) = invite(&app, &visitor, (&form.name, &form.email), form.tenant, role).await? else {
        let beside = Beside {
            wrong: Some(NO_PERSON.into()),
            typed_name: form.name,
            typed_email: form.email,
            ..Beside::default()
        };
        return page(&app, &visitor, StatusCode::UNPROCESSABLE_ENTITY, beside).await;
    };
    give_link(&app, &visitor, id).await
}

/// Adds a member; none if name or address are none.
pub(crate) async fn invite(
    app: &App,
    visitor: &Visitor,
    (name, email): (&str, &str),
    tenant: TenantId,
    role: Role,
) -> Result<Option<PersonId>, Problem> {
    let (name, email) = (name.trim(), email.trim());
    let is_address = email.len() <= 200 && email.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty());
    if name.is_empty() || name.chars().count() > 100 || !is_address || email.contains(char::is_whitespace) {
        return Ok(None);
    }
    let id = PersonId::made(app.now(), app.random()?);
    let person = Person { id, name: name.to_owned(), email: email.to_owned() };
    Ok(Some(app.store.within(&visitor.scope).invite(&person, tenant, role).await?))
}

#[derive(Deserialize)]
pub(crate) struct Another {
    tenant: TenantId,
    role: String,
}

/// The role that a form names.
fn role_of(word: &str) -> Result<Role, Problem> {
    match word {
        "owner" => Ok(Role::Owner),
        "technician" => Ok(Role::Technician),
        client => client.parse().map(Role::ClientViewer).map_err(|_| Problem::Invalid("There is no such role.".into())),
    }
}

/// `POST /people/{person}/role`
pub(crate) async fn role(
    State(app): State<App>,
    Path(id): Path<PersonId>,
    Signed(visitor, form): Signed<Another>,
) -> Result<Response, Problem> {
    visitor.must_on(Act::Invite, form.tenant)?;
    let role = role_of(&form.role)?;
    match app.store.within(&visitor.scope).change_role(id, form.tenant, role).await {
        Ok(()) => Ok(see(&Just::at("/people", "role", id))),
        Err(store::Error::Conflict(why)) => refuse(&app, &visitor, &sentence_of(&why)).await,
        Err(error) => Err(error.into()),
    }
}

/// `POST /people/{person}/link`
pub(crate) async fn link(
    State(app): State<App>,
    Path(id): Path<PersonId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    visitor.must(Act::Invite)?;
    give_link(&app, &visitor, id).await
}

async fn give_link(app: &App, asker: &Visitor, id: PersonId) -> Result<Response, Problem> {
    match new_link(app, asker, id).await? {
        Some(link) => {
            page(app, asker, StatusCode::OK, Beside { link: Some(link.shown(app)), ..Beside::default() }).await
        }
        None => refuse(app, asker, ELSEWHERE).await,
    }
}

/// A link opens the account, all of it: only who invites people in every firm that the account reaches makes one. None: it
/// reaches others.
pub(crate) async fn new_link(app: &App, asker: &Visitor, id: PersonId) -> Result<Option<Link>, Problem> {
    let (system, now) = (app.store.system(), app.now());
    let holder = system.scope(id, now).await?.ok_or(Problem::NotFound)?;
    let tenants = visitor::tenants(&holder);
    match tenants.iter().filter(|tenant| asker.scope.may(Act::Invite, **tenant)).count() {
        0 => return Err(Problem::NotFound),
        ours if ours < tenants.len() => return Ok(None),
        _ => {}
    }
    let secret = Secret::random();
    let ends = now.checked_add(LINK_HOURS.hours()).map_err(|error| Problem::internal("add hours", error))?;
    system.add_link(id, &secret, ends).await?;
    for tenant in tenants {
        let actor = asker.person.actor();
        system.record(tenant, &actor, now, "person link", &id.to_string(), &holder.actor().name).await?;
    }
    let address = format!("{}/welcome/{}", app.facade.address, secret.text());
    Ok(Some(Link { name: holder.actor().name.clone(), address, ends }))
}
