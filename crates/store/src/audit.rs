//! Audit: who did what to what, when; one chain of hashes for each tenant, so that a line cannot be changed unnoticed.
//!
//! A line's hash is the SHA-256 of the hash before it (32 zeros at first) and of its fields, each preceded by its length
//! in eight bytes, the last first: number, microseconds since 1970, actor's key, actor's name, act, about, detail.

use continuity::Act;
use fleet::{Actor, TenantId};
use jiff::Timestamp;
use sea_orm::sea_query::LockType;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use crate::entity::{audit, tenants};
use crate::moment::{micros, moment};
use crate::secret::sha256;
use crate::{Error, Result, View};

/// What was done.
pub(crate) struct Done {
    /// Noun and verb: "machine rename".
    pub(crate) act: &'static str,
    /// To what: an identity or a name.
    pub(crate) about: String,
    /// How, in words.
    pub(crate) detail: String,
}

/// A line of the log. As JSON, one on each line, it is also what is exported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its number in the tenant's log, from 1.
    pub number: u64,
    /// When, to the microsecond.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What: noun and verb.
    pub act: String,
    /// To what.
    pub about: String,
    /// How.
    pub detail: String,
    /// The hash of this line and all before it, in hexadecimal.
    pub hash: String,
}

/// What was read of a log, and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditChain {
    /// How many lines were verified.
    pub lines: u64,
    /// The last one's hash in hexadecimal; to be kept elsewhere, so that a shortened log is noticed.
    pub head: String,
}

impl Default for AuditChain {
    /// A log without lines.
    fn default() -> AuditChain {
        AuditChain { lines: 0, head: hex::encode([0; 32]) }
    }
}

/// Where a log is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuditError {
    /// A line is missing, or stands at another place.
    #[error("line {0} of the audit log is missing")]
    Missing(u64),
    /// A line was changed.
    #[error("line {0} of the audit log was changed")]
    Changed(u64),
}

/// Verifies lines that follow on `before`, the end of what was verified before them; offline, from an export or a page.
pub fn verify_chain(before: Option<&AuditChain>, entries: &[AuditEntry]) -> Result<AuditChain, AuditError> {
    let mut chain = before.cloned().unwrap_or_default();
    for entry in entries {
        if entry.number != chain.lines + 1 {
            return Err(AuditError::Missing(chain.lines + 1));
        }
        let before = hex::decode(&chain.head).map_err(|_| AuditError::Changed(chain.lines))?;
        if hex::encode(hash(&before, entry)) != entry.hash {
            return Err(AuditError::Changed(entry.number));
        }
        chain = AuditChain { lines: entry.number, head: entry.hash.clone() };
    }
    Ok(chain)
}

/// Makes everybody else who would append, or change the tenant's board, wait. Whoever locks more than this locks this first.
/// Rows that only refer to the tenant are not held up.
pub(crate) async fn lock<C: ConnectionTrait>(txn: &C, tenant: TenantId) -> Result<()> {
    let locked = tenants::Entity::find_by_id(tenant.uuid()).lock(LockType::NoKeyUpdate).one(txn).await?;
    locked.map(drop).ok_or(Error::NotFound("tenant"))
}

/// Appends a line within a transaction. Two at once wait for one another.
pub(crate) async fn append<C: ConnectionTrait>(
    txn: &C,
    tenant: TenantId,
    actor: &Actor,
    at: Timestamp,
    done: Done,
) -> Result<()> {
    lock(txn, tenant).await?;
    let last = audit::Entity::find().filter(audit::Column::Tenant.eq(tenant.uuid()));
    let last = last.order_by_desc(audit::Column::Number).limit(1).one(txn).await?;
    let (before, number) = last.map_or((vec![0; 32], 1), |last| (last.hash, last.number + 1));
    let Done { act, about, detail } = done;
    let actor = actor.clone();
    // What is hashed is what is stored: microseconds.
    let at = moment(micros(at))?;
    let entry =
        AuditEntry { number: number.unsigned_abs(), at, actor, act: act.into(), about, detail, hash: String::new() };
    let hash = hash(&before, &entry);
    let row = audit::ActiveModel {
        tenant: Set(tenant.uuid()),
        number: Set(number),
        at: Set(micros(at)),
        actor_key: Set(entry.actor.key),
        actor_name: Set(entry.actor.name),
        act: Set(entry.act),
        about: Set(entry.about),
        detail: Set(entry.detail),
        hash: Set(hash.to_vec()),
    };
    audit::Entity::insert(row).exec_without_returning(txn).await?;
    Ok(())
}

fn hash(before: &[u8], entry: &AuditEntry) -> [u8; 32] {
    let (number, at) = (entry.number.to_string(), micros(entry.at).to_string());
    let AuditEntry { actor, act, about, detail, .. } = entry;
    let mut text = before.to_vec();
    for field in [&number, &at, &actor.key, &actor.name, act, about, detail] {
        text.extend((field.len() as u64).to_be_bytes());
        text.extend(field.as_bytes());
    }
    sha256(&text)
}

fn entry(row: audit::Model) -> Result<AuditEntry> {
    Ok(AuditEntry {
        number: row.number.unsigned_abs(),
        at: moment(row.at)?,
        actor: Actor { key: row.actor_key, name: row.actor_name },
        act: row.act,
        about: row.about,
        detail: row.detail,
        hash: hex::encode(row.hash),
    })
}

impl View<'_> {
    /// At most `most` lines of a tenant's log before line `before`, the newest first.
    pub async fn audit_newest(&self, tenant: TenantId, before: Option<u64>, most: u64) -> Result<Vec<AuditEntry>> {
        self.on_tenant(Act::LOOK, tenant)?;
        let mut rows = audit::Entity::find().filter(audit::Column::Tenant.eq(tenant.uuid()));
        if let Some(before) = before {
            rows = rows.filter(audit::Column::Number.lt(i64::try_from(before).unwrap_or(i64::MAX)));
        }
        let rows = rows.order_by_desc(audit::Column::Number).limit(most).all(self.store.read()).await?;
        rows.into_iter().map(entry).collect()
    }

    /// At most `most` lines of a tenant's log after line `after`, in order: for exports and for verifying.
    pub async fn audit_from(&self, tenant: TenantId, after: u64, most: u64) -> Result<Vec<AuditEntry>> {
        self.on_tenant(Act::LOOK, tenant)?;
        let rows = audit::Entity::find().filter(audit::Column::Tenant.eq(tenant.uuid()));
        let rows = rows.filter(audit::Column::Number.gt(i64::try_from(after).unwrap_or(i64::MAX)));
        let rows = rows.order_by_asc(audit::Column::Number).limit(most).all(self.store.read()).await?;
        rows.into_iter().map(entry).collect()
    }

    /// Verifies a tenant's whole log, page by page.
    pub async fn verify_audit(&self, tenant: TenantId) -> Result<Result<AuditChain, AuditError>> {
        let mut chain = None;
        loop {
            let after = chain.as_ref().map_or(0, |chain: &AuditChain| chain.lines);
            let page = self.audit_from(tenant, after, 1_000).await?;
            let end = page.is_empty();
            match verify_chain(chain.as_ref(), &page) {
                Ok(verified) if end => return Ok(Ok(verified)),
                Ok(verified) => chain = Some(verified),
                Err(error) => return Ok(Err(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<AuditEntry> {
        let mut before = vec![0; 32];
        let line = |number: u64| {
            let mut entry = AuditEntry {
                number,
                at: Timestamp::from_second(number as i64).unwrap(),
                actor: Actor { key: "person:1".into(), name: "Jim".into() },
                act: "machine rename".into(),
                about: format!("m{number}"),
                detail: "x".into(),
                hash: String::new(),
            };
            let hash = hash(&before, &entry);
            before = hash.to_vec();
            entry.hash = hex::encode(hash);
            entry
        };
        (1..=5).map(line).collect()
    }

    #[test]
    fn a_log_is_verified_in_pieces_and_ends_with_its_last_hash() {
        let log = log();
        let half = verify_chain(None, &log[..2]).unwrap();
        let whole = verify_chain(Some(&half), &log[2..]).unwrap();
        assert_eq!(whole, AuditChain { lines: 5, head: log[4].hash.clone() });
    }

    #[test]
    fn a_line_that_is_missing_changed_or_forged_is_noticed() {
        let mut missing = log();
        missing.remove(2);
        assert_eq!(verify_chain(None, &missing), Err(AuditError::Missing(3)));
        let mut changed = log();
        changed[3].detail = "y".into();
        assert_eq!(verify_chain(None, &changed), Err(AuditError::Changed(4)));
        let mut moved = log();
        (moved[0].act, moved[0].about) = ("machine renamem".into(), "1".into());
        assert_eq!(verify_chain(None, &moved), Err(AuditError::Changed(1)), "fields have borders");
    }
}
