//! Forms: read in bounded memory, and only where they carry the token of the session they were shown in.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::frame;
use crate::problem::Problem;
use crate::token;
use crate::visitor::Visitor;

/// Bytes of a form.
const LIMIT: usize = 64 << 10;

/// A form of somebody who is not signed in.
pub(crate) struct Open<T>(pub(crate) T);

/// A form of somebody who is signed in by a browser, and who it is.
pub(crate) struct Signed<T>(pub(crate) Visitor, pub(crate) T);

/// A form without fields of its own.
#[derive(Deserialize)]
pub(crate) struct Nothing {}

impl<T: DeserializeOwned> FromRequest<App> for Open<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Open<T>, Problem> {
        Ok(Open(fields(&body(request).await?)?))
    }
}

/// What a program sends as JSON; who asks is found out before.
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Sent<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Sent<T>, Problem> {
        let read = serde_json::from_slice(&body(request).await?);
        Ok(Sent(read.map_err(|error| Problem::Invalid(format!("The request cannot be read: {error}.")))?))
    }
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

impl<T: DeserializeOwned> FromRequest<App> for Signed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Signed<T>, Problem> {
        let visitor = Visitor::of_browser(request.headers(), app).await?;
        let body = body(request).await?;
        let carried = fields::<Token>(&body).map_err(|_| Problem::Foreign)?;
        if !token::same(&carried.token, &visitor.form_token) {
            return Err(Problem::Foreign);
        }
        Ok(Signed(visitor, fields(&body)?))
    }
}

async fn body(request: Request) -> Result<Bytes, Problem> {
    frame::whole(request.into_body(), LIMIT).await
}

fn fields<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_urlencoded::from_bytes(body).map_err(|error| Problem::Invalid(format!("The form cannot be read: {error}.")))
}
