//! Tenant: an IT provider on this server.

use serde::{Deserialize, Serialize};

use crate::TenantId;

/// An IT provider on this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Which.
    pub id: TenantId,
    /// What people call it.
    pub name: String,
}
