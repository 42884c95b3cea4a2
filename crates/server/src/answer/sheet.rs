//! How it stands with a client's recovery sheet, as JSON. What stands on it is told to nobody.

use api::answer::sheet::{Missing, Sheet, SheetProof};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::{Refused, TooOften, identity};
use crate::app::App;
use crate::form::Sent;
use crate::pages::sheet::{self, Stands};
use crate::problem::Problem;
use crate::visitor::Caller;
use crate::when::exact;

#[utoipa::path(get, path = "/api/v1/clients/{client}/sheet", params(("client" = String, Path, description = "Whose")), responses(
    (status = 200, description = "How it stands with the sheet; it is made if there is none", body = Sheet),
    Refused,
))]
pub(crate) async fn get(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<Sheet>, Problem> {
    let client = sheet::enter(&app, &caller, identity(&id)?).await?;
    let stands = sheet::stands(&app, &caller, &client).await?;
    let command = sheet::command(&client);
    let (asks, opens, missing, problem) = match stands {
        Ok(Stands { asks, opens, missing }) => (Some(asks.to_vec()), opens, missing, None),
        Err(why) => (None, Vec::new(), Vec::new(), Some(why)),
    };
    let missing = missing.into_iter().map(|(machine, why)| Missing { machine, why }).collect();
    let (client, confirmed) = (client.id.to_string(), client.sheet_confirmed.map(exact));
    Ok(Json(Sheet { client, confirmed, command, asks, opens, missing, problem }))
}

#[utoipa::path(post, path = "/api/v1/clients/{client}/sheet", params(("client" = String, Path, description = "Whose")),
    request_body = SheetProof, responses(
    (status = 204, description = "Those are its groups: somebody has it"),
    TooOften,
    Refused,
))]
pub(crate) async fn confirm(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Sent(proof): Sent<SheetProof>,
) -> Result<StatusCode, Problem> {
    let client = sheet::enter(&app, &caller, identity(&id)?).await?;
    match sheet::proved(&app, &caller, client.id, [proof.first, proof.second]).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::Invalid(sheet::OTHER.into())),
    }
}
