//! How firms send messages, as JSON, and trying it. Passwords and keys are never told.

use api::answer::messages::{FirmMessages, Mail, Messages, NewTest, Step, Tested};
use axum::Json;
use axum::extract::State;
use continuity::Act;
use fleet::Tenant;

use super::{Refused, TooOften, identity};
use crate::app::App;
use crate::form::Sent;
use crate::notify::firm::{self, Firm, Inside};
use crate::pages::messages;
use crate::problem::Problem;
use crate::visitor::Caller;

#[utoipa::path(get, path = "/api/v1/messages", responses(
    (status = 200, description = "How the firms send messages that the asker may set up", body = Messages),
    Refused,
))]
pub(crate) async fn list(State(app): State<App>, Caller(caller): Caller) -> Result<Json<Messages>, Problem> {
    caller.must(Act::Invite)?;
    let mut firms = Vec::new();
    for tenant in app.store.within(&caller.scope).tenants().await? {
        if caller.scope.may(Act::Invite, tenant.id) {
            let firm = Firm::load(&app, tenant.id).await?;
            firms.push(of(tenant, firm));
        }
    }
    Ok(Json(Messages { firms }))
}

fn of(tenant: Tenant, firm: Firm) -> FirmMessages {
    FirmMessages {
        tenant: tenant.id.to_string(),
        name: tenant.name,
        mail: firm.mail.map(of_mail),
        webhook: firm.webhook.map(|webhook| webhook.address),
        steps: firm.steps.into_iter().map(of_step).collect(),
        watchdog: firm.watchdog,
        inside_allowed: firm.inside == Inside::Allowed,
    }
}

fn of_mail(mail: firm::MailServer) -> Mail {
    let protection = mail.protection.word().into();
    let has_password = !mail.password.0.is_empty();
    let firm::MailServer { host, port, user, from, authority, .. } = mail;
    Mail { host, port, protection, user, has_password, from, authority }
}

fn of_step(step: firm::Step) -> Step {
    let people = step.people.iter().map(ToString::to_string).collect();
    Step { after_minutes: step.after, people, webhook: step.webhook }
}

#[utoipa::path(post, path = "/api/v1/messages/test", request_body = NewTest, responses(
    (status = 200, description = "What became of it", body = Tested),
    TooOften,
    Refused,
))]
pub(crate) async fn test(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewTest>,
) -> Result<Json<Tested>, Problem> {
    let tested = messages::test_of(&app, &caller, identity(&new.tenant)?, &new.way).await?;
    let sent = tested.is_ok();
    Ok(Json(Tested { sent, answer: tested.unwrap_or_else(|wrong| wrong) }))
}
