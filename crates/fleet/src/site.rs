//! Site: one of a client's places. When all of it is silent, its machines are unknown, not failed.

use serde::{Deserialize, Serialize};

use crate::{ClientId, SiteId};

/// One of a client's places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Which.
    pub id: SiteId,
    /// Whose.
    pub client: ClientId,
    /// What people call it.
    pub name: String,
}
