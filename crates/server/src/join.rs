//! Joining: a machine shows a code and its public key, and is looked after from then on.

use api::answer::{Enrolled, Enrolment, Problem as Told};
use axum::extract::{Request, State};
use axum::{Extension, Json};
use fleet::MachineId;
use store::Secret;

use crate::app::App;
use crate::listen::Peer;
use crate::problem::Problem;
use crate::{attempts, code, frame, judge};

/// Bytes of such a request.
const LIMIT: usize = 16 << 10;

#[utoipa::path(post, path = "/api/v1/enrol", request_body = Enrolment, responses(
    (status = 200, description = "The machine has joined; shown again by the same key before its first call, the same machine", body = Enrolled),
    (status = 404, description = "The code is wrong, used up or has ended", body = Told),
    (status = 409, description = "A machine with this key has joined before", body = Told),
    (status = 413, description = "Too much was sent", body = Told),
    (status = 422, description = "The request makes no sense", body = Told),
    (status = 429, description = "Too many codes were tried", body = Told),
))]
pub(crate) async fn enrol(
    State(app): State<App>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Result<Json<Enrolled>, Problem> {
    if let Err(attempts::Wait(seconds)) = app.attempts.count("enrolment code", peer.ip()) {
        return Err(Problem::TooMany(seconds));
    }
    let body = frame::whole(request.into_body(), LIMIT).await?;
    let wish: Enrolment = serde_json::from_slice(&body)
        .map_err(|error| Problem::Invalid(format!("The request cannot be read: {error}.")))?;
    let (now, credential) = (app.now(), Secret::random());
    let machine = MachineId::made(now, app.random()?);
    let new = store::Enrolment {
        machine,
        name: name(&wish.name)?,
        identity: Some(identity(&wish.identity)?),
        hardware: wish.hardware.map(|hardware| hardware.chars().take(1_000).collect()),
        sealed_key: None,
        credential: credential.hash(),
    };
    let code = Secret::received(&code::as_meant(&wish.code));
    let enrolled = app.store.system().enrol(&code, &new, now).await.map_err(|error| match error {
        store::Error::NotFound("code") => Problem::WrongCode,
        error => error.into(),
    })?;
    judge::at_once(&app, enrolled.machine).await?;
    let client = enrolled.client.to_string();
    Ok(Json(Enrolled { machine: enrolled.machine.to_string(), client, credential: credential.text().to_owned() }))
}

/// What a machine may be called.
pub(crate) fn name(text: &str) -> Result<String, Problem> {
    let name: String = text.trim().chars().filter(|c| !c.is_control()).collect();
    match name.chars().count() {
        1..=100 => Ok(name),
        _ => Err(Problem::Invalid("A machine has a name of 1 to 100 characters.".into())),
    }
}

fn identity(text: &str) -> Result<[u8; 32], Problem> {
    let mut key = [0; 32];
    let read = hex::decode_to_slice(text, &mut key);
    read.map(|()| key).map_err(|_| Problem::Invalid("A public key has 64 hexadecimal digits.".into()))
}
