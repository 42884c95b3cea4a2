//! Duties: all that an agent must know to carry on by itself, for weeks if need be.

use fleet::{Pause, Policy, Zone};
use serde::{Deserialize, Serialize};

/// What a machine does until it is told otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Duties {
    /// What is protected, when; none: nothing yet.
    pub policy: Option<Policy>,
    /// The client's wall clock, for words.
    pub zone: Zone,
    /// Somebody said that nothing shall be done for a while.
    pub pause: Option<Pause>,
    /// Where the machine's repository is; none: the server has no gateway.
    pub gateway: Option<Gateway>,
    /// Whom a copy of the repository's key is sealed to; none: the machine keeps it alone.
    pub keeper: Option<KeeperKey>,
}

/// Where a machine's repository is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// The gateway's address without credentials: `https://backup.example:8444`. The machine's repository is below it, at
    /// its identity; it comes in with its identity as name and the credential of its enrolment as password.
    pub address: String,
    /// The authority (PEM) that the gateway's certificate must come from; none: one that the system trusts.
    pub authority: Option<String>,
}

/// A keeper's public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperKey {
    /// X25519, 64 hexadecimal digits.
    pub public: String,
}
