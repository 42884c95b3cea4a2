//! Changing how a firm sends messages, and trying it.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use continuity::Act;
use fleet::TenantId;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::form::{MailForm, StepForm};
use super::{Beside, page, people};
use crate::app::App;
use crate::form::Signed;
use crate::notify::firm::{Firm, Inside, Kept, SETTING, Webhook};
use crate::notify::{Letter, Sender, Way, fresh_key, reach};
use crate::page::Just;
use crate::problem::{Problem, see};
use crate::visitor::Visitor;

/// What was wrong, and what was typed.
pub(crate) struct Wrong {
    why: String,
    beside: Beside,
}

impl Wrong {
    fn new(why: &impl ToString, beside: Beside) -> Wrong {
        Wrong { why: why.to_string(), beside }
    }

    /// What was wrong, in a sentence.
    pub(crate) fn sentence(&self) -> String {
        super::super::client::sentence(&self.why.trim_end_matches('.'))
    }
}

/// What became of a change: a new key for the webhook, if it has one, is told this once.
pub(crate) type Saved = Result<Result<Option<String>, Wrong>, Problem>;

async fn save(app: &App, visitor: &Visitor, tenant: TenantId, firm: &Firm) -> Result<(), Problem> {
    visitor.must_on(Act::Invite, tenant)?;
    let written = firm.written(&app.seal, tenant)?;
    Ok(app.store.within(&visitor.scope).set_setting(tenant, SETTING, &written).await?)
}

/// The page again: with what was wrong, with a new key, or as it is now.
async fn shown(app: &App, visitor: &Visitor, tenant: TenantId, saved: Saved) -> Result<Response, Problem> {
    let (status, beside) = match saved? {
        Ok(None) => return Ok(see(&Just::at("/messages", "messages", 0))),
        Ok(new_key) => (StatusCode::OK, Beside { new_key, ..Beside::default() }),
        Err(wrong) => {
            let sentence = Some(wrong.sentence());
            (StatusCode::UNPROCESSABLE_ENTITY, Beside { wrong: sentence, ..wrong.beside })
        }
    };
    page(app, visitor, status, &Just::default(), Some((tenant, beside))).await
}

#[derive(Deserialize)]
pub(crate) struct TypedMail {
    pub(crate) tenant: TenantId,
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) protection: String,
    pub(crate) user: String,
    /// Empty: the one that is kept.
    pub(crate) password: Zeroizing<String>,
    pub(crate) from: String,
    #[serde(default)]
    pub(crate) authority: String,
}

/// `POST /messages/mail`
pub(crate) async fn mail(
    State(app): State<App>,
    Signed(visitor, typed): Signed<TypedMail>,
) -> Result<Response, Problem> {
    let tenant = typed.tenant;
    shown(&app, &visitor, tenant, save_mail(&app, &visitor, typed).await).await
}

/// Changes a firm's mail server.
pub(crate) async fn save_mail(app: &App, visitor: &Visitor, typed: TypedMail) -> Saved {
    visitor.must_on(Act::Invite, typed.tenant)?;
    let mut firm = Firm::load(app, typed.tenant).await?;
    let old = firm.mail.take();
    let TypedMail { tenant, host, port, protection, user, password, from, authority } = typed;
    if !host.trim().is_empty() {
        // A password goes to nobody but the server that it was typed for.
        let kept = old.filter(|old| old.host == host.trim() && old.user == user.trim()).map(|old| old.password);
        let has_password = kept.is_some();
        let form = MailForm { host, port, protection, user, from, authority, has_password };
        let password = if password.is_empty() { kept.unwrap_or_default() } else { Kept(password.to_string()) };
        match form.meant(password) {
            Ok(server) => firm.mail = Some(server),
            Err(why) => return Ok(Err(Wrong::new(&why, Beside { mail: Some(form), ..Beside::default() }))),
        }
    }
    save(app, visitor, tenant, &firm).await?;
    Ok(Ok(None))
}

#[derive(Deserialize)]
pub(crate) struct TypedAddress {
    pub(crate) tenant: TenantId,
    pub(crate) address: String,
}

/// `POST /messages/webhook`
pub(crate) async fn webhook(
    State(app): State<App>,
    Signed(visitor, typed): Signed<TypedAddress>,
) -> Result<Response, Problem> {
    let tenant = typed.tenant;
    shown(&app, &visitor, tenant, save_webhook(&app, &visitor, typed).await).await
}

/// Changes a firm's webhook. Whoever listens elsewhere gets a key of their own.
pub(crate) async fn save_webhook(app: &App, visitor: &Visitor, typed: TypedAddress) -> Saved {
    visitor.must_on(Act::Invite, typed.tenant)?;
    let mut firm = Firm::load(app, typed.tenant).await?;
    let (tenant, address) = (typed.tenant, typed.address.trim().to_owned());
    if !address.is_empty()
        && let Err(why) = reach::understood(&address, firm.inside)
    {
        return Ok(Err(Wrong::new(&why, Beside { webhook: Some(typed.address), ..Beside::default() })));
    }
    let same = firm.webhook.take().filter(|old| old.address == address);
    if !address.is_empty() && same.is_none() {
        return with_key(app, visitor, tenant, firm, address).await;
    }
    firm.webhook = same;
    save(app, visitor, tenant, &firm).await?;
    Ok(Ok(None))
}

/// Saves a webhook with a new key.
async fn with_key(app: &App, visitor: &Visitor, tenant: TenantId, mut firm: Firm, address: String) -> Saved {
    let secret = fresh_key()?;
    let new_key = Some(secret.0.clone());
    firm.webhook = Some(Webhook { address, secret });
    save(app, visitor, tenant, &firm).await?;
    Ok(Ok(new_key))
}

#[derive(Deserialize)]
pub(crate) struct OfFirm {
    tenant: TenantId,
}

/// `POST /messages/key`
pub(crate) async fn key(
    State(app): State<App>,
    Signed(visitor, OfFirm { tenant }): Signed<OfFirm>,
) -> Result<Response, Problem> {
    shown(&app, &visitor, tenant, renew_key(&app, &visitor, tenant).await).await
}

/// Gives a firm's webhook another key.
pub(crate) async fn renew_key(app: &App, visitor: &Visitor, tenant: TenantId) -> Saved {
    visitor.must_on(Act::Invite, tenant)?;
    let firm = Firm::load(app, tenant).await?;
    match firm.webhook.as_ref().map(|webhook| webhook.address.clone()) {
        Some(address) => with_key(app, visitor, tenant, firm, address).await,
        None => Ok(Err(Wrong::new(&"there is no webhook", Beside::default()))),
    }
}

#[derive(Deserialize)]
pub(crate) struct TypedSteps {
    pub(crate) tenant: TenantId,
    #[serde(flatten)]
    pub(crate) others: BTreeMap<String, String>,
}

/// `POST /messages/steps`
pub(crate) async fn steps(
    State(app): State<App>,
    Signed(visitor, typed): Signed<TypedSteps>,
) -> Result<Response, Problem> {
    let tenant = typed.tenant;
    shown(&app, &visitor, tenant, save_steps(&app, &visitor, typed).await).await
}

/// Changes whom a firm tells.
pub(crate) async fn save_steps(app: &App, visitor: &Visitor, typed: TypedSteps) -> Saved {
    visitor.must_on(Act::Invite, typed.tenant)?;
    let tenant = typed.tenant;
    let forms = StepForm::typed(&typed.others, &people(app, tenant).await?);
    let mut firm = Firm::load(app, tenant).await?;
    match StepForm::meant(&forms) {
        Ok(steps) => firm.steps = steps,
        Err(why) => return Ok(Err(Wrong::new(&why, Beside { steps: Some(forms), ..Beside::default() }))),
    }
    save(app, visitor, tenant, &firm).await?;
    Ok(Ok(None))
}

#[derive(Deserialize)]
pub(crate) struct TypedWatchdog {
    pub(crate) tenant: TenantId,
    pub(crate) address: String,
    /// Whether addresses inside may be called: a box that is ticked is there.
    pub(crate) inside: Option<String>,
}

/// `POST /messages/watchdog`
pub(crate) async fn watchdog(
    State(app): State<App>,
    Signed(visitor, typed): Signed<TypedWatchdog>,
) -> Result<Response, Problem> {
    let tenant = typed.tenant;
    shown(&app, &visitor, tenant, save_watchdog(&app, &visitor, typed).await).await
}

/// Changes a firm's watchdog, and whether addresses inside its network may be called.
pub(crate) async fn save_watchdog(app: &App, visitor: &Visitor, typed: TypedWatchdog) -> Saved {
    visitor.must_on(Act::Invite, typed.tenant)?;
    let mut firm = Firm::load(app, typed.tenant).await?;
    firm.inside = if typed.inside.is_some() { Inside::Allowed } else { Inside::Refused };
    let address = typed.address.trim();
    if !address.is_empty()
        && let Err(why) = reach::understood(address, firm.inside)
    {
        return Ok(Err(Wrong::new(&why, Beside { watchdog: Some(typed.address), ..Beside::default() })));
    }
    firm.watchdog = (!address.is_empty()).then(|| address.to_owned());
    save(app, visitor, typed.tenant, &firm).await?;
    Ok(Ok(None))
}

#[derive(Deserialize)]
pub(crate) struct Trial {
    tenant: TenantId,
    way: String,
}

/// `POST /messages/test`
pub(crate) async fn test(State(app): State<App>, Signed(visitor, trial): Signed<Trial>) -> Result<Response, Problem> {
    let beside = match test_of(&app, &visitor, trial.tenant, &trial.way).await? {
        Ok(answer) => Beside { answer: Some(answer), ..Beside::default() },
        Err(wrong) => Beside { wrong: Some(wrong), ..Beside::default() },
    };
    page(&app, &visitor, StatusCode::OK, &Just::default(), Some((trial.tenant, beside))).await
}

/// Tries a way of a firm; what was answered, or why it was not sent.
pub(crate) async fn test_of(
    app: &App,
    visitor: &Visitor,
    tenant: TenantId,
    way: &str,
) -> Result<Result<String, String>, Problem> {
    visitor.must_on(Act::Invite, tenant)?;
    let way = match way {
        "mail" => Way::Mail(visitor.person.id),
        "webhook" => Way::Webhook,
        _ => return Err(Problem::Invalid("There is no such way.".into())),
    };
    tried(app, visitor, tenant, way).await
}

/// Sends a test now; what was answered, or why it was not sent.
pub(crate) async fn tried(
    app: &App,
    visitor: &Visitor,
    tenant: TenantId,
    way: Way,
) -> Result<Result<String, String>, Problem> {
    let account = format!("messages of {}", visitor.person.id);
    let nowhere = std::net::Ipv4Addr::UNSPECIFIED.into();
    if let Err(crate::attempts::Wait(seconds)) = app.attempts.count(&account, nowhere) {
        return Err(Problem::TooMany(seconds));
    }
    let (sender, now) = (Sender::of(app, tenant, &way).await?, app.now());
    let letter = Letter::test(sender.firm(), &app.facade.address, app.random()?, now);
    let answer = match sender.send(&way, &letter).await {
        Ok(answer) => Ok(format!("Sent by {}. {answer}.", way.words())),
        Err(unsent) => Err(format!("Not sent by {}: {}.", way.words(), unsent.words())),
    };
    let words = answer.as_ref().unwrap_or_else(|words| words);
    app.store.system().record(tenant, &visitor.person.actor(), now, "message test", way.words(), words).await?;
    Ok(answer)
}
