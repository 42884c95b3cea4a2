//! A machine's settings: its name, class, site, policy and limits; and its retirement.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use continuity::Act;
use fleet::{BackupLimit, Limits, Machine, MachineClass, MachineId, Policy, Site, SiteId};
use serde::Deserialize;
use store::{MachineChange, View};

use crate::app::App;
use crate::form::{Nothing, Signed};
use crate::page::{Frame, Just, Place, show};
use crate::problem::{Problem, see};
use crate::visitor::Visitor;

const CLASSES: [MachineClass; 3] = [MachineClass::Server, MachineClass::Workstation, MachineClass::Laptop];

#[derive(Template)]
#[template(path = "machine_settings.html")]
struct SettingsPage {
    frame: Frame,
    address: String,
    name: String,
    wrong: Option<String>,
    form: Typed,
    classes: Vec<(&'static str, bool)>,
    sites: Vec<(String, String, bool)>,
    policies: Vec<(String, String, bool)>,
    usual: String,
    is_retired: bool,
    by_agent: bool,
}

/// What is typed; limits that are empty are those of the class.
#[derive(Clone, Default, Deserialize)]
pub(crate) struct Typed {
    pub(crate) name: String,
    pub(crate) class: String,
    #[serde(default)]
    pub(crate) site: String,
    #[serde(default)]
    pub(crate) new_site: String,
    #[serde(default)]
    pub(crate) policy: String,
    /// Minutes.
    #[serde(default)]
    pub(crate) heartbeat: String,
    /// Hours.
    #[serde(default)]
    pub(crate) backup: String,
    /// Days of use, instead.
    #[serde(default)]
    pub(crate) in_use: String,
    /// Hours.
    #[serde(default)]
    pub(crate) offsite: String,
    /// Days.
    #[serde(default)]
    pub(crate) proven: String,
    /// Days.
    #[serde(default)]
    pub(crate) storage: String,
}

impl Typed {
    pub(crate) fn of(machine: &Machine) -> Typed {
        let mut typed = Typed {
            name: machine.name.clone(),
            class: machine.class.word().into(),
            site: machine.site.map(|site| site.to_string()).unwrap_or_default(),
            policy: machine.policy.map(|policy| policy.to_string()).unwrap_or_default(),
            ..Typed::default()
        };
        if let Some(limits) = machine.limits {
            (typed.backup, typed.in_use) = match limits.backup {
                BackupLimit::Minutes(minutes) => (minutes.div_ceil(60).to_string(), String::new()),
                BackupLimit::DaysInUse(days) => (String::new(), days.to_string()),
            };
            typed.heartbeat = limits.heartbeat.to_string();
            typed.offsite = limits.offsite.div_ceil(60).to_string();
            typed.proven = limits.proven.div_ceil(24 * 60).to_string();
            typed.storage = limits.storage.div_ceil(24 * 60).to_string();
        }
        typed
    }

    fn class(&self) -> Result<MachineClass, String> {
        CLASSES.into_iter().find(|class| class.word() == self.class).ok_or("There is no such class.".into())
    }

    fn limits(&self, class: MachineClass) -> Result<Option<Limits>, String> {
        let minutes = |text: &str, unit: u32| match text.trim() {
            "" => Ok(None),
            text => match text.parse::<u32>() {
                Ok(count) if (1..=366 * 24 * 60 / unit).contains(&count) => Ok(Some(count * unit)),
                _ => Err(format!("{text:?} is no limit: a number, at most a year.")),
            },
        };
        let backup = match (minutes(&self.backup, 60)?, minutes(&self.in_use, 24 * 60)?) {
            (Some(_), Some(_)) => return Err("A backup is late after some hours, or after some days of use.".into()),
            (Some(minutes), None) => Some(BackupLimit::Minutes(minutes)),
            (None, Some(minutes)) => Some(BackupLimit::DaysInUse(minutes / (24 * 60))),
            (None, None) => None,
        };
        let usual = Limits::of(class);
        let limits = Limits {
            heartbeat: minutes(&self.heartbeat, 1)?.unwrap_or(usual.heartbeat),
            backup: backup.unwrap_or(usual.backup),
            offsite: minutes(&self.offsite, 60)?.unwrap_or(usual.offsite),
            proven: minutes(&self.proven, 24 * 60)?.unwrap_or(usual.proven),
            storage: minutes(&self.storage, 24 * 60)?.unwrap_or(usual.storage),
        };
        Ok((limits != usual).then_some(limits))
    }

    fn name(&self) -> Result<String, String> {
        let name: String = self.name.trim().chars().filter(|c| !c.is_control()).collect();
        match name.chars().count() {
            1..=100 => Ok(name),
            _ => Err("A machine has a name of 1 to 100 characters.".into()),
        }
    }
}

/// The machine, if this visitor may change it.
pub(crate) async fn mine(view: &View<'_>, visitor: &Visitor, id: MachineId) -> Result<Machine, Problem> {
    let machine = view.machine(id).await?;
    match visitor.scope.reach(Act::Configure).machine(id, machine.client, machine.tenant) {
        true => Ok(machine),
        false => Err(Problem::Forbidden(Act::Configure.word())),
    }
}

/// `GET /machines/{machine}/settings`
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<MachineId>,
) -> Result<Response, Problem> {
    let machine = mine(&app.store.within(&visitor.scope), &visitor, id).await?;
    page(&app, &visitor, StatusCode::OK, &machine, Typed::of(&machine), None).await
}

/// What a machine may be given.
pub(crate) struct Choices {
    /// Its client's.
    pub(crate) sites: Vec<Site>,
    /// The firm's, for those who see them.
    pub(crate) policies: Vec<Policy>,
}

/// What a machine may be given by this visitor.
pub(crate) async fn choices(view: &View<'_>, visitor: &Visitor, machine: &Machine) -> Result<Choices, Problem> {
    let sites = view.sites(machine.client).await?;
    // Those who may change one machine need not see the firm's policies.
    let policies = match visitor.scope.may(Act::LOOK, machine.tenant) {
        true => view.policies(machine.tenant).await?,
        false => Vec::new(),
    };
    Ok(Choices { sites, policies })
}

async fn page(
    app: &App,
    visitor: &Visitor,
    status: StatusCode,
    machine: &Machine,
    form: Typed,
    wrong: Option<String>,
) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let Choices { sites, policies } = choices(&view, visitor, machine).await?;
    let choice = |id: String, name: String, chosen: &str| (id.clone(), name, id == chosen);
    let page = SettingsPage {
        frame: Frame::new(&machine.name, Place::Fleet, visitor, &Just::default()),
        address: format!("/machines/{}", machine.id),
        name: machine.name.clone(),
        wrong,
        classes: CLASSES.into_iter().map(|class| (class.word(), class.word() == form.class)).collect(),
        sites: sites.into_iter().map(|site| choice(site.id.to_string(), site.name, &form.site)).collect(),
        policies: policies.into_iter().map(|found| choice(found.id.to_string(), found.name, &form.policy)).collect(),
        usual: usual(machine.class),
        is_retired: machine.retired.is_some(),
        by_agent: view.tended(machine.id).await?.by_agent,
        form,
    };
    Ok((status, show(&page)?).into_response())
}

/// The limits of a class, in a sentence.
pub(crate) fn usual(class: MachineClass) -> String {
    let limits = Limits::of(class);
    let backup = match limits.backup {
        BackupLimit::Minutes(minutes) => format!("{} hours", minutes / 60),
        BackupLimit::DaysInUse(days) => format!("{days} days of use"),
    };
    format!(
        "Usual for a {}: silent after {} minutes, backup late after {backup}, copy offsite after {} hours, proof after {} \
         days, storage after {} days.",
        class.word(),
        limits.heartbeat,
        limits.offsite / 60,
        limits.proven / 1_440,
        limits.storage / 1_440
    )
}

/// `POST /machines/{machine}/settings`
pub(crate) async fn save(
    State(app): State<App>,
    Path(id): Path<MachineId>,
    Signed(visitor, typed): Signed<Typed>,
) -> Result<Response, Problem> {
    let view = app.store.within(&visitor.scope);
    let machine = mine(&view, &visitor, id).await?;
    match change(&app, &view, &machine, &typed).await? {
        Ok(()) => Ok(see(&Just::at(&format!("/machines/{id}"), "machine", id))),
        Err(wrong) => page(&app, &visitor, StatusCode::UNPROCESSABLE_ENTITY, &machine, typed, Some(wrong)).await,
    }
}

/// Changes what differs, and judges the machine at once; or says what is wrong, in a sentence.
pub(crate) async fn change(
    app: &App,
    view: &View<'_>,
    machine: &Machine,
    typed: &Typed,
) -> Result<Result<(), String>, Problem> {
    let changes = match changes(app, view, machine, typed).await? {
        Ok(changes) => changes,
        Err(wrong) => return Ok(Err(wrong)),
    };
    for change in changes {
        view.change_machine(machine.id, change).await?;
    }
    crate::judge::at_once(app, machine.id).await?;
    Ok(Ok(()))
}

/// What differs, or what is wrong, in a sentence.
async fn changes(
    app: &App,
    view: &View<'_>,
    machine: &Machine,
    typed: &Typed,
) -> Result<Result<Vec<MachineChange>, String>, Problem> {
    let (name, class) = match (typed.name(), typed.class()) {
        (Ok(name), Ok(class)) => (name, class),
        (Err(wrong), _) | (_, Err(wrong)) => return Ok(Err(wrong)),
    };
    let limits = match typed.limits(class) {
        Ok(limits) => limits,
        Err(wrong) => return Ok(Err(wrong)),
    };
    let site = site(app, view, machine, typed).await?;
    let policy = match typed.policy.as_str() {
        "" => None,
        policy => Some(policy.parse().map_err(|_| Problem::NotFound)?),
    };
    let mut changes = vec![MachineChange::Name(name.clone())];
    changes.retain(|_| name != machine.name);
    changes.extend((class != machine.class).then_some(MachineChange::Class(class)));
    changes.extend((site != machine.site).then_some(MachineChange::Site(site)));
    changes.extend((policy != machine.policy).then_some(MachineChange::Policy(policy)));
    changes.extend((limits != machine.limits).then_some(MachineChange::Limits(limits)));
    Ok(Ok(changes))
}

/// The site that is chosen, or a new one.
async fn site(app: &App, view: &View<'_>, machine: &Machine, typed: &Typed) -> Result<Option<SiteId>, Problem> {
    let new = typed.new_site.trim();
    if new.is_empty() {
        return match typed.site.as_str() {
            "" => Ok(None),
            site => Ok(Some(site.parse().map_err(|_| Problem::NotFound)?)),
        };
    }
    let id = SiteId::made(app.now(), app.random()?);
    let name = new.chars().filter(|c| !c.is_control()).take(100).collect();
    view.add_site(&Site { id, client: machine.client, name }).await?;
    Ok(Some(id))
}

/// `POST /machines/{machine}/retire`
pub(crate) async fn retire(
    State(app): State<App>,
    Path(id): Path<MachineId>,
    Signed(visitor, Nothing {}): Signed<Nothing>,
) -> Result<Response, Problem> {
    end(&app, &visitor, id).await?;
    Ok(see(&Just::at(&format!("/machines/{id}"), "retired", id)))
}

/// Retires a machine.
pub(crate) async fn end(app: &App, visitor: &Visitor, id: MachineId) -> Result<(), Problem> {
    let view = app.store.within(&visitor.scope);
    mine(&view, visitor, id).await?;
    view.change_machine(id, MachineChange::Retire).await?;
    crate::judge::at_once(app, id).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_empty_are_those_of_the_class() {
        let typed = Typed { in_use: "3".into(), ..Typed::default() };
        let limits = typed.limits(MachineClass::Laptop).unwrap().unwrap();
        assert_eq!(limits, Limits { backup: BackupLimit::DaysInUse(3), ..Limits::of(MachineClass::Laptop) });
        assert_eq!(Typed::default().limits(MachineClass::Server), Ok(None));
        for wrong in ["0", "-1", "x", "99999999999"] {
            assert!(
                Typed { proven: wrong.into(), ..Typed::default() }.limits(MachineClass::Server).is_err(),
                "{wrong}"
            );
        }
    }
}
