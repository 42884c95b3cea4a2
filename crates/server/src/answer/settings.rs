//! How a machine is looked after, as JSON: settings, retirement, release from quarantine. As its page does.

use api::answer::settings::{Choice, Limits, MachineSettings, NewMachineSettings};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use fleet::{Machine, MachineId};

use super::{Refused, identity};
use crate::app::App;
use crate::form::Sent;
use crate::pages::machine_settings::{self, Choices, Typed};
use crate::pages::{acts, client};
use crate::problem::Problem;
use crate::visitor::Caller;
use crate::when::exact;

#[utoipa::path(get, path = "/api/v1/machines/{machine}/settings", params(("machine" = String, Path, description = "Whose")), responses(
    (status = 200, description = "How the machine is looked after", body = MachineSettings),
    Refused,
))]
pub(crate) async fn get(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<Json<MachineSettings>, Problem> {
    let view = app.store.within(&caller.scope);
    let machine = machine_settings::mine(&view, &caller, identity(&id)?).await?;
    let choices = machine_settings::choices(&view, &caller, &machine).await?;
    Ok(Json(of(&machine, choices)))
}

fn of(machine: &Machine, choices: Choices) -> MachineSettings {
    let Choices { sites, policies } = choices;
    let Machine { site, policy, retired, .. } = machine;
    MachineSettings {
        name: machine.name.clone(),
        class: machine.class.word().into(),
        site: site.map(|site| site.to_string()),
        policy: policy.map(|policy| policy.to_string()),
        limits: limits(&Typed::of(machine)),
        usual: machine_settings::usual(machine.class),
        sites: sites.into_iter().map(|site| choice(site.id, site.name)).collect(),
        policies: policies.into_iter().map(|policy| choice(policy.id, policy.name)).collect(),
        retired: retired.map(exact),
    }
}

fn choice(id: impl ToString, name: String) -> Choice {
    Choice { id: id.to_string(), name }
}

fn limits(typed: &Typed) -> Limits {
    let number = |text: &String| text.parse().ok();
    Limits {
        heartbeat_minutes: number(&typed.heartbeat),
        backup_hours: number(&typed.backup),
        backup_days_in_use: number(&typed.in_use),
        offsite_hours: number(&typed.offsite),
        proven_days: number(&typed.proven),
        storage_days: number(&typed.storage),
    }
}

/// As it would be typed into the page's form.
fn typed(new: NewMachineSettings) -> Typed {
    let text = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let NewMachineSettings { name, class, site, new_site, policy, limits } = new;
    Typed {
        name,
        class,
        site: site.unwrap_or_default(),
        new_site: new_site.unwrap_or_default(),
        policy: policy.unwrap_or_default(),
        heartbeat: text(limits.heartbeat_minutes),
        backup: text(limits.backup_hours),
        in_use: text(limits.backup_days_in_use),
        offsite: text(limits.offsite_hours),
        proven: text(limits.proven_days),
        storage: text(limits.storage_days),
    }
}

#[utoipa::path(post, path = "/api/v1/machines/{machine}/settings", params(("machine" = String, Path, description = "Whose")),
    request_body = NewMachineSettings, responses(
    (status = 204, description = "The machine is looked after so"),
    Refused,
))]
pub(crate) async fn save(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
    Sent(new): Sent<NewMachineSettings>,
) -> Result<StatusCode, Problem> {
    let view = app.store.within(&caller.scope);
    let machine = machine_settings::mine(&view, &caller, identity(&id)?).await?;
    let changed = machine_settings::change(&app, &view, &machine, &typed(new)).await?;
    changed.map_err(|wrong| Problem::Invalid(client::sentence(&wrong.trim_end_matches('.'))))?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/api/v1/machines/{machine}/retire", params(("machine" = String, Path, description = "Which")), responses(
    (status = 204, description = "It is looked after no more; its backups stay"),
    Refused,
))]
pub(crate) async fn retire(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    machine_settings::end(&app, &caller, identity(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/api/v1/machines/{machine}/release", params(("machine" = String, Path, description = "Which")), responses(
    (status = 204, description = "It is believed again"),
    Refused,
))]
pub(crate) async fn release(
    State(app): State<App>,
    Caller(caller): Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id: MachineId = identity(&id)?;
    acts::believe_again(&app, &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
