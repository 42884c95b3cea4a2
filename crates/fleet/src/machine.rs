//! Machine: a computer that we look after. Retired, it keeps its backups and raises no alerts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Actor, ClientId, Limits, MachineId, PolicyId, SiteId, TenantId};

/// What kind of computer it is; limits follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MachineClass {
    /// Runs always; late after 26 hours.
    Server,
    /// Runs on working days; late after 7 days.
    Workstation,
    /// Runs when somebody needs it; late after 7 days of use.
    Laptop,
}

impl MachineClass {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            MachineClass::Server => "server",
            MachineClass::Workstation => "workstation",
            MachineClass::Laptop => "laptop",
        }
    }
}

/// Somebody said that nothing shall be done for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who.
    pub by: Actor,
    /// Why.
    pub reason: String,
    /// Since when.
    pub from: Timestamp,
    /// When it ends by itself.
    pub until: Timestamp,
}

impl Pause {
    /// Whether it holds at this moment.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}

/// A computer that we look after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Which.
    pub id: MachineId,
    /// Whose provider's.
    pub tenant: TenantId,
    /// Whose.
    pub client: ClientId,
    /// Where it stands, if it stands anywhere.
    pub site: Option<SiteId>,
    /// What people call it.
    pub name: String,
    /// What kind it is.
    pub class: MachineClass,
    /// What is done for it; none: nothing yet.
    pub policy: Option<PolicyId>,
    /// Where its limits differ from its class's.
    pub limits: Option<Limits>,
    /// Since when we look after it.
    pub enrolled: Timestamp,
    /// Paused by somebody.
    pub pause: Option<Pause>,
    /// Since when we do not look after it any more; its backups stay.
    pub retired: Option<Timestamp>,
}

impl Machine {
    /// What is late for it.
    pub fn limits(&self) -> Limits {
        self.limits.unwrap_or_else(|| Limits::of(self.class))
    }
}
