//! Visitor: who asks, by the cookie of a browser or by a token, and the scope that follows from it at this moment.

use std::collections::BTreeSet;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use continuity::{Act, Person, Scope};
use fleet::TenantId;
use store::{Secret, SessionId};

use crate::app::App;
use crate::problem::Problem;
use crate::token;

/// Seconds that a browser keeps the cookie; the session's own end counts.
const COOKIE_AGE: u32 = 90 * 86_400;

/// Who asks.
pub(crate) struct Visitor {
    pub(crate) person: Person,
    pub(crate) scope: Scope,
    /// What forms of this session carry; empty for tokens.
    pub(crate) form_token: String,
    /// The session; none for tokens.
    pub(crate) session: Option<SessionId>,
    /// What opens it; none for tokens.
    pub(crate) secret: Option<Secret>,
    pub(crate) demo: bool,
}

impl Visitor {
    /// Whoever is signed in by a browser.
    pub(crate) async fn of_browser(headers: &HeaderMap, app: &App) -> Result<Visitor, Problem> {
        let cookie = cookie(headers, app).ok_or(Problem::SignIn)?;
        Visitor::of_session(app, Secret::received(&cookie)).await
    }

    async fn of_session(app: &App, secret: Secret) -> Result<Visitor, Problem> {
        let found = app.store.system().session(&secret, app.now()).await?;
        let (session, scope) = found.ok_or(Problem::SignIn)?;
        let form_token = token::of_forms(secret.text());
        Visitor::of_scope(app, scope, form_token, Some((session, secret))).await
    }

    /// The same session a while later: grants may have ended meanwhile, or the session itself.
    pub(crate) async fn again(&self, app: &App) -> Result<Visitor, Problem> {
        let secret = self.secret.clone().ok_or(Problem::SignIn)?;
        Visitor::of_session(app, secret).await
    }

    /// Whoever holds a token, with no more than the token may.
    async fn of_token(app: &App, bearer: &str) -> Result<Visitor, Problem> {
        let scope = app.store.system().token(&Secret::received(bearer), app.now()).await?;
        Visitor::of_scope(app, scope.ok_or(Problem::SignIn)?, String::new(), None).await
    }

    async fn of_scope(
        app: &App,
        scope: Scope,
        form_token: String,
        opened: Option<(SessionId, Secret)>,
    ) -> Result<Visitor, Problem> {
        let person = app.store.within(&scope).me().await?;
        let (session, secret) = opened.unzip();
        Ok(Visitor { person, scope, form_token, session, secret, demo: app.facade.demo })
    }

    /// Refuses unless an act is allowed on a firm as such.
    pub(crate) fn must_on(&self, act: Act, tenant: TenantId) -> Result<(), Problem> {
        match (self.scope.may(act, tenant), tenants(&self.scope).contains(&tenant)) {
            (true, _) => Ok(()),
            (false, true) => Err(Problem::Forbidden(act.word())),
            (false, false) => Err(Problem::NotFound),
        }
    }

    /// Writes an act on one's own account into the log of every firm that the account reaches. `act` is noun and verb.
    pub(crate) async fn record(&self, app: &App, act: &'static str, detail: &str) -> Result<(), Problem> {
        record(app, &self.scope, &self.person, act, detail).await
    }

    /// Refuses unless an act is allowed somewhere.
    pub(crate) fn must(&self, act: impl Into<Act>) -> Result<(), Problem> {
        let act = act.into();
        match self.scope.reach(act).is_nothing() {
            true => Err(Problem::Forbidden(act.word())),
            false => Ok(()),
        }
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Visitor, Problem> {
        Visitor::of_browser(&parts.headers, app).await
    }
}

/// Who asks the JSON API: a program with its token, or somebody who looks at it in a browser. What changes something
/// needs the token: a cookie is sent by itself.
pub(crate) struct Caller(pub(crate) Visitor);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Caller, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION);
        match header.map(|header| header.to_str().ok().and_then(|text| text.strip_prefix("Bearer "))) {
            Some(Some(bearer)) => Ok(Caller(Visitor::of_token(app, bearer.trim()).await?)),
            None if parts.method.is_safe() => Ok(Caller(Visitor::of_browser(&parts.headers, app).await?)),
            _ => Err(Problem::SignIn),
        }
    }
}

/// As [`Visitor::record`], for somebody who has no session yet.
pub(crate) async fn record(
    app: &App,
    scope: &Scope,
    person: &Person,
    act: &'static str,
    detail: &str,
) -> Result<(), Problem> {
    let (about, now) = (person.id.to_string(), app.now());
    for tenant in tenants(scope) {
        app.store.system().record(tenant, &person.actor(), now, act, &about, detail).await?;
    }
    Ok(())
}

/// The firms of which anything is within sight.
pub(crate) fn tenants(scope: &Scope) -> BTreeSet<TenantId> {
    let reach = scope.reach(Act::LOOK);
    let of_machines = reach.machines.values().map(|(_, tenant)| tenant);
    reach.tenants.iter().chain(reach.clients.values()).chain(of_machines).copied().collect()
}

fn cookie_name(app: &App) -> &'static str {
    if app.facade.is_secure() { "__Host-stead" } else { "stead" }
}

fn cookie(headers: &HeaderMap, app: &App) -> Option<String> {
    let wanted = cookie_name(app);
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == wanted)?;
    (value.len() <= 100).then(|| value.to_owned())
}

/// The header that gives a browser its session.
pub(crate) fn give(app: &App, secret: &Secret) -> Result<HeaderValue, Problem> {
    set(app, secret.text(), COOKIE_AGE)
}

/// The header that takes it away.
pub(crate) fn take(app: &App) -> Result<HeaderValue, Problem> {
    set(app, "", 0)
}

fn set(app: &App, value: &str, age: u32) -> Result<HeaderValue, Problem> {
    let secure = if app.facade.is_secure() { "; Secure" } else { "" };
    let name = cookie_name(app);
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}");
    HeaderValue::from_str(&text).map_err(|error| Problem::internal("write a cookie", error))
}
