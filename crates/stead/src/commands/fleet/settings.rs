//! `stead fleet settings`, `retire`, `release-machine`: how a machine is looked after.

use api::answer::Machine;
use api::answer::settings::{Choice, Limits, MachineSettings, NewMachineSettings};

use super::call::Call;
use super::named::one;
use crate::consent;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};

/// Show or change a machine's name, class, site, policy and limits
///
/// Without options it shows them. What is not named stays as it is.
///
/// Example: stead fleet settings reception-pc --policy Offices --site "Front desk"
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Call it this
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What it is: server, workstation or laptop
    #[arg(long, value_name = "CLASS")]
    class: Option<String>,
    /// Where it stands; a site that is not known yet is added, an empty name is nowhere in particular
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// What is done for it; an empty name is nothing
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Limits of its own.
#[derive(Clone, Copy, Default, PartialEq, Eq, clap::Args)]
struct LimitArgs {
    /// Silent after so many minutes
    #[arg(long, value_name = "MINUTES")]
    heartbeat: Option<u32>,
    /// Backup late after so many hours
    #[arg(long, value_name = "HOURS", conflicts_with = "late_in_use")]
    late: Option<u32>,
    /// Backup late after so many days on which it was used
    #[arg(long, value_name = "DAYS")]
    late_in_use: Option<u32>,
    /// Copy offsite late after so many hours
    #[arg(long, value_name = "HOURS")]
    offsite: Option<u32>,
    /// Proof of a restore late after so many days
    #[arg(long, value_name = "DAYS")]
    proven: Option<u32>,
    /// Check of the storage late after so many days
    #[arg(long, value_name = "DAYS")]
    storage: Option<u32>,
    /// Begin with the limits that are usual for its class
    #[arg(long)]
    usual_limits: bool,
}

/// Look after a machine no more; its backups stay
///
/// No backup runs and no alert comes. It comes back by enrolling again, as a new machine.
///
/// Example: stead fleet retire reception-pc --yes
#[derive(clap::Args)]
pub(crate) struct RetireArgs {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// Believe a quarantined machine again
///
/// Its identity was used at two places. Release it once you know which one is the machine and the other is gone.
///
/// Example: stead fleet release-machine reception-pc
#[derive(clap::Args)]
pub(crate) struct ReleaseArgs {
    /// Its name or id
    #[arg(value_name = "MACHINE")]
    machine: String,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let machine = call.machine(&self.machine)?;
        let address = format!("/api/v1/machines/{}/settings", machine.id);
        let found: MachineSettings = call.get(&address, &[])?;
        if !self.is_change() {
            return show(&found, output);
        }
        call.tell(&address, &self.applied(found)?)?;
        output.remark("changed")
    }

    fn is_change(&self) -> bool {
        let named = [&self.name, &self.class, &self.site, &self.policy];
        named.into_iter().any(Option::is_some) || self.limits != LimitArgs::default()
    }

    /// What was there, with what was named instead.
    fn applied(self, found: MachineSettings) -> Outcome<NewMachineSettings> {
        let policy = match self.policy.as_deref() {
            None => found.policy,
            Some("") => None,
            Some(name) => Some(chosen("policy", name, &found.policies)?),
        };
        let (site, new_site) = match self.site {
            None => (found.site, None),
            Some(name) if name.is_empty() => (None, None),
            Some(name) => match found.sites.iter().find(|site| site.id == name || site.name == name) {
                Some(site) => (Some(site.id.clone()), None),
                None => (None, Some(name)),
            },
        };
        Ok(NewMachineSettings {
            name: self.name.unwrap_or(found.name),
            class: self.class.unwrap_or(found.class),
            site,
            new_site,
            policy,
            limits: self.limits.applied(found.limits),
        })
    }
}

fn chosen(what: &str, name: &str, choices: &[Choice]) -> Outcome<String> {
    let found = choices.iter().filter(|choice| choice.id == name || choice.name == name).cloned().collect();
    Ok(one(what, name, found, "`stead fleet policies` lists them")?.id)
}

impl LimitArgs {
    fn applied(self, found: Limits) -> Limits {
        let found = if self.usual_limits { Limits::default() } else { found };
        let is_backup = self.late.is_some() || self.late_in_use.is_some();
        let (hours, days) =
            if is_backup { (self.late, self.late_in_use) } else { (found.backup_hours, found.backup_days_in_use) };
        Limits {
            heartbeat_minutes: self.heartbeat.or(found.heartbeat_minutes),
            backup_hours: hours,
            backup_days_in_use: days,
            offsite_hours: self.offsite.or(found.offsite_hours),
            proven_days: self.proven.or(found.proven_days),
            storage_days: self.storage.or(found.storage_days),
        }
    }
}

fn show(found: &MachineSettings, output: Output) -> Outcome {
    output.message(found)?;
    let name = |choices: &[Choice], id: &Option<String>| {
        let known = choices.iter().find(|choice| Some(&choice.id) == id.as_ref());
        known.map(|choice| printable(&choice.name)).or_else(|| id.clone()).unwrap_or_else(|| "-".into())
    };
    let mut table = Table::new(&["What", "How"]);
    let mut row = |what: &str, how: String| table.row(vec![what.into(), how]);
    row("name", printable(&found.name));
    row("class", found.class.clone());
    row("site", name(&found.sites, &found.site));
    row("policy", name(&found.policies, &found.policy));
    for (what, limit) in limits(found.limits.clone()) {
        row(what, limit);
    }
    if let Some(retired) = &found.retired {
        row("retired", retired.clone());
    }
    table.foot(printable(&found.usual));
    output.result(table.render(output::width()).trim_end())
}

/// Those that are its own, in words.
fn limits(own: Limits) -> Vec<(&'static str, String)> {
    let all = [
        ("silent", own.heartbeat_minutes, "minutes"),
        ("backup late", own.backup_hours, "hours"),
        ("backup late", own.backup_days_in_use, "days of use"),
        ("copy offsite late", own.offsite_hours, "hours"),
        ("proof late", own.proven_days, "days"),
        ("storage late", own.storage_days, "days"),
    ];
    let own = all.into_iter().filter_map(|(what, limit, unit)| Some((what, format!("after {} {unit}", limit?))));
    own.collect()
}

impl RetireArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let Machine { id, name, .. } = call.machine(&self.machine)?;
        if !self.yes {
            let what = format!(
                "{} is looked after no more: no backup runs, no alert comes. Its backups stay.\nRetire it?",
                printable(&name)
            );
            consent::ask(&what, "`--yes` retires without asking", output)?;
        }
        call.post(&format!("/api/v1/machines/{id}/retire"))?;
        output.remark("retired; its backups are kept")
    }
}

impl ReleaseArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let id = call.machine(&self.machine)?.id;
        call.post(&format!("/api/v1/machines/{id}/release"))?;
        output.remark("it is believed again")
    }
}
