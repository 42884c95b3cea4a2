//! Enrolment codes: short words that let one machine, or a few, join a client for a while. Only their hash is stored.

use continuity::Act;
use fleet::{ClientId, MachineClass, PolicyId, TenantId};
use jiff::Timestamp;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::audit::Done;
use crate::document::{of_word, word};
use crate::entity::codes;
use crate::moment::{micros, moment};
use crate::within::within;
use crate::{Error, Result, Secret, View, policy};

fleet::id!(
    /// An enrolment code.
    CodeId
);

/// A code that may still let machines in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolmentCode {
    /// Which.
    pub id: CodeId,
    /// Whose machines join by it.
    pub client: ClientId,
    /// Of which class they are at first.
    pub class: MachineClass,
    /// What is done for them at first.
    pub policy: Option<PolicyId>,
    /// How many may still join.
    pub uses_left: u64,
    /// Until when.
    pub expires: Timestamp,
    /// Who made it.
    pub made_by: String,
}

/// What a new code lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewCode {
    /// Its identity.
    pub id: CodeId,
    /// Whose machines join by it.
    pub client: ClientId,
    /// Of which class they are at first.
    pub class: MachineClass,
    /// What is done for them at first; a policy of the same tenant.
    pub policy: Option<PolicyId>,
    /// How many may join.
    pub uses: u64,
    /// Until when.
    pub expires: Timestamp,
}

/// More machines than this do not join by one code.
const MOST_USES: u64 = 1_000;

impl View<'_> {
    /// A client's codes that are neither used up nor expired, the last to expire first.
    pub async fn codes(&self, client: ClientId) -> Result<Vec<EnrolmentCode>> {
        let rows = codes::Entity::find()
            .filter(codes::Column::Client.eq(client.uuid()))
            .filter(within::<codes::Entity>(&self.scope.reach(Act::Configure)))
            .filter(codes::Column::UsesLeft.gt(0))
            .filter(codes::Column::Expires.gt(micros(self.scope.at())))
            .order_by_desc(codes::Column::Expires);
        rows.all(self.store.read()).await?.into_iter().map(code).collect()
    }

    /// A new one; `secret` is what is typed at the machine.
    pub async fn add_code(&self, new: &NewCode, secret: &Secret) -> Result<()> {
        if new.uses == 0 || new.uses > MOST_USES || new.expires <= self.scope.at() {
            return Err(Error::Conflict(format!("a code is for 1 to {MOST_USES} machines, and ends later than now")));
        }
        let txn = self.store.begin().await?;
        let client = self.on_client(Act::Configure, &txn, new.client).await?;
        let tenant = TenantId::new(client.tenant);
        if let Some(id) = new.policy {
            policy::one(&txn, id, tenant).await?;
        }
        let row = codes::ActiveModel {
            id: Set(new.id.uuid()),
            tenant: Set(client.tenant),
            client: Set(client.id),
            hash: Set(secret.hash().0.to_vec()),
            class: Set(word("a machine's class", &new.class)?),
            policy: Set(new.policy.map(PolicyId::uuid)),
            uses_left: Set(new.uses as i64),
            expires: Set(micros(new.expires)),
            made_by: Set(self.scope.actor().name.clone()),
        };
        remove_dead(&txn, self.scope.at()).await?;
        codes::Entity::insert(row).exec_without_returning(&txn).await?;
        let detail = format!("for {} machines of {}, until {}", new.uses, client.name, new.expires);
        self.commit(txn, tenant, Done { act: "code add", about: new.id.to_string(), detail }).await
    }

    /// Takes one back.
    pub async fn remove_code(&self, id: CodeId) -> Result<()> {
        let txn = self.store.begin().await?;
        let reach = self.scope.reach(Act::Configure);
        let row = codes::Entity::find_by_id(id.uuid()).filter(within::<codes::Entity>(&reach)).one(&txn).await?;
        let row = row.ok_or(Error::NotFound("code"))?;
        codes::Entity::delete_by_id(id.uuid()).exec(&txn).await?;
        let done = Done { act: "code remove", about: id.to_string(), detail: String::new() };
        self.commit(txn, TenantId::new(row.tenant), done).await
    }
}

/// Removes codes that have ended. Those that are used up stay until then: a machine whose answer was lost shows one again.
pub(crate) async fn remove_dead<C: ConnectionTrait>(txn: &C, now: Timestamp) -> Result<()> {
    codes::Entity::delete_many().filter(codes::Column::Expires.lte(micros(now))).exec(txn).await?;
    Ok(())
}

fn code(row: codes::Model) -> Result<EnrolmentCode> {
    Ok(EnrolmentCode {
        id: CodeId::new(row.id),
        client: ClientId::new(row.client),
        class: of_word("a machine's class", &row.class)?,
        policy: row.policy.map(PolicyId::new),
        uses_left: row.uses_left.unsigned_abs(),
        expires: moment(row.expires)?,
        made_by: row.made_by,
    })
}
