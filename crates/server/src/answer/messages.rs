//! How firms send messages, as JSON; changing and trying it. Passwords are never told, a key once.

use std::collections::BTreeMap;

use api::answer::messages::{
    Changed, FirmMessages, Mail, Messages, NewKey, NewMail, NewSteps, NewTest, NewWatchdog, NewWebhook, Step, Tested,
};
use axum::Json;
use axum::extract::State;
use continuity::Act;
use fleet::{Tenant, TenantId};
use zeroize::Zeroizing;

use super::{Refused, TooOften, identity};
use crate::app::App;
use crate::form::Sent;
use crate::notify::firm::{self, Firm, Inside};
use crate::pages::messages::{self, Saved, TypedAddress, TypedMail, TypedSteps, TypedWatchdog};
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

/// What was saved, or why not.
fn changed(saved: Saved) -> Result<Json<Changed>, Problem> {
    let key = saved?.map_err(|wrong| Problem::Invalid(wrong.sentence()))?;
    Ok(Json(Changed { key }))
}

#[utoipa::path(post, path = "/api/v1/messages/mail", request_body = NewMail, responses(
    (status = 200, description = "It is the mail server from now on", body = Changed),
    Refused,
))]
pub(crate) async fn mail(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewMail>,
) -> Result<Json<Changed>, Problem> {
    let NewMail { tenant, host, port, protection, user, password, from, authority } = new;
    let (tenant, port, password) = (identity(&tenant)?, port.to_string(), Zeroizing::new(password.unwrap_or_default()));
    let typed = TypedMail { tenant, host, port, protection, user, password, from, authority };
    changed(messages::save_mail(&app, &caller, typed).await)
}

#[utoipa::path(post, path = "/api/v1/messages/webhook", request_body = NewWebhook, responses(
    (status = 200, description = "It is the webhook from now on; another address gets another key", body = Changed),
    Refused,
))]
pub(crate) async fn webhook(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewWebhook>,
) -> Result<Json<Changed>, Problem> {
    let typed = TypedAddress { tenant: identity(&new.tenant)?, address: new.address };
    changed(messages::save_webhook(&app, &caller, typed).await)
}

#[utoipa::path(post, path = "/api/v1/messages/key", request_body = NewKey, responses(
    (status = 200, description = "The key that holds from now on, told once", body = Changed),
    Refused,
))]
pub(crate) async fn key(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewKey>,
) -> Result<Json<Changed>, Problem> {
    changed(messages::renew_key(&app, &caller, identity(&new.tenant)?).await)
}

#[utoipa::path(post, path = "/api/v1/messages/steps", request_body = NewSteps, responses(
    (status = 200, description = "They are told in this order from now on", body = Changed),
    Refused,
))]
pub(crate) async fn steps(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewSteps>,
) -> Result<Json<Changed>, Problem> {
    let tenant: TenantId = identity(&new.tenant)?;
    caller.must_on(Act::Invite, tenant)?;
    let known = messages::people(&app, tenant).await?;
    let is_known = |id: &String| known.iter().any(|person| person.id.to_string() == *id);
    if new.steps.len() > messages::STEPS || !new.steps.iter().flat_map(|step| &step.people).all(is_known) {
        return Err(Problem::Invalid("At most four steps tell people who belong to the firm.".into()));
    }
    changed(messages::save_steps(&app, &caller, TypedSteps { tenant, others: fields(&new.steps) }).await)
}

#[utoipa::path(post, path = "/api/v1/messages/watchdog", request_body = NewWatchdog, responses(
    (status = 200, description = "It is called from now on", body = Changed),
    Refused,
))]
pub(crate) async fn watchdog(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewWatchdog>,
) -> Result<Json<Changed>, Problem> {
    let inside = new.inside_allowed.then(|| "on".to_owned());
    let typed = TypedWatchdog { tenant: identity(&new.tenant)?, address: new.address, inside };
    changed(messages::save_watchdog(&app, &caller, typed).await)
}

/// As the page's form has them.
fn fields(steps: &[Step]) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for (number, step) in steps.iter().enumerate() {
        fields.insert(format!("{number}-after"), step.after_minutes.to_string());
        let told = step.people.iter().cloned().chain(step.webhook.then(|| "webhook".to_owned()));
        fields.extend(told.map(|whom| (format!("{number}-{whom}"), "on".to_owned())));
    }
    fields
}
