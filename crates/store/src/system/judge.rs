//! Judging: facts in, the machine's card out. Done when something changed, and when a limit passes.

use fleet::{Freshness, Machine, MachineId, State};
use jiff::Timestamp;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};

use super::System;
use super::facts::{Gatherer, stored_recheck};
use super::work::machine_row;
use crate::Result;
use crate::document::written;
use crate::entity::machines;
use crate::machine::machine;
use crate::moment::micros;

impl System<'_> {
    /// Machines that are to be judged again, those that wait longest first.
    pub async fn to_judge(&self, now: Timestamp, most: u64) -> Result<Vec<MachineId>> {
        let rows: Vec<uuid::Uuid> = machines::Entity::find()
            .select_only()
            .column(machines::Column::Id)
            .filter(machines::Column::Retired.is_null())
            .filter(machines::Column::Recheck.lte(micros(now)))
            .order_by_asc(machines::Column::Recheck)
            .limit(most)
            .into_tuple()
            .all(self.store.read())
            .await?;
        Ok(rows.into_iter().map(MachineId::new).collect())
    }

    /// Judges machines and keeps their cards, in one transaction. `doubt`: why nothing is known of anybody's silence now,
    /// as a clause, when we suspect our own connection.
    pub async fn judge(
        &self,
        which: &[MachineId],
        doubt: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<(Machine, Freshness)>> {
        let txn = self.store.begin().await?;
        let mut gatherer = Gatherer::new(&txn, now, doubt);
        let mut judged = Vec::new();
        // In one order, so that two servers do not wait for each other in a circle.
        let mut which = which.to_vec();
        which.sort();
        for id in which {
            let row = machine_row(&txn, id).await?;
            let facts = gatherer.facts(&row).await?;
            let (machine, freshness) = (machine(&row)?, Freshness::of(&facts, now));
            let mut card = row.into_active_model();
            set_card(&mut card, &freshness, facts.backup.running.map(|(_, percent)| percent))?;
            card.judged = Set(micros(now));
            card.recheck = Set(stored_recheck(&facts, now));
            card.update(&txn).await?;
            judged.push((machine, freshness));
        }
        txn.commit().await?;
        Ok(judged)
    }
}

fn set_card(card: &mut machines::ActiveModel, freshness: &Freshness, percent: Option<u8>) -> Result<()> {
    let standing = &freshness.standing;
    card.rank = Set(standing.rank().into());
    card.state = Set(standing.state.word().into());
    card.paused = Set(standing.pause.is_some());
    card.sentence = Set(match standing.state {
        State::Good => freshness.lights[1].sentence.clone(),
        _ => freshness.worst().sentence.clone(),
    });
    card.lights = Set(written("a machine's lights", &freshness.lights)?);
    card.percent = Set(percent.map(i64::from));
    Ok(())
}
