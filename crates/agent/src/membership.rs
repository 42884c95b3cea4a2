//! Membership: which server a machine has joined, as whom, and how it knows that server again.

use fleet::MachineId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How the server is known again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Its certificate comes from this authority (DER, hexadecimal digits) and from no other.
    Authority(String),
    /// It shows this very certificate (DER, hexadecimal digits).
    Certificate(String),
    /// Its certificate is one that the system trusts.
    System,
    /// It is on this machine and speaks without TLS.
    Loopback,
}

/// What enrolment made of a machine.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The server's address: scheme, host and port.
    pub server: String,
    /// How it is known again.
    pub trust: Trust,
    /// Which machine this is there.
    pub machine: MachineId,
    /// Whose, a UUID.
    pub client: String,
    /// What it shows to the gateway.
    pub credential: String,
    /// Since when.
    pub joined: Timestamp,
}

impl std::fmt::Debug for Membership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Membership");
        shown.field("server", &self.server).field("machine", &self.machine).finish_non_exhaustive()
    }
}
