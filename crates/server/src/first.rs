//! The first moments of a server: a firm, its owner, and the one-time link by which the owner comes in.

use continuity::{Person, PersonId};
use fleet::{Tenant, TenantId};
use jiff::{Timestamp, ToSpan};
use store::{Error, Result, Secret, Store};

use crate::code;

/// How long a link that the operator prints is good, in hours.
pub const LINK_HOURS: i64 = 24;

/// Who owns a new server, and the firm that it is for.
#[derive(Clone, Debug)]
pub struct Owner {
    /// What the firm is called.
    pub firm: String,
    /// What people call the owner.
    pub name: String,
    /// What the owner signs in with.
    pub email: String,
}

/// Makes the firm and its owner if the server is new; says whether it was.
pub async fn found(store: &Store, owner: &Owner, now: Timestamp, random: [u8; 10]) -> Result<bool> {
    if !store.system().is_new().await? {
        return Ok(false);
    }
    let tenant = Tenant { id: TenantId::made(now, random), name: owner.firm.clone() };
    let person = Person { id: PersonId::made(now, random), name: owner.name.clone(), email: owner.email.clone() };
    store.system().found_tenant(&tenant, &person, now).await?;
    Ok(true)
}

/// A code by which this machine joins at once; what is typed, and what is stored of it.
pub fn code() -> Result<(String, Secret)> {
    let typed = code::fresh().map_err(|_| Error::Conflict("the system gives no random bytes".into()))?;
    let meant = Secret::received(&code::as_meant(&typed));
    Ok((typed, meant))
}

/// A path of this server that lets whoever has this address in, once, within a day. The operator of a server can always
/// do that: whoever can write the database is its master anyway.
pub async fn link(store: &Store, email: &str, now: Timestamp) -> Result<String> {
    let known = store.system().sign_in(email).await?.ok_or(Error::NotFound("person"))?;
    let secret = Secret::random();
    let ends = now.checked_add(LINK_HOURS.hours()).map_err(|error| Error::Conflict(error.to_string()))?;
    store.system().add_link(known.person.id, &secret, ends).await?;
    Ok(format!("/welcome/{}", secret.text()))
}
