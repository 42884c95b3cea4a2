//! Who looks after it: person, membership, grant, and the scope that follows from them.
//!
//! Pure: the time and identities come in as values. A [`Scope`] holds nothing that no membership and no active grant
//! gives; every question to the server's memory takes one.

mod act;
mod grant;
mod id;
mod membership;
mod person;
mod scope;

pub use act::{Act, Verb};
pub use grant::{Grant, GrantError, GrantedOn};
pub use id::{GrantId, PersonId};
pub use membership::{Membership, Role};
pub use person::Person;
pub use scope::{Reach, Scope};
