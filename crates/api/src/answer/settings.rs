//! How a machine is looked after, on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// After which a machine's lights change; what is not here is as usual for its class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Minutes of silence.
    #[serde(default)]
    pub heartbeat_minutes: Option<u32>,
    /// Hours since the last good backup.
    #[serde(default)]
    pub backup_hours: Option<u32>,
    /// Days on which it was used since the last good backup; instead of hours.
    #[serde(default)]
    pub backup_days_in_use: Option<u32>,
    /// Hours since the last copy offsite.
    #[serde(default)]
    pub offsite_hours: Option<u32>,
    /// Days since the last proven restore.
    #[serde(default)]
    pub proven_days: Option<u32>,
    /// Days since the storage was last found good.
    #[serde(default)]
    pub storage_days: Option<u32>,
}

/// Something that can be chosen.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Choice {
    /// Which.
    pub id: String,
    /// What it is called.
    pub name: String,
}

/// How a machine is looked after.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct MachineSettings {
    /// What people call it.
    pub name: String,
    /// server, workstation or laptop.
    pub class: String,
    /// Where it stands; one of `sites`.
    pub site: Option<String>,
    /// What is done for it; one of `policies`, for those who see them.
    pub policy: Option<String>,
    /// Limits of its own.
    pub limits: Limits,
    /// What is usual for its class, in a sentence.
    pub usual: String,
    /// Places of its client.
    pub sites: Vec<Choice>,
    /// Policies of the firm; empty to those who do not see them.
    pub policies: Vec<Choice>,
    /// Since when it is looked after no more.
    pub retired: Option<String>,
}

/// All settings of a machine, as they are from now on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMachineSettings {
    /// 1 to 100 characters.
    pub name: String,
    /// server, workstation or laptop.
    pub class: String,
    /// Where it stands; none: nowhere in particular.
    #[serde(default)]
    pub site: Option<String>,
    /// The name of a new site, at which it stands.
    #[serde(default)]
    pub new_site: Option<String>,
    /// What is done for it; none: nothing.
    #[serde(default)]
    pub policy: Option<String>,
    /// Limits of its own.
    #[serde(default)]
    pub limits: Limits,
}
