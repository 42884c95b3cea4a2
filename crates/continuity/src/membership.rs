//! Membership: a person belongs to a tenant, in a role.

use fleet::{ClientId, TenantId};
use serde::{Deserialize, Serialize};

use crate::{Act, PersonId, Verb};

/// As what a person belongs to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything.
    Owner,
    /// Does the work: everything but deleting backups, changing how long they are kept, exporting keys, inviting people
    /// and granting.
    Technician,
    /// Sees one client: usually its owner.
    ClientViewer(ClientId),
}

impl Role {
    /// What it may do.
    pub fn acts(self) -> &'static [Act] {
        const TECHNICIAN: [Act; 6] = [
            Act::Do(Verb::Look),
            Act::Do(Verb::Backup),
            Act::Do(Verb::Restore),
            Act::Do(Verb::Migrate),
            Act::Do(Verb::Power),
            Act::Configure,
        ];
        match self {
            Role::Owner => &Act::ALL,
            Role::Technician => &TECHNICIAN,
            Role::ClientViewer(_) => &[Act::LOOK],
        }
    }

    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Technician => "technician",
            Role::ClientViewer(_) => "client viewer",
        }
    }
}

/// A person belongs to a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Who.
    pub person: PersonId,
    /// To which.
    pub tenant: TenantId,
    /// As what.
    pub role: Role,
}
