//! Destination: where backups go, and whether that is away from the machine.

use serde::{Deserialize, Serialize};

use crate::{DestinationId, TenantId};

/// How a destination is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The gateway: every machine has a repository of its own there. Machines write only to this.
    Gateway,
    /// A place that the keeper copies to, as restic writes it: a directory, `sftp:…`, `s3:…`.
    Copies(String),
}

/// Whether a fire at the machine's site would take the destination along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distance {
    /// It stands beside the machines.
    OnSite,
    /// It is away from the machines.
    Offsite,
}

/// Where backups go. Secrets to reach it are not here: the keeper has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// Which.
    pub id: DestinationId,
    /// Whose.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// How it is reached.
    pub place: Place,
    /// How far away it is.
    pub distance: Distance,
}
