//! Storage, as a light sees it: when it was last checked, what the check said, how long the room will last.

use serde::{Deserialize, Serialize};

use crate::Attempt;

/// What is known of a machine's storage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageFacts {
    /// The last check.
    pub check: Option<Attempt>,
    /// Bytes that the machine's backups take.
    pub stored: u64,
    /// Days after which storage is full, or the quota is reached, at the speed of the last weeks; none: not in sight.
    pub days_left: Option<u32>,
}

/// From this many days on, the end of the room is in sight.
pub(crate) const FEW_DAYS: u32 = 14;
