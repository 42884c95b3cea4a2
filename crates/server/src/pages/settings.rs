//! Settings: one's own password, second factor, sessions and tokens.

use std::collections::BTreeSet;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use continuity::Act;
use jiff::ToSpan;
use serde::Deserialize;
use store::{Passkey, PasskeyId, Secret, Session, SessionId, Token, TokenId};
use zeroize::Zeroizing;

use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::{Frame, Just, Place, show};
use crate::pages::welcome::fault;
use crate::problem::{Problem, see};
use crate::visitor::Visitor;
use crate::when::{When, clock};
use crate::{attempts, password, qr, second_factor};

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    name: String,
    email: String,
    roles: &'static str,
    is_owner: bool,
    may_configure: bool,
    wrong: Option<String>,
    setup: Option<Setup>,
    has_factor: bool,
    may_have_passkeys: bool,
    passkeys: Vec<PasskeyLine>,
    sessions: Vec<SessionLine>,
    tokens: Vec<TokenLine>,
    new_token: Option<String>,
    fingerprint: String,
    version: &'static str,
}

/// A second factor that is being set up.
struct Setup {
    qr: String,
    letters: String,
}

struct PasskeyLine {
    id: PasskeyId,
    name: String,
    about: String,
}

struct SessionLine {
    id: SessionId,
    sentence: String,
    about: String,
    is_this: bool,
}

struct TokenLine {
    id: TokenId,
    sentence: String,
    about: String,
}

/// What a page of settings shows beside the usual.
#[derive(Default)]
struct Beside {
    wrong: Option<String>,
    setup: Option<Setup>,
    new_token: Option<String>,
    just: Just,
}

impl Beside {
    fn wrong(words: impl Into<String>) -> Beside {
        Beside { wrong: Some(words.into()), ..Beside::default() }
    }
}

/// `GET /settings`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Query(just): Query<Just>,
) -> Result<Response, Problem> {
    page(&app, &visitor, StatusCode::OK, Beside { just, ..Beside::default() }).await
}

async fn page(app: &App, visitor: &Visitor, status: StatusCode, beside: Beside) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let sessions = view.sessions().await?;
    let tokens = view.tokens().await?;
    let known = app.store.system().sign_in(&visitor.person.email).await?;
    let page = SettingsPage {
        frame: Frame::new("Settings", Place::Settings, visitor, &beside.just),
        name: visitor.person.name.clone(),
        email: visitor.person.email.clone(),
        roles: roles(visitor),
        may_configure: !visitor.scope.reach(Act::Configure).is_nothing(),
        is_owner: !visitor.scope.reach(Act::Invite).is_nothing(),
        wrong: beside.wrong,
        setup: beside.setup,
        has_factor: known.is_some_and(|known| known.totp.is_some()),
        may_have_passkeys: app.passkeys.are_possible(),
        passkeys: view.passkeys().await?.iter().map(|passkey| passkey_line(passkey, app)).collect(),
        sessions: sessions.iter().map(|session| session_line(session, visitor, app)).collect(),
        tokens: tokens.iter().map(|token| token_line(token, app)).collect(),
        new_token: beside.new_token,
        fingerprint: app.facade.fingerprint.clone(),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok((status, show(&page)?).into_response())
}

/// What somebody is, as far as their scope says.
fn roles(visitor: &Visitor) -> &'static str {
    let may = |act: Act| !visitor.scope.reach(act).is_nothing();
    match (may(Act::Invite), may(Act::Configure), may(Act::LOOK)) {
        (true, ..) => "You are an owner.",
        (_, true, _) => "You are a technician.",
        (_, _, true) => "You see what was opened to you.",
        _ => "Nothing here is open to you: a role or a grant has ended, or was never given.",
    }
}

fn passkey_line(passkey: &Passkey, app: &App) -> PasskeyLine {
    let (now, added) = (app.now(), When::past(passkey.made, app.now()).words);
    let about = match passkey.used {
        Some(used) => format!("Added {added}, last used {}.", When::past(used, now).words),
        None => format!("Added {added}, never used."),
    };
    PasskeyLine { id: passkey.id, name: passkey.name.clone(), about }
}

fn session_line(session: &Session, visitor: &Visitor, app: &App) -> SessionLine {
    let now = app.now();
    let device = if session.device.is_empty() { "A program that did not say its name" } else { &session.device };
    let (opened, seen) = (When::past(session.opened, now).words, When::past(session.seen, now).words);
    let ends = clock(session.ends, &app.facade.zone);
    SessionLine {
        id: session.id,
        sentence: device.to_owned(),
        about: format!("Signed in {opened}, last used {seen}; ends {ends}."),
        is_this: visitor.session == Some(session.id),
    }
}

fn token_line(token: &Token, app: &App) -> TokenLine {
    let acts: Vec<_> = token.acts.iter().map(|act| act.word()).collect();
    let made = When::past(token.made, app.now()).words;
    let about = format!("Made {made}; ends {}. May: {}.", clock(token.ends, &app.facade.zone), acts.join(", "));
    TokenLine { id: token.id, sentence: token.name.clone(), about }
}

#[derive(Deserialize)]
pub(crate) struct Change {
    now: Zeroizing<String>,
    password: Zeroizing<String>,
    again: Zeroizing<String>,
}

/// `POST /settings/password`
pub(crate) async fn password(
    State(app): State<App>,
    Signed(visitor, form): Signed<Change>,
) -> Result<Response, Problem> {
    if !knows_password(&app, &visitor, form.now).await? {
        return refuse(&app, &visitor, "That is not your password now.").await;
    }
    if let Some(wrong) = fault(&form.password, &form.again, &visitor.person.email) {
        return refuse(&app, &visitor, &wrong).await;
    }
    let hash = password::hash(form.password).await?;
    let view = app.store.within(&visitor.scope);
    view.set_password(&hash).await?;
    visitor.record(&app, "person password", "changed").await?;
    if let Some(session) = visitor.session {
        view.end_other_sessions(session).await?;
    }
    Ok(see(&Just::at("/settings", "password", 0)))
}

/// Whether somebody who is signed in knows their password, too; tried no oftener than at sign-in.
async fn knows_password(app: &App, visitor: &Visitor, typed: Zeroizing<String>) -> Result<bool, Problem> {
    let email = &visitor.person.email;
    if let Err(attempts::Wait(seconds)) = app.attempts.count(email, std::net::Ipv4Addr::UNSPECIFIED.into()) {
        return Err(Problem::TooMany(seconds));
    }
    let stored = app.store.system().sign_in(email).await?.and_then(|known| known.password);
    password::is_right(typed, stored).await
}

async fn refuse(app: &App, visitor: &Visitor, why: &str) -> Result<Response, Problem> {
    page(app, visitor, StatusCode::UNPROCESSABLE_ENTITY, Beside::wrong(why)).await
}

/// `POST /settings/factor`
pub(crate) async fn begin_factor(
    State(app): State<App>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    let secret = second_factor::fresh_secret()?;
    let setup = Some(setup(&visitor, &secret)?);
    page(&app, &visitor, StatusCode::OK, Beside { setup, ..Beside::default() }).await
}

fn setup(visitor: &Visitor, secret: &[u8]) -> Result<Setup, Problem> {
    let address = second_factor::address(secret, &visitor.person.email);
    let qr = qr::svg(&address).ok_or_else(|| Problem::broken("draw a QR code"))?;
    Ok(Setup { qr, letters: second_factor::letters(secret) })
}

#[derive(Deserialize)]
pub(crate) struct FirstCode {
    letters: String,
    code: String,
}

/// `POST /settings/factor/confirm`
pub(crate) async fn confirm_factor(
    State(app): State<App>,
    Signed(visitor, form): Signed<FirstCode>,
) -> Result<Response, Problem> {
    let nonsense = || Problem::Invalid("Those are not the letters that were shown.".into());
    let secret = second_factor::of_letters(&form.letters).ok_or_else(nonsense)?;
    let second = u64::try_from(app.now().as_second()).unwrap_or(0);
    if second_factor::step_of(&secret, &form.code, 0, second)?.is_none() {
        let setup = Some(setup(&visitor, &secret)?);
        let wrong = Some("That code does not fit. Is the clock of your phone right? Type the next one.".into());
        let beside = Beside { wrong, setup, ..Beside::default() };
        return page(&app, &visitor, StatusCode::UNPROCESSABLE_ENTITY, beside).await;
    }
    let sealed = second_factor::sealed(&app.seal, visitor.person.id, &secret)?;
    app.store.within(&visitor.scope).set_totp(Some(&sealed)).await?;
    visitor.record(&app, "person factor", "turned on").await?;
    Ok(see(&Just::at("/settings", "factor-on", 0)))
}

#[derive(Deserialize)]
pub(crate) struct Confirmed {
    password: Zeroizing<String>,
}

/// `POST /settings/factor/remove`
pub(crate) async fn remove_factor(
    State(app): State<App>,
    Signed(visitor, form): Signed<Confirmed>,
) -> Result<Response, Problem> {
    if !knows_password(&app, &visitor, form.password).await? {
        return refuse(&app, &visitor, "That is not your password.").await;
    }
    app.store.within(&visitor.scope).set_totp(None).await?;
    visitor.record(&app, "person factor", "turned off").await?;
    Ok(see(&Just::at("/settings", "factor-off", 0)))
}

/// `POST /settings/sessions/{session}/end`
pub(crate) async fn end_session(
    State(app): State<App>,
    Path(id): Path<SessionId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    app.store.within(&visitor.scope).end_session(id).await?;
    visitor.record(&app, "session end", &id.to_string()).await?;
    Ok(see(&Just::at("/settings", "session-ended", id)))
}

#[derive(Deserialize)]
pub(crate) struct NewToken {
    name: String,
    days: u16,
    may: String,
}

/// `POST /settings/tokens`
pub(crate) async fn make_token(
    State(app): State<App>,
    Signed(visitor, form): Signed<NewToken>,
) -> Result<Response, Problem> {
    let name = form.name.trim();
    if name.is_empty() || name.chars().count() > 100 || !(1..=366).contains(&form.days) {
        return refuse(&app, &visitor, "A token has a name, and an end within a year.").await;
    }
    let acts = match form.may.as_str() {
        "look" => BTreeSet::from([Act::LOOK]),
        "all" => Act::ALL.into_iter().collect(),
        _ => return refuse(&app, &visitor, "A token may look, or what you may.").await,
    };
    let made = app.now();
    let hours = i64::from(form.days) * 24;
    let ends = made.checked_add(hours.hours()).map_err(|error| Problem::Invalid(error.to_string()))?;
    let token = Token { id: TokenId::made(made, app.random()?), name: name.to_owned(), acts, made, ends };
    let secret = Secret::random();
    app.store.within(&visitor.scope).add_token(&token, &secret).await?;
    visitor.record(&app, "token make", &token.name).await?;
    let new_token = Some(secret.text().to_owned());
    page(&app, &visitor, StatusCode::OK, Beside { new_token, ..Beside::default() }).await
}

/// `POST /settings/tokens/{token}/end`
pub(crate) async fn end_token(
    State(app): State<App>,
    Path(id): Path<TokenId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    app.store.within(&visitor.scope).remove_token(id).await?;
    visitor.record(&app, "token end", &id.to_string()).await?;
    Ok(see(&Just::at("/settings", "token-ended", id)))
}
