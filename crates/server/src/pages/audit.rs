//! The audit log: what was done, by whom, in chains that are verified when the page is shown.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use continuity::{Act, Scope};
use fleet::{Tenant, TenantId};
use futures_util::StreamExt;
use serde::Deserialize;
use store::{AuditEntry, View};

use crate::app::App;
use crate::page::{Frame, Just, Place, show};
use crate::problem::Problem;
use crate::visitor::Visitor;
use crate::when::When;

/// Lines of a chain on one page.
const LINES: u64 = 50;

/// Lines of an export that are read at once.
const EXPORTED: u64 = 500;

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    sentence: &'static str,
    about: &'static str,
    chains: Vec<Chain>,
}

struct Chain {
    tenant: String,
    export: String,
    class: &'static str,
    verdict: String,
    entries: Vec<Line>,
    older: Option<String>,
}

struct Line {
    at: When,
    sentence: String,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    tenant: Option<TenantId>,
    before: Option<u64>,
}

/// `GET /audit`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    visitor.must(Act::Configure)?;
    let view = app.store.within(&visitor.scope);
    let mut chains = Vec::new();
    for tenant in view.tenants().await? {
        let is_wanted = asked.tenant.is_none_or(|wanted| wanted == tenant.id);
        if is_wanted && visitor.scope.may(Act::Configure, tenant.id) {
            chains.push(chain(&app, &view, tenant, asked.before).await?);
        }
    }
    let whole = chains.iter().all(|chain| chain.class == "is-good");
    let page = AuditPage {
        frame: Frame::new("Audit log", Place::Settings, &visitor, &Just::default()),
        sentence: if whole { "The audit log is whole." } else { "The audit log was changed." },
        about: "Each line carries a hash of all lines before it. A line that is changed or taken away breaks the chain.",
        chains,
    };
    Ok(show(&page)?.into_response())
}

/// `GET /audit/export`: JSON lines, read from the database as they are sent.
pub(crate) async fn export(
    State(app): State<App>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let tenant = whose(&app, &visitor, asked.tenant).await?;
    Ok(exported(app, visitor.scope, tenant))
}

/// The firm whose log is wanted, or the first one whose log this visitor may read.
pub(crate) async fn whose(app: &App, visitor: &Visitor, wanted: Option<TenantId>) -> Result<TenantId, Problem> {
    visitor.must(Act::Configure)?;
    let tenants = app.store.within(&visitor.scope).tenants().await?;
    let mut ours = tenants.into_iter().map(|tenant| tenant.id);
    let mine = |id: &TenantId| visitor.scope.may(Act::Configure, *id) && wanted.is_none_or(|wanted| wanted == *id);
    ours.find(mine).ok_or(Problem::NotFound)
}

/// The whole chain of a firm as JSON lines, as far as this scope may read it.
pub(crate) fn exported(app: App, scope: Scope, tenant: TenantId) -> Response {
    let lines = futures_util::stream::unfold(Some(0), move |after| {
        let (app, scope) = (app.clone(), scope.clone());
        async move {
            let page = app.store.within(&scope).audit_from(tenant, after?, EXPORTED).await;
            let next = page.as_ref().ok().and_then(|page| page.last()).map(|entry| entry.number);
            let is_end = page.as_ref().is_ok_and(Vec::is_empty);
            // What cannot be read ends the answer in the middle: nobody takes it for the whole.
            (!is_end).then(|| (page.map_err(std::io::Error::other).and_then(|page| written(&page)), next))
        }
    });
    // Whoever compresses asks once more after the end.
    let lines = lines.fuse();
    let name = format!("attachment; filename=\"stead-audit-{tenant}.jsonl\"");
    let headers = [(header::CONTENT_TYPE, "application/jsonl".to_owned()), (header::CONTENT_DISPOSITION, name)];
    (headers, axum::body::Body::from_stream(lines)).into_response()
}

fn written(page: &[AuditEntry]) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for entry in page {
        serde_json::to_writer(&mut text, entry)?;
        text.push(b'\n');
    }
    Ok(text)
}

async fn chain(app: &App, view: &View<'_>, tenant: Tenant, before: Option<u64>) -> Result<Chain, Problem> {
    let (class, verdict) = match view.verify_audit(tenant.id).await? {
        Ok(chain) => {
            ("is-good", format!("{} lines, all verified just now. Ends in {}.", chain.lines, &chain.head[..16]))
        }
        Err(error) => {
            ("is-bad", format!("{error}. Compare with an export, and find out who can write to the database."))
        }
    };
    let lines = view.audit_newest(tenant.id, before, LINES).await?;
    let oldest = lines.last().map(|line| line.number).filter(|number| *number > 1);
    let older = oldest.map(|number| format!("/audit?tenant={}&before={number}", tenant.id));
    let entries = lines.into_iter().map(|entry| line(app, entry)).collect();
    let export = format!("/audit/export?tenant={}", tenant.id);
    Ok(Chain { tenant: tenant.name, export, class, verdict, entries, older })
}

fn line(app: &App, entry: AuditEntry) -> Line {
    let AuditEntry { number, at, actor, act, about, detail, .. } = entry;
    let detail = if detail.is_empty() { about } else { detail };
    Line { at: When::past(at, app.now()), sentence: format!("{number}. {}: {act}, {detail}", actor.name) }
}
