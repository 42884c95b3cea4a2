//! Grant: leave for a person to do some things on some machines for a while. It ends by itself.

use std::collections::BTreeSet;

use fleet::{ClientId, MachineId, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{GrantId, PersonId, Verb};

/// On what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantedOn {
    /// All machines of a client, those that come too.
    Client(ClientId),
    /// Some machines of a client.
    Machines(ClientId, BTreeSet<MachineId>),
}

impl GrantedOn {
    /// Whose.
    pub fn client(&self) -> ClientId {
        match self {
            GrantedOn::Client(client) | GrantedOn::Machines(client, _) => *client,
        }
    }
}

/// Why something is no grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// It would end before it begins.
    #[error("a grant must end after it begins")]
    NoTime,
    /// It would outlive what it is for.
    #[error("a grant lasts 31 days at most; give another one when it ends")]
    TooLong,
    /// Nobody said why.
    #[error("a grant needs a reason")]
    NoReason,
    /// Nothing to do it on.
    #[error("a grant needs a machine or a client")]
    NoMachine,
    /// Somebody approved their own.
    #[error("nobody approves their own grant")]
    OwnApproval,
}

/// Leave for a person to do some things on some machines for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Which.
    pub id: GrantId,
    /// Whose machines.
    pub tenant: TenantId,
    /// Who may.
    pub person: PersonId,
    /// On what.
    pub on: GrantedOn,
    /// What; looking goes with everything.
    pub verbs: BTreeSet<Verb>,
    /// From when.
    pub from: Timestamp,
    /// Until when; this moment is not in it.
    pub to: Timestamp,
    /// Why.
    pub reason: String,
    /// Who said yes.
    pub approved_by: PersonId,
    /// When somebody ended it before its time.
    pub ended: Option<Timestamp>,
}

impl Grant {
    /// Refuses what has no end soon, no reason, no machine, or was approved by its own holder.
    pub fn check(&self) -> Result<(), GrantError> {
        let nothing = matches!(&self.on, GrantedOn::Machines(_, machines) if machines.is_empty());
        match self.to.as_second() - self.from.as_second() {
            ..=0 => Err(GrantError::NoTime),
            seconds if seconds > 31 * 86_400 => Err(GrantError::TooLong),
            _ if self.reason.trim().is_empty() => Err(GrantError::NoReason),
            _ if nothing => Err(GrantError::NoMachine),
            _ if self.approved_by == self.person => Err(GrantError::OwnApproval),
            _ => Ok(()),
        }
    }

    /// Whether it holds at a moment.
    pub fn holds(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.end()
    }

    /// When it ends, or ended.
    pub fn end(&self) -> Timestamp {
        self.ended.map_or(self.to, |ended| ended.min(self.to))
    }
}
