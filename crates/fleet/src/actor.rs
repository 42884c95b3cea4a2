//! Who did something, as far as the fleet knows: an opaque key and the name it had then.

use serde::{Deserialize, Serialize};

/// Who did something. The key says who for ever; the name is what that somebody was called when it was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who: a person, a machine, this server. Given by whoever knows people.
    pub key: String,
    /// What to call them in sentences.
    pub name: String,
}
