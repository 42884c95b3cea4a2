//! Passkeys on pages: adding and removing one's own, and signing in by one.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;
use store::{NewPasskey, PasskeyId};

use crate::app::App;
use crate::form::{Nothing, Open, Signed};
use crate::listen::Peer;
use crate::observer::Event;
use crate::page::Just;
use crate::pages::sign_in;
use crate::passkey::Asked;
use crate::problem::{Problem, see};
use crate::{attempts, passkey::Proven};

/// Passkeys that one person has.
const MOST: usize = 20;

/// `POST /settings/passkeys/begin`
pub(crate) async fn begin(
    State(app): State<App>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Json<Asked>, Problem> {
    let has = app.store.within(&visitor.scope).passkeys().await?;
    if has.len() >= MOST {
        return Err(Problem::Conflict(format!("Nobody needs more than {MOST} passkeys: remove one first.")));
    }
    Ok(Json(app.passkeys.begin_adding(&visitor.person, &has)?))
}

#[derive(Deserialize)]
pub(crate) struct New {
    name: String,
    ceremony: String,
    credential: String,
}

/// `POST /settings/passkeys`
pub(crate) async fn add(State(app): State<App>, Signed(visitor, new): Signed<New>) -> Result<Response, Problem> {
    let name: String = new.name.trim().chars().filter(|c| !c.is_control()).take(100).collect();
    if name.is_empty() {
        return Err(Problem::Invalid("A passkey has a name, so that you know which one it is.".into()));
    }
    let fresh = app.passkeys.add(visitor.person.id, &new.ceremony, &new.credential)?;
    let id = PasskeyId::made(app.now(), app.random()?);
    let new = NewPasskey { id, name, credential: fresh.credential, document: fresh.document };
    app.store.within(&visitor.scope).add_passkey(&new, app.now()).await?;
    visitor.record(&app, "person passkey", &format!("added {}", new.name)).await?;
    Ok(see(&Just::at("/settings", "passkey", id)))
}

/// `POST /settings/passkeys/{passkey}/end`
pub(crate) async fn end(
    State(app): State<App>,
    Path(id): Path<PasskeyId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    app.store.within(&visitor.scope).remove_passkey(id).await?;
    visitor.record(&app, "person passkey", "removed").await?;
    Ok(see(&Just::at("/settings", "passkey-ended", id)))
}

/// `POST /sign-in/passkey/begin`
pub(crate) async fn begin_sign_in(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
) -> Result<Json<Asked>, Problem> {
    count(&app, peer)?;
    Ok(Json(app.passkeys.begin_signing_in()?))
}

/// Attempts are counted as with passwords.
fn count(app: &App, peer: std::net::SocketAddr) -> Result<(), Problem> {
    let counted = app.attempts.count("passkey", peer.ip());
    counted.map_err(|attempts::Wait(seconds)| Problem::TooMany(seconds))
}

#[derive(Deserialize)]
pub(crate) struct Shown {
    ceremony: String,
    credential: String,
    #[serde(default)]
    next: String,
}

/// `POST /sign-in/passkey`
pub(crate) async fn sign_in(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    Open(shown): Open<Shown>,
) -> Result<Response, Problem> {
    count(&app, peer)?;
    let (system, now) = (app.store.system(), app.now());
    let (id, answer) = app.passkeys.answered(&shown.credential)?;
    let proven = app.passkeys.prove(&shown.ceremony, &answer, &system.passkeys_of(id).await?);
    let Proven { passkey, document } = proven.inspect_err(|_| {
        app.observe(Event::Refused { from: peer.ip().to_string() });
    })?;
    system.passkey_used(passkey, document, now).await?;
    let scope = system.scope(id, now).await?.ok_or(Problem::SignIn)?;
    let person = app.store.within(&scope).me().await?;
    let (_, cookie) = sign_in::enter(&app, &person, &headers).await?;
    Ok(([(header::SET_COOKIE, cookie)], see(sign_in::within(&shown.next))).into_response())
}
