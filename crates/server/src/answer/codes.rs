//! Codes that let machines in, as JSON. What a code reads is told once, to whoever made it.

use api::answer::firm::{Code, NewCode, OpenCode, OpenCodes};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use continuity::Act;
use fleet::MachineClass;
use store::EnrolmentCode;

use super::{Refused, identity};
use crate::app::App;
use crate::form::Sent;
use crate::pages::enrol::{self, Fresh};
use crate::problem::Problem;
use crate::visitor::Caller;
use crate::when::exact;

#[utoipa::path(post, path = "/api/v1/codes", request_body = NewCode, responses(
    (status = 201, description = "The code, told once", body = Code),
    Refused,
))]
pub(crate) async fn make(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewCode>,
) -> Result<(StatusCode, Json<Code>), Problem> {
    caller.must(Act::Configure)?;
    let classes = [MachineClass::Server, MachineClass::Workstation, MachineClass::Laptop];
    let class = classes.into_iter().find(|class| class.word() == new.class);
    let class = class.ok_or_else(|| Problem::Invalid("A class is server, workstation or laptop.".into()))?;
    let (client, policy) = (identity(&new.client)?, new.policy.unwrap_or_default());
    let wish = enrol::Wish { client, class, uses: new.uses, hours: new.hours, policy };
    let Fresh { id, text, expires } = enrol::fresh(&app, &caller, &wish).await?;
    let (command, link) = (enrol::command(&app, &text), enrol::link(&app, &text));
    Ok((StatusCode::CREATED, Json(Code { id: id.to_string(), code: text, command, ends: exact(expires), link })))
}

#[utoipa::path(get, path = "/api/v1/codes", responses(
    (status = 200, description = "The codes that still let machines in, of clients that the asker may set up", body = OpenCodes),
    Refused,
))]
pub(crate) async fn list(State(app): State<App>, Caller(caller): Caller) -> Result<Json<OpenCodes>, Problem> {
    caller.must(Act::Configure)?;
    let codes = enrol::open_codes(&app, &caller).await?;
    Ok(Json(OpenCodes { codes: codes.into_iter().map(|(_, code)| of(code)).collect() }))
}

fn of(code: EnrolmentCode) -> OpenCode {
    OpenCode {
        id: code.id.to_string(),
        client: code.client.to_string(),
        class: code.class.word().into(),
        policy: code.policy.map(|policy| policy.to_string()),
        uses_left: code.uses_left,
        ends: exact(code.expires),
        made_by: code.made_by,
    }
}

#[utoipa::path(post, path = "/api/v1/codes/{code}/end", params(("code" = String, Path, description = "Which")), responses(
    (status = 204, description = "It lets nobody in any more"),
    Refused,
))]
pub(crate) async fn end(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.store.within(&caller.scope).remove_code(identity(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
