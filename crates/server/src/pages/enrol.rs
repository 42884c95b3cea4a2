//! Enrolling: single-use codes with an end, and the clients that machines join.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use continuity::Act;
use fleet::{Client, ClientId, MachineClass, PolicyId, TenantId};
use jiff::ToSpan;
use serde::Deserialize;
use store::{CodeId, EnrolmentCode, NewCode, Secret, View};

use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::{Frame, Just, Place, show};
use crate::pages::client::sentence;
use crate::problem::{Problem, see};
use crate::visitor::Visitor;
use crate::when::clock;
use crate::{code, qr};

#[derive(Template)]
#[template(path = "enrol.html")]
struct EnrolPage {
    frame: Frame,
    code: Option<Made>,
    clients: Vec<Choice>,
    policies: Vec<(PolicyId, String)>,
    open: Vec<OpenCode>,
    may_add_client: bool,
    tenants: Vec<(TenantId, String)>,
    wrong: Option<String>,
    typed_name: String,
    typed_zone: String,
    fingerprint: String,
    fingerprint_about: &'static str,
}

/// A code that was just made; shown once.
struct Made {
    client: String,
    code: String,
    uses: String,
    ends: String,
    qr: String,
    command: String,
}

struct Choice {
    id: ClientId,
    name: String,
    chosen: bool,
}

struct OpenCode {
    id: CodeId,
    sentence: String,
}

/// What the page shows beside the usual.
#[derive(Default)]
struct Beside {
    code: Option<Made>,
    client: Option<ClientId>,
    wrong: Option<String>,
    typed_name: String,
    typed_zone: Option<String>,
    just: Just,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    client: Option<ClientId>,
    said: Option<String>,
    of: Option<String>,
}

/// `GET /enrol`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    visitor.must(Act::Configure)?;
    let just = Just { said: asked.said, of: asked.of };
    page(&app, &visitor, StatusCode::OK, Beside { client: asked.client, just, ..Beside::default() }).await
}

/// The page again, with what was wrong about a new client.
pub(crate) async fn again(
    app: &App,
    visitor: &Visitor,
    name: &str,
    zone: &str,
    why: &str,
) -> Result<Response, Problem> {
    let (wrong, typed_name, typed_zone) = (Some(why.to_owned()), name.to_owned(), Some(zone.to_owned()));
    let beside = Beside { wrong, typed_name, typed_zone, ..Beside::default() };
    page(app, visitor, StatusCode::UNPROCESSABLE_ENTITY, beside).await
}

async fn page(app: &App, visitor: &Visitor, status: StatusCode, beside: Beside) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let reach = visitor.scope.reach(Act::Configure);
    let clients = clients(&view, visitor).await?;
    let open = open_of(&view, &clients).await?;
    let choice =
        |client: &Client| Choice { id: client.id, name: client.name.clone(), chosen: beside.client == Some(client.id) };
    let tenants = view.tenants().await?.into_iter().filter(|tenant| reach.tenant(tenant.id));
    let policies = policies(&view, &clients).await?;
    let tenants: Vec<_> = tenants.map(|tenant| (tenant.id, tenant.name)).collect();
    let page = EnrolPage {
        frame: Frame::new("Enrol", Place::Enrol, visitor, &beside.just),
        clients: clients.iter().map(choice).collect(),
        policies,
        open: open.iter().map(|(client, code)| open_code(app, client, code)).collect(),
        may_add_client: !tenants.is_empty(),
        tenants,
        code: beside.code,
        wrong: beside.wrong,
        typed_name: beside.typed_name,
        typed_zone: beside.typed_zone.unwrap_or_else(|| app.facade.zone.name().to_owned()),
        fingerprint: app.facade.fingerprint.clone(),
        fingerprint_about: fingerprint_about(app),
    };
    Ok((status, show(&page)?).into_response())
}

/// Those of the firms whose clients these are.
async fn policies(view: &View<'_>, clients: &[Client]) -> Result<Vec<(PolicyId, String)>, Problem> {
    let tenants: BTreeSet<TenantId> = clients.iter().map(|client| client.tenant).collect();
    let mut policies = Vec::new();
    for tenant in tenants {
        // Who came by a grant does not see the firm's policies; the machine gets one later.
        match view.policies(tenant).await {
            Ok(found) => policies.extend(found.into_iter().map(|policy| (policy.id, policy.name))),
            Err(store::Error::NotFound(_) | store::Error::NotAllowed(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(policies)
}

fn fingerprint_about(app: &App) -> &'static str {
    match (app.facade.is_secure(), app.facade.own_authority) {
        (false, _) => "There is none: this server is reached without TLS, from this machine alone.",
        (true, true) => {
            "SHA-256 of this server's own authority. Browsers do not know it and ask once; compare it then."
        }
        (true, false) => {
            "SHA-256 of this server's own authority, which machines know it by. Browsers are shown a certificate that \
             everybody knows."
        }
    }
}

/// The clients that this visitor may set up.
async fn clients(view: &View<'_>, visitor: &Visitor) -> Result<Vec<Client>, Problem> {
    let reach = visitor.scope.reach(Act::Configure);
    let mut clients = view.clients().await?;
    clients.retain(|client| reach.client(client.id, client.tenant));
    Ok(clients)
}

/// Codes that still let machines in, each with its client's name, for whoever may set that up.
pub(crate) async fn open_codes(app: &App, visitor: &Visitor) -> Result<Vec<(String, EnrolmentCode)>, Problem> {
    let view = app.store.within(&visitor.scope);
    open_of(&view, &clients(&view, visitor).await?).await
}

async fn open_of(view: &View<'_>, clients: &[Client]) -> Result<Vec<(String, EnrolmentCode)>, Problem> {
    let mut open = Vec::new();
    for client in clients {
        let codes = view.codes(client.id).await?;
        open.extend(codes.into_iter().map(|code| (client.name.clone(), code)));
    }
    Ok(open)
}

fn open_code(app: &App, client: &str, code: &EnrolmentCode) -> OpenCode {
    let (uses, ends) = (machines(code.uses_left), clock(code.expires, &app.facade.zone));
    let sentence = format!("{client}: lets {uses} in until {ends}. Made by {}.", code.made_by);
    OpenCode { id: code.id, sentence }
}

fn machines(count: u64) -> String {
    if count == 1 { "one machine".into() } else { format!("{count} machines") }
}

/// A code that is wanted.
#[derive(Deserialize)]
pub(crate) struct Wish {
    pub(crate) client: ClientId,
    pub(crate) class: MachineClass,
    pub(crate) uses: u64,
    pub(crate) hours: u16,
    #[serde(default)]
    pub(crate) policy: String,
}

/// A code that was made.
pub(crate) struct Fresh {
    pub(crate) id: CodeId,
    pub(crate) text: String,
    pub(crate) expires: jiff::Timestamp,
}

/// `POST /enrol`
pub(crate) async fn make(State(app): State<App>, Signed(visitor, wish): Signed<Wish>) -> Result<Response, Problem> {
    let Fresh { text, expires, .. } = fresh(&app, &visitor, &wish).await?;
    let qr = qr::svg(&link(&app, &text));
    let made = Made {
        command: command(&app, &text),
        client: app.store.within(&visitor.scope).client(wish.client).await?.name,
        code: text,
        uses: machines(wish.uses),
        ends: clock(expires, &app.facade.zone),
        qr: qr.ok_or_else(|| Problem::broken("draw a QR code"))?,
    };
    page(&app, &visitor, StatusCode::OK, Beside { code: Some(made), client: Some(wish.client), ..Beside::default() })
        .await
}

/// Makes a code.
pub(crate) async fn fresh(app: &App, visitor: &Visitor, wish: &Wish) -> Result<Fresh, Problem> {
    let (id, now) = (CodeId::made(app.now(), app.random()?), app.now());
    let hours = i64::from(wish.hours.min(31 * 24));
    let expires = now.checked_add(hours.hours()).map_err(|error| Problem::Invalid(error.to_string()))?;
    let text = code::fresh()?;
    let policy = match wish.policy.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|_| Problem::NotFound)?),
    };
    let new = NewCode { id, client: wish.client, class: wish.class, policy, uses: wish.uses, expires };
    let view = app.store.within(&visitor.scope);
    match view.add_code(&new, &Secret::received(&code::as_meant(&text))).await {
        Err(store::Error::Conflict(why)) => Err(Problem::Invalid(sentence(&why))),
        made => Ok(made.map(|()| Fresh { id, text, expires })?),
    }
}

/// What a QR code holds: this server's page with the code, which browsers keep to themselves.
pub(crate) fn link(app: &App, code: &str) -> String {
    format!("{}/enrol#{code}", app.facade.address)
}

/// What is typed at the machine.
pub(crate) fn command(app: &App, code: &str) -> String {
    let pin = match app.facade.fingerprint.as_str() {
        "" => String::new(),
        fingerprint => format!(" --fingerprint {fingerprint}"),
    };
    format!("stead agent enrol {} {code}{pin} --service", app.facade.address)
}

/// `POST /enrol/{code}/end`
pub(crate) async fn end(
    State(app): State<App>,
    Path(id): Path<CodeId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    app.store.within(&visitor.scope).remove_code(id).await?;
    Ok(see(&Just::at("/enrol", "code-ended", id)))
}
