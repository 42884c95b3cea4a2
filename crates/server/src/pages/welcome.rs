//! Welcome: who holds a one-time link sets a password and is signed in. The link is good once, and for a while.

use std::net::IpAddr;

use askama::Template;
use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use continuity::Person;
use serde::Deserialize;
use store::Secret;
use zeroize::Zeroizing;

use crate::app::App;
use crate::form::Open;
use crate::listen::Peer;
use crate::page::{Frame, show};
use crate::pages::sign_in;
use crate::problem::{Problem, see};
use crate::{attempts, password};

#[derive(Template)]
#[template(path = "welcome.html")]
struct WelcomePage {
    frame: Frame,
    name: String,
    email: String,
    link: String,
    wrong: Option<String>,
}

/// `GET /welcome/{link}`
pub(crate) async fn get(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    Path(link): Path<String>,
) -> Result<Response, Problem> {
    let person = holder(&app, &link, peer.ip()).await?;
    page(StatusCode::OK, person, link, None)
}

/// Who a link is for. Guessing links is counted like guessing passwords.
async fn holder(app: &App, link: &str, from: IpAddr) -> Result<Person, Problem> {
    if let Err(attempts::Wait(seconds)) = app.attempts.count("one-time link", from) {
        return Err(Problem::TooMany(seconds));
    }
    app.store.system().link_holder(&Secret::received(link), app.now()).await?.ok_or_else(ended)
}

fn ended() -> Problem {
    Problem::Gone(
        "This link has ended: it is good once, and for a while. An owner makes a new one on the page People; on the \
         server itself `stead server link` prints one.",
    )
}

fn page(status: StatusCode, person: Person, link: String, wrong: Option<String>) -> Result<Response, Problem> {
    let Person { name, email, .. } = person;
    let page = WelcomePage { frame: Frame::outside("Welcome"), name, email, link, wrong };
    Ok((status, show(&page)?).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Chosen {
    password: Zeroizing<String>,
    again: Zeroizing<String>,
}

/// `POST /welcome/{link}`
pub(crate) async fn post(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    Path(link): Path<String>,
    headers: HeaderMap,
    Open(form): Open<Chosen>,
) -> Result<Response, Problem> {
    let person = holder(&app, &link, peer.ip()).await?;
    if let Some(wrong) = fault(&form.password, &form.again, &person.email) {
        return page(StatusCode::UNPROCESSABLE_ENTITY, person, link, Some(wrong));
    }
    let hash = password::hash(form.password).await?;
    let (system, now) = (app.store.system(), app.now());
    // Of two who come at once, one has it.
    let person = system.use_link(&Secret::received(&link), now).await?.ok_or_else(ended)?;
    let scope = system.scope(person.id, now).await?.ok_or_else(ended)?;
    let view = app.store.within(&scope);
    view.set_password(&hash).await?;
    let (session, cookie) = sign_in::enter(&app, &person, &headers).await?;
    view.end_other_sessions(session).await?;
    Ok(([(header::SET_COOKIE, cookie)], see("/")).into_response())
}

/// What is wrong with a new password, if anything.
pub(crate) fn fault(password: &str, again: &str, email: &str) -> Option<String> {
    match password::judge(password, email) {
        Err(weak) => Some(weak.to_string()),
        Ok(()) if password != again => Some("The two are not the same. Type the new password twice.".into()),
        Ok(()) => None,
    }
}
