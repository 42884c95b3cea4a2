//! Silences, as JSON.

use api::answer::people::Made;
use api::answer::silences::{NewSilence, Silence, Silences};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use fleet::SilenceScope;

use super::{Refused, identity};
use crate::app::App;
use crate::form::Sent;
use crate::pages::silence::{self, Wish};
use crate::problem::Problem;
use crate::visitor::Caller;
use crate::when::exact;

#[utoipa::path(get, path = "/api/v1/silences", responses(
    (status = 200, description = "The silences that hold, the last to end first", body = Silences),
    Refused,
))]
pub(crate) async fn list(State(app): State<App>, Caller(caller): Caller) -> Result<Json<Silences>, Problem> {
    let silences = silence::holding(&app, &caller).await?;
    Ok(Json(Silences { silences: silences.into_iter().map(of).collect() }))
}

fn of(silence: fleet::Silence) -> Silence {
    let (about, of, condition) = match silence.scope {
        SilenceScope::Client(client) => ("client", client.to_string(), None),
        SilenceScope::Site(site) => ("site", site.to_string(), None),
        SilenceScope::Machine(machine) => ("machine", machine.to_string(), None),
        SilenceScope::Condition(machine, condition) => {
            ("condition", machine.to_string(), Some(condition.word().into()))
        }
    };
    Silence {
        id: silence.id.to_string(),
        about: about.into(),
        of,
        condition,
        by: silence.by.name,
        reason: silence.reason,
        from: exact(silence.from),
        until: exact(silence.until),
        suppressed: silence.suppressed,
    }
}

fn wish(new: NewSilence) -> Wish {
    Wish { reason: new.reason, hours: new.hours }
}

#[utoipa::path(post, path = "/api/v1/clients/{client}/silence", params(("client" = String, Path, description = "About which")),
    request_body = NewSilence, responses(
    (status = 201, description = "Messages about the client are held back until it ends", body = Made),
    Refused,
))]
pub(crate) async fn client(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Sent(new): Sent<NewSilence>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let id = silence::begin(&app, &caller, SilenceScope::Client(identity(&id)?), wish(new)).await?;
    Ok((StatusCode::CREATED, Json(Made { id: id.to_string() })))
}

#[utoipa::path(post, path = "/api/v1/alerts/{alert}/silence", params(("alert" = String, Path, description = "About what it is about")),
    request_body = NewSilence, responses(
    (status = 201, description = "Messages about that are held back until it ends", body = Made),
    Refused,
))]
pub(crate) async fn alert(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Sent(new): Sent<NewSilence>,
) -> Result<(StatusCode, Json<Made>), Problem> {
    let scope = silence::of_alert(&app, &caller, identity(&id)?).await?;
    let id = silence::begin(&app, &caller, scope, wish(new)).await?;
    Ok((StatusCode::CREATED, Json(Made { id: id.to_string() })))
}

#[utoipa::path(post, path = "/api/v1/silences/{silence}/end", params(("silence" = String, Path, description = "Which")), responses(
    (status = 204, description = "Messages are sent again"),
    Refused,
))]
pub(crate) async fn end(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.store.within(&caller.scope).end_silence(identity(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
