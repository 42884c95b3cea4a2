//! Destinations, as JSON.

use api::answer::firm::{Destination, Destinations, NewDestination};
use axum::Json;
use axum::extract::State;
use continuity::Act;
use fleet::{Distance, Place};

use super::{Refused, identity};
use crate::app::App;
use crate::form::Sent;
use crate::pages::destinations::{self, Typed};
use crate::problem::Problem;
use crate::visitor::Caller;

#[utoipa::path(get, path = "/api/v1/destinations", responses(
    (status = 200, description = "The destinations of firms that the asker may set up", body = Destinations),
    Refused,
))]
pub(crate) async fn list(State(app): State<App>, Caller(caller): Caller) -> Result<Json<Destinations>, Problem> {
    caller.must(Act::Configure)?;
    let view = app.store.within(&caller.scope);
    let mut destinations = Vec::new();
    for tenant in view.tenants().await?.into_iter().filter(|tenant| caller.scope.may(Act::Configure, tenant.id)) {
        destinations.extend(view.destinations(tenant.id).await?.into_iter().map(of));
    }
    Ok(Json(Destinations { destinations }))
}

fn of(destination: fleet::Destination) -> Destination {
    let address = match destination.place {
        Place::Gateway => None,
        Place::Copies(address) => Some(address),
    };
    let distance = if destination.distance == Distance::Offsite { "offsite" } else { "on_site" };
    let (id, tenant) = (destination.id.to_string(), destination.tenant.to_string());
    Destination { id, tenant, name: destination.name, address, distance: distance.into() }
}

#[utoipa::path(post, path = "/api/v1/destinations", request_body = NewDestination, responses(
    (status = 200, description = "It is saved", body = Destination),
    Refused,
))]
pub(crate) async fn save(
    State(app): State<App>,
    Caller(caller): Caller,
    Sent(new): Sent<NewDestination>,
) -> Result<Json<Destination>, Problem> {
    let NewDestination { tenant, id, name, address, distance } = new;
    if !matches!(distance.as_str(), "offsite" | "on_site") {
        return Err(Problem::Invalid("A distance is offsite or on_site.".into()));
    }
    let typed = Typed { tenant: identity(&tenant)?, id: id.unwrap_or_default(), name, address, distance };
    let saved = destinations::saved(&app, &caller, &typed).await?.map_err(Problem::Invalid)?;
    Ok(Json(of(saved)))
}
