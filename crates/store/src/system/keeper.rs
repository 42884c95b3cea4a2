//! Keepers: who tends repositories. The operator of the server adds them; they prove who they are like agents do.

use fleet::{ClientId, MachineId};
use jiff::Timestamp;
use sea_orm::sea_query::{Expr, LockType, OnConflict};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::System;
use super::work::machine_row;
use crate::entity::{clients, keeper_accounts, keepers, machines};
use crate::moment::micros;
use crate::{Error, Result, SecretHash};

fleet::id!(
    /// Whoever tends repositories.
    KeeperId
);

/// A keeper to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKeeper {
    /// Its identity here, unless one with the same key is known.
    pub id: KeeperId,
    /// What people call it.
    pub name: String,
    /// The public key that it proves itself with (Ed25519).
    pub identity: [u8; 32],
    /// The public key that machines' keys are sealed to (X25519).
    pub public: [u8; 32],
}

/// A keeper that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// Which.
    pub id: KeeperId,
    /// What people call it.
    pub name: String,
    /// What machines' keys are sealed to.
    pub public: [u8; 32],
    /// Why it is not believed.
    pub quarantined: Option<String>,
}

/// A keeper that proved to have its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetKeeper {
    /// Which.
    pub keeper: Keeper,
    /// How often it has called, as it says.
    pub counter: u64,
}

/// A machine's key, sealed to a keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedKey {
    /// What people call the machine.
    pub name: String,
    /// Whose machine it is.
    pub client: ClientId,
    /// The key, as only the keeper can open it.
    pub key: Vec<u8>,
}

fn keeper(row: keepers::Model) -> Result<Keeper> {
    let key = |bytes: Vec<u8>| bytes.try_into().map_err(|_| Error::stored("a keeper")("a key's length".into()));
    Ok(Keeper { id: KeeperId::new(row.id), name: row.name, public: key(row.public)?, quarantined: row.quarantined })
}

impl System<'_> {
    /// Makes a keeper known, or believes one again whose key is known; its identity here.
    pub async fn add_keeper(&self, new: &NewKeeper, at: Timestamp) -> Result<KeeperId> {
        let txn = self.store.begin().await?;
        let named = keepers::Entity::find().filter(keepers::Column::Name.eq(&new.name)).one(&txn).await?;
        if named.is_some_and(|named| named.identity != new.identity) {
            return Err(Error::Conflict(format!("another keeper is called {:?}", new.name)));
        }
        let row = keepers::ActiveModel {
            id: Set(new.id.uuid()),
            name: Set(new.name.clone()),
            identity: Set(new.identity.to_vec()),
            public: Set(new.public.to_vec()),
            counter: Set(0),
            quarantined: Set(None),
            added: Set(micros(at)),
            server: Set(None),
            connected: Set(0),
        };
        use keepers::Column::{Counter, Identity, Name, Public, Quarantined};
        let again = OnConflict::column(Identity).update_columns([Name, Public, Counter, Quarantined]).to_owned();
        keepers::Entity::insert(row).on_conflict(again).exec_without_returning(&txn).await?;
        let there = keepers::Entity::find().filter(Identity.eq(new.identity.to_vec())).one(&txn).await?;
        txn.commit().await?;
        Ok(KeeperId::new(there.ok_or(Error::NotFound("keeper"))?.id))
    }

    /// The keepers, the longest known first: that one tends all repositories whose keys are to be sealed now.
    pub async fn keepers(&self) -> Result<Vec<Keeper>> {
        let rows = keepers::Entity::find().order_by_asc(keepers::Column::Added).order_by_asc(keepers::Column::Id);
        rows.all(self.store.read()).await?.into_iter().map(keeper).collect()
    }

    /// Whether a machine or a keeper has this key: whether it is worth a transaction to meet it.
    pub async fn is_known(&self, identity: &[u8; 32]) -> Result<bool> {
        let db = self.store.read();
        let machine = machines::Entity::find().filter(machines::Column::Identity.eq(identity.to_vec()));
        let keeper = keepers::Entity::find().filter(keepers::Column::Identity.eq(identity.to_vec()));
        Ok(machine.one(db).await?.is_some() || keeper.one(db).await?.is_some())
    }

    /// A keeper proved to have this key, for the `counter`th time as it says. A count that was had before means that the
    /// key is at two places: neither is believed.
    pub async fn meet_keeper(&self, identity: &[u8; 32], counter: u64) -> Result<Option<MetKeeper>> {
        let txn = self.store.begin().await?;
        let found = keepers::Entity::find().filter(keepers::Column::Identity.eq(identity.to_vec()));
        let Some(found) = found.lock(LockType::NoKeyUpdate).one(&txn).await? else { return Ok(None) };
        let count = i64::try_from(counter).unwrap_or(i64::MAX);
        let twice = (count <= found.counter)
            .then(|| format!("it called for the {counter}th time, and was heard {} times", found.counter));
        let quarantined = found.quarantined.clone().or(twice);
        let mut row = found.into_active_model();
        row.quarantined = Set(quarantined.clone());
        if quarantined.is_none() {
            row.counter = Set(count);
        }
        let row = row.update(&txn).await?;
        txn.commit().await?;
        Ok(Some(MetKeeper { keeper: keeper(row)?, counter }))
    }

    /// How often a keeper has called, if it is believed: who called earlier is not heard any more.
    pub async fn keeper_counter(&self, id: KeeperId) -> Result<Option<u64>> {
        let row = keepers::Entity::find_by_id(id.uuid()).one(self.store.read()).await?;
        Ok(row.filter(|row| row.quarantined.is_none()).map(|row| row.counter.unsigned_abs()))
    }

    /// What a keeper shows to the gateway until `ends`; said again, it is good for longer. What has ended is removed.
    pub async fn keep_account(
        &self,
        account: Uuid,
        keeper: KeeperId,
        hash: SecretHash,
        now: Timestamp,
        ends: Timestamp,
    ) -> Result<()> {
        let txn = self.store.begin().await?;
        let over = keeper_accounts::Entity::delete_many().filter(keeper_accounts::Column::Ends.lte(micros(now)));
        over.exec(&txn).await?;
        let row = keeper_accounts::ActiveModel {
            id: Set(account),
            keeper: Set(keeper.uuid()),
            hash: Set(hash.0.to_vec()),
            ends: Set(micros(ends)),
        };
        let longer =
            OnConflict::column(keeper_accounts::Column::Id).update_column(keeper_accounts::Column::Ends).to_owned();
        keeper_accounts::Entity::insert(row).on_conflict(longer).exec_without_returning(&txn).await?;
        Ok(txn.commit().await?)
    }

    /// A machine's key came, sealed to a keeper. False where it is not wanted: the client keeps keys alone, or nobody
    /// has that public key.
    pub async fn seal_key(&self, machine: MachineId, public: &[u8; 32], key: &[u8]) -> Result<bool> {
        let txn = self.store.begin().await?;
        let row = machine_row(&txn, machine).await?;
        let client = clients::Entity::find_by_id(row.client).one(&txn).await?.ok_or(Error::NotFound("client"))?;
        let keeper = keepers::Entity::find().filter(keepers::Column::Public.eq(public.to_vec())).one(&txn).await?;
        if client.custody == "blind" || keeper.is_none() {
            return Ok(false);
        }
        let set = machines::Entity::update_many()
            .col_expr(machines::Column::SealedKey, Expr::value(key.to_vec()))
            .col_expr(machines::Column::SealedTo, Expr::value(public.to_vec()));
        set.filter(machines::Column::Id.eq(row.id)).exec(&txn).await?;
        txn.commit().await?;
        Ok(true)
    }

    /// A machine's key, if it is sealed to this keeper.
    pub async fn sealed_to(&self, machine: MachineId, public: &[u8; 32]) -> Result<Option<SealedKey>> {
        let row = machines::Entity::find_by_id(machine.uuid()).one(self.store.read()).await?;
        let row = row.filter(|row| row.sealed_to.as_deref() == Some(public.as_slice()));
        Ok(row.and_then(|row| {
            Some(SealedKey { name: row.name, client: ClientId::new(row.client), key: row.sealed_key? })
        }))
    }
}
