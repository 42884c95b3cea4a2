//! Person: one account on this server, whatever tenants they work for.

use serde::{Deserialize, Serialize};

use crate::PersonId;
use fleet::Actor;

/// One account on this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Who.
    pub id: PersonId,
    /// What people call them.
    pub name: String,
    /// What they sign in with, and where mail goes.
    pub email: String,
}

impl Person {
    /// Them, as the fleet knows them.
    pub fn actor(&self) -> Actor {
        Actor { key: format!("person:{}", self.id), name: self.name.clone() }
    }
}
