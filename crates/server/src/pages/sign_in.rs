//! Signing in and out. What was wrong is never told apart: address, password or code.

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use continuity::Person;
use serde::Deserialize;
use store::{Secret, SessionId, SignIn};
use zeroize::Zeroizing;

use crate::app::App;
use crate::form::{Nothing, Open, Signed};
use crate::listen::Peer;
use crate::observer::Event;
use crate::page::{Frame, show};
use crate::problem::{Problem, see};
use crate::{attempts, password, second_factor, visitor};

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    next: String,
    email: String,
    wrong: Option<String>,
    by_passkey: bool,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    next: String,
}

/// `GET /sign-in`
pub(crate) async fn get(State(app): State<App>, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    page(&app, StatusCode::OK, &asked.next, "", None)
}

fn page(app: &App, status: StatusCode, next: &str, email: &str, wrong: Option<String>) -> Result<Response, Problem> {
    let frame = Frame::outside("Sign in");
    let by_passkey = app.passkeys.are_possible();
    let page = SignInPage { frame, next: within(next).to_owned(), email: email.to_owned(), wrong, by_passkey };
    Ok((status, show(&page)?).into_response())
}

/// An address on this server; anything else leads to the fleet.
pub(crate) fn within(next: &str) -> &str {
    let is_ours = next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\n', '\r', '\t']);
    if is_ours { next } else { "/" }
}

#[derive(Deserialize)]
pub(crate) struct Typed {
    email: String,
    password: Zeroizing<String>,
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: String,
}

/// `POST /sign-in`
pub(crate) async fn post(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Open(form): Open<Typed>,
) -> Result<Response, Problem> {
    if let Err(attempts::Wait(seconds)) = app.attempts.count(&form.email, peer.ip()) {
        return Err(Problem::TooMany(seconds));
    }
    let known = app.store.system().sign_in(form.email.trim()).await?;
    let stored = known.as_ref().and_then(|known| known.password.clone());
    let is_right = password::is_right(form.password, stored).await?;
    match known.filter(|_| is_right) {
        Some(known) if passes(&app, &known, &form.code).await? => {
            let (_, cookie) = enter(&app, &known.person, &headers).await?;
            Ok(([(header::SET_COOKIE, cookie)], see(within(&form.next))).into_response())
        }
        _ => {
            app.observe(Event::Refused { from: peer.ip().to_string() });
            let wrong = "The address, the password or the code is wrong.".to_owned();
            page(&app, StatusCode::UNAUTHORIZED, &form.next, &form.email, Some(wrong))
        }
    }
}

const OTHER_KEY: &str = "the server's key file is another one than it was sealed with";
const NO_CODES: &str = "This server cannot check your codes: its key is another one than they were sealed with. Whoever runs \
                        it gives it the right one (--server-key), or makes you a one-time link with `stead server link`; \
                        after that, set up codes anew.";

/// The second factor, where there is one. A code is good once, whichever of several servers it was given to.
async fn passes(app: &App, known: &SignIn, code: &str) -> Result<bool, Problem> {
    let Some(stored) = &known.totp else { return Ok(true) };
    let Some(secret) = second_factor::opened(&app.seal, known.person.id, stored) else {
        app.observe(Event::Problem(format!("cannot open the second factor of {}: {OTHER_KEY}", known.person.email)));
        return Err(Problem::Conflict(NO_CODES.into()));
    };
    let second = u64::try_from(app.now().as_second()).unwrap_or(0);
    match second_factor::step_of(&secret, code, 0, second)? {
        Some(step) => Ok(app.store.system().use_totp_step(known.person.id, step).await?),
        None => Ok(false),
    }
}

/// Begins a session; returns it and the cookie that opens it.
pub(crate) async fn enter(
    app: &App,
    person: &Person,
    headers: &HeaderMap,
) -> Result<(SessionId, header::HeaderValue), Problem> {
    let (secret, now) = (Secret::random(), app.now());
    let id = SessionId::made(now, app.random()?);
    let program = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("");
    let program: String = program.chars().take(200).collect();
    let system = app.store.system();
    system.open_session(id, person.id, &secret, &program, now).await?;
    if let Some(scope) = system.scope(person.id, now).await? {
        visitor::record(app, &scope, person, "person sign in", &program).await?;
    }
    Ok((id, visitor::give(app, &secret)?))
}

/// `POST /sign-out`
pub(crate) async fn leave(
    State(app): State<App>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    if let Some(secret) = &visitor.secret {
        app.store.system().sign_out(secret).await?;
        visitor.record(&app, "person sign out", "").await?;
    }
    Ok(([(header::SET_COOKIE, visitor::take(&app)?)], see("/sign-in")).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_site() {
        assert_eq!(within("/machines/1?x=2"), "/machines/1?x=2");
        for foreign in ["https://evil.example/", "//evil.example", "/\\evil.example", "", "/\tx"] {
            assert_eq!(within(foreign), "/", "{foreign:?}");
        }
    }
}
