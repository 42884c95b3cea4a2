//! Messages of a firm: by what they are sent, whom they tell in which order, and the watchdog. For owners.

mod change;
mod form;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use continuity::{Act, Person};
use fleet::{Tenant, TenantId};

use crate::app::App;
use crate::notify::firm::{Firm, Inside};
use crate::page::{Frame, Just, Place, show};
use crate::problem::Problem;
use crate::visitor::Visitor;

pub(crate) use change::{
    Saved, TypedAddress, TypedMail, TypedSteps, TypedWatchdog, key, mail, renew_key, save_mail, save_steps,
    save_watchdog, save_webhook, steps, test, test_of, tried, watchdog, webhook,
};
pub(crate) use form::STEPS;
use form::{MailForm, StepForm};

#[derive(Template)]
#[template(path = "messages.html")]
struct MessagesPage {
    frame: Frame,
    sentence: String,
    firms: Vec<Panel>,
}

/// What is set up for one firm, or was typed and refused.
struct Panel {
    id: TenantId,
    name: String,
    mail: MailForm,
    webhook: String,
    has_key: bool,
    new_key: Option<String>,
    steps: Vec<StepForm>,
    watchdog: String,
    is_inside_allowed: bool,
    wrong: Option<String>,
    answer: Option<String>,
}

/// What the page shows of one firm beside what is stored.
#[derive(Default)]
struct Beside {
    mail: Option<MailForm>,
    webhook: Option<String>,
    new_key: Option<String>,
    steps: Option<Vec<StepForm>>,
    watchdog: Option<String>,
    wrong: Option<String>,
    /// What a test was answered.
    answer: Option<String>,
}

/// `GET /messages`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Query(just): Query<Just>,
) -> Result<Response, Problem> {
    visitor.must(Act::Invite)?;
    page(&app, &visitor, StatusCode::OK, &just, None).await
}

async fn page(
    app: &App,
    visitor: &Visitor,
    status: StatusCode,
    just: &Just,
    mut beside: Option<(TenantId, Beside)>,
) -> Result<Response, Problem> {
    let mut firms = Vec::new();
    for tenant in app.store.within(&visitor.scope).tenants().await? {
        if visitor.scope.may(Act::Invite, tenant.id) {
            let beside = beside.take_if(|(of, _)| *of == tenant.id).map(|(_, beside)| beside);
            firms.push(panel(app, tenant, beside.unwrap_or_default()).await?);
        }
    }
    let page = MessagesPage {
        frame: Frame::new("Messages", Place::Settings, visitor, just),
        sentence: sentence(&firms),
        firms,
    };
    Ok((status, show(&page)?).into_response())
}

fn sentence(firms: &[Panel]) -> String {
    match firms.iter().any(|firm| firm.steps.iter().all(StepForm::is_nobody)) {
        true => "Nobody is told when something is wrong.".into(),
        false => "Somebody is told when something is wrong.".into(),
    }
}

async fn panel(app: &App, tenant: Tenant, beside: Beside) -> Result<Panel, Problem> {
    let firm = Firm::load(app, tenant.id).await?;
    let people = people(app, tenant.id).await?;
    Ok(Panel {
        id: tenant.id,
        name: tenant.name,
        mail: beside.mail.unwrap_or_else(|| MailForm::of(firm.mail.as_ref())),
        has_key: firm.webhook.is_some(),
        webhook: beside.webhook.unwrap_or_else(|| firm.webhook.map(|webhook| webhook.address).unwrap_or_default()),
        new_key: beside.new_key,
        steps: beside.steps.unwrap_or_else(|| StepForm::all(&firm.steps, &people)),
        watchdog: beside.watchdog.unwrap_or_else(|| firm.watchdog.unwrap_or_default()),
        is_inside_allowed: firm.inside == Inside::Allowed,
        wrong: beside.wrong,
        answer: beside.answer,
    })
}

/// Who can be told, by name.
pub(crate) async fn people(app: &App, tenant: TenantId) -> Result<Vec<Person>, Problem> {
    let mut people = app.store.system().people_of(tenant).await?;
    people.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    Ok(people)
}
