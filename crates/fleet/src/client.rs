//! Client: a business that a tenant looks after; never a program that asks a server.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ClientId, TenantId, Zone};

/// Who has the keys of a client's repositories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyCustody {
    /// The keeper has a sealed copy: search, drills and prune work centrally.
    #[default]
    Managed,
    /// Only the machines have them: the gateway scrubs, and nobody but the machine can restore, search or prune.
    Blind,
}

impl KeyCustody {
    /// What it means for the client, in a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            KeyCustody::Managed => "The keeper holds a sealed copy of every key: search, drills and pruning work.",
            KeyCustody::Blind => {
                "Only the machines hold their keys: no search, no drills, no pruning; stored packs are still scrubbed."
            }
        }
    }
}

/// A business that a tenant looks after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Which.
    pub id: ClientId,
    /// Whose.
    pub tenant: TenantId,
    /// What people call it.
    pub name: String,
    /// Its days and quiet hours are those of this zone.
    pub zone: Zone,
    /// Who has the keys.
    pub custody: KeyCustody,
    /// When somebody confirmed to have the recovery sheet at hand.
    pub sheet_confirmed: Option<Timestamp>,
}
