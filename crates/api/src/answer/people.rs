//! People and grants on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Somebody who belongs to a firm.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Which person.
    pub person: String,
    /// What they are called.
    pub name: String,
    /// What they sign in with.
    pub email: String,
    /// owner, technician or client viewer.
    pub role: String,
    /// The client that a client viewer sees.
    pub client: Option<String>,
}

/// A firm and who belongs to it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Firm {
    /// Which tenant.
    pub tenant: String,
    /// What it is called.
    pub name: String,
    /// Its members; empty to those who do not belong to it.
    pub members: Vec<Member>,
}

/// The firms within sight.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct People {
    /// The firms.
    pub firms: Vec<Firm>,
}

/// A new member.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// Of which tenant.
    pub tenant: String,
    /// 1 to 100 characters.
    pub name: String,
    /// An e-mail address of at most 200 bytes. Whose account it is already, joins with that.
    pub email: String,
    /// owner, technician or client viewer.
    pub role: String,
    /// The client that a client viewer sees.
    pub client: Option<String>,
}

/// A role for a member.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// At which tenant.
    pub tenant: String,
    /// owner, technician or client viewer.
    pub role: String,
    /// The client that a client viewer sees.
    pub client: Option<String>,
}

/// A member with a one-time link.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Invited {
    /// Which person.
    pub person: String,
    /// Lets whoever holds it choose a password and sign in, once; told once. None for who signs in as usual.
    pub link: Option<String>,
    /// When the link ends.
    pub ends: Option<String>,
}

/// Leave for somebody to do some things for a while.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Grant {
    /// Which.
    pub id: String,
    /// Whose machines.
    pub tenant: String,
    /// Of which client.
    pub client: String,
    /// On which machines; empty: all of the client.
    pub machines: Vec<String>,
    /// Who may.
    pub person: String,
    /// look, backup, restore, migrate or power.
    pub verbs: Vec<String>,
    /// From when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// Why.
    pub reason: String,
    /// Whether it holds now.
    pub holds: bool,
}

/// The grants within sight, the last to end first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Grants {
    /// The grants.
    pub grants: Vec<Grant>,
}

/// A grant to give.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// Of which tenant.
    pub tenant: String,
    /// On machines of which client.
    pub client: String,
    /// On which machines; empty: all of the client, those that come too.
    #[serde(default)]
    pub machines: Vec<String>,
    /// To whom: the address that they sign in with.
    pub email: String,
    /// backup, restore, migrate, power; looking goes with everything.
    pub verbs: Vec<String>,
    /// Why.
    pub reason: String,
    /// For how many hours; at most 744.
    pub hours: u16,
}

/// Something that is there from now on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Made {
    /// Which.
    pub id: String,
}
