//! Destinations: where copies of backups go, and whether that is away from the machines.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use continuity::Act;
use fleet::{Destination, DestinationId, Distance, Place as Where, TenantId};
use serde::Deserialize;

use crate::app::App;
use crate::form::Signed;
use crate::page::{Frame, Just, Place, show};
use crate::problem::{Problem, see};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "destinations.html")]
struct DestinationsPage {
    frame: Frame,
    sentence: String,
    firms: Vec<Firm>,
}

struct Firm {
    id: TenantId,
    name: String,
    forms: Vec<Form>,
    wrong: Option<String>,
}

/// A destination as it is typed; without an identity a new one.
#[derive(Default)]
struct Form {
    id: String,
    name: String,
    address: String,
    is_offsite: bool,
    /// The gateway's place is not typed.
    is_gateway: bool,
}

impl Form {
    fn of(destination: Destination) -> Form {
        let (address, is_gateway) = match destination.place {
            Where::Gateway => (String::new(), true),
            Where::Copies(address) => (address, false),
        };
        let is_offsite = destination.distance == Distance::Offsite;
        Form { id: destination.id.to_string(), name: destination.name, address, is_offsite, is_gateway }
    }
}

/// `GET /destinations`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Query(just): Query<Just>,
) -> Result<Response, Problem> {
    visitor.must(Act::Configure)?;
    page(&app, &visitor, StatusCode::OK, &just, None).await
}

async fn page(
    app: &App,
    visitor: &Visitor,
    status: StatusCode,
    just: &Just,
    refused: Option<(&Typed, &str)>,
) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let mut firms = Vec::new();
    for tenant in view.tenants().await? {
        if !visitor.scope.may(Act::Configure, tenant.id) {
            continue;
        }
        let mut forms: Vec<_> = view.destinations(tenant.id).await?.into_iter().map(Form::of).collect();
        forms.push(Form { is_offsite: true, ..Form::default() });
        let refused = refused.filter(|(typed, _)| typed.tenant == tenant.id);
        if let Some((typed, _)) = refused
            && let Some(form) = forms.iter_mut().find(|form| form.id == typed.id)
        {
            (form.name, form.address, form.is_offsite) =
                (typed.name.clone(), typed.address.clone(), typed.distance == "offsite");
        }
        let wrong = refused.map(|(_, wrong)| wrong.to_owned());
        firms.push(Firm { id: tenant.id, name: tenant.name, forms, wrong });
    }
    let offsite = firms.iter().flat_map(|firm| &firm.forms).filter(|form| !form.id.is_empty() && form.is_offsite);
    let sentence = match offsite.count() {
        0 => "No destination is away from the machines.".to_owned(),
        1 => "1 destination is away from the machines.".into(),
        more => format!("{more} destinations are away from the machines."),
    };
    let frame = Frame::new("Destinations", Place::Settings, visitor, just);
    Ok((status, show(&DestinationsPage { frame, sentence, firms })?).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Typed {
    pub(crate) tenant: TenantId,
    /// Which; empty: a new one.
    #[serde(default)]
    pub(crate) id: String,
    pub(crate) name: String,
    /// Where to; the gateway's is not typed.
    #[serde(default)]
    pub(crate) address: String,
    /// offsite, or anything else.
    pub(crate) distance: String,
}

/// `POST /destinations`
pub(crate) async fn save(State(app): State<App>, Signed(visitor, typed): Signed<Typed>) -> Result<Response, Problem> {
    match saved(&app, &visitor, &typed).await? {
        Ok(destination) => Ok(see(&Just::at("/destinations", "destination", destination.id))),
        Err(wrong) => {
            page(&app, &visitor, StatusCode::UNPROCESSABLE_ENTITY, &Just::default(), Some((&typed, &wrong))).await
        }
    }
}

/// Saves a destination; or says what is wrong, in a sentence.
pub(crate) async fn saved(app: &App, visitor: &Visitor, typed: &Typed) -> Result<Result<Destination, String>, Problem> {
    visitor.must_on(Act::Configure, typed.tenant)?;
    let view = app.store.within(&visitor.scope);
    let known = view.destinations(typed.tenant).await?;
    let old = known.into_iter().find(|destination| destination.id.to_string() == typed.id);
    if old.is_none() && !typed.id.is_empty() {
        return Err(Problem::NotFound);
    }
    let is_gateway = old.as_ref().is_some_and(|old| old.place == Where::Gateway);
    let place = match (is_gateway, place(&typed.address)) {
        (true, _) => Where::Gateway,
        (false, Ok(place)) => place,
        (false, Err(wrong)) => return Ok(Err(wrong)),
    };
    let name = typed.name.trim();
    if name.is_empty() || name.chars().count() > 100 {
        return Ok(Err("A destination has a name of at most 100 characters.".into()));
    }
    let id = match old {
        Some(old) => old.id,
        None => DestinationId::made(app.now(), app.random()?),
    };
    let distance = if typed.distance == "offsite" { Distance::Offsite } else { Distance::OnSite };
    let destination = Destination { id, tenant: typed.tenant, name: name.to_owned(), place, distance };
    view.save_destination(&destination).await?;
    Ok(Ok(destination))
}

/// A directory, `sftp:` or `s3:`; secrets do not belong into it.
fn place(address: &str) -> Result<Where, String> {
    let address = address.trim();
    let is_known = address.starts_with('/') || address.starts_with("sftp:") || address.starts_with("s3:");
    if !is_known || address.len() > 500 || address.contains(char::is_control) {
        return Err(
            "An address is a directory (/mnt/copies), sftp:user@host:/directory or s3:https://host/bucket.".into()
        );
    }
    let authority = address.split("//").nth(1).unwrap_or("").split('/').next().unwrap_or("");
    match authority.split('@').next().is_some_and(|user| authority.contains('@') && user.contains(':')) {
        true => Err("A password does not belong into the address: the keeper has it.".into()),
        false => Ok(Where::Copies(address.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_directories_sftp_or_s3_and_hold_no_password() {
        for good in ["/mnt/copies", "sftp:jim@vault:/copies", "sftp://jim@vault:22//copies", "s3:https://s3.example/b"]
        {
            assert!(place(good).is_ok(), "{good}");
        }
        for wrong in ["", "copies", "ftp://x", "s3:https://key:secret@s3.example/b", "/mnt\n/x"] {
            assert!(place(wrong).is_err(), "{wrong:?}");
        }
    }
}
