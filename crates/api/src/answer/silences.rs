//! Silences on the wire: messages are held back for a while.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Messages about something are held back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Silence {
    /// Which.
    pub id: String,
    /// client, site, machine or condition (one of a machine).
    pub about: String,
    /// Of which client, site or machine.
    pub of: String,
    /// Which condition; of those of one.
    pub condition: Option<String>,
    /// Who began it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub from: String,
    /// Until when.
    pub until: String,
    /// How many messages were held back.
    pub suppressed: u64,
}

/// The silences that hold.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Silences {
    /// At most 200.
    pub silences: Vec<Silence>,
}

/// Messages to hold back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSilence {
    /// Why.
    pub reason: String,
    /// For how many hours.
    pub hours: u16,
}
