//! Proofs: copies that were made and drills that were held, with how they went.

use fleet::{CopyId, DestinationId, Distance, Drill, DrillId, MachineId, Verdict};
use jiff::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::document::{of_word, read};
use crate::entity::{copies, drills};
use crate::moment::moment;
use crate::within::within;
use crate::{Result, View};

/// A copy to another destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyMade {
    /// Which.
    pub id: CopyId,
    /// Of which machine's backups.
    pub machine: MachineId,
    /// Where to.
    pub destination: DestinationId,
    /// How far that was away when it was made.
    pub distance: Distance,
    /// When it ended.
    pub ended: Timestamp,
    /// When the newest snapshot that it holds was taken.
    pub newest: Timestamp,
    /// How it went.
    pub verdict: Verdict,
}

/// A restore practised on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrillMade {
    /// Which.
    pub id: DrillId,
    /// Of which machine's backups.
    pub machine: MachineId,
    /// Of what kind.
    pub kind: Drill,
    /// When it ended.
    pub ended: Timestamp,
    /// How it went.
    pub verdict: Verdict,
    /// What there is to show: text of a console, names of files; JSON that is not looked into here.
    pub evidence: String,
}

pub(crate) fn copy(row: &copies::Model) -> Result<CopyMade> {
    Ok(CopyMade {
        id: CopyId::new(row.id),
        machine: MachineId::new(row.machine),
        destination: DestinationId::new(row.destination),
        distance: if row.offsite { Distance::Offsite } else { Distance::OnSite },
        ended: moment(row.ended)?,
        newest: moment(row.newest)?,
        verdict: read("a copy's verdict", &row.verdict)?,
    })
}

pub(crate) fn drill(row: &drills::Model) -> Result<DrillMade> {
    Ok(DrillMade {
        id: DrillId::new(row.id),
        machine: MachineId::new(row.machine),
        kind: of_word("a drill's kind", &row.kind)?,
        ended: moment(row.ended)?,
        verdict: read("a drill's verdict", &row.verdict)?,
        evidence: row.evidence.clone(),
    })
}

impl View<'_> {
    /// A machine's newest copies.
    pub async fn copies(&self, machine: MachineId, most: u64) -> Result<Vec<CopyMade>> {
        let rows = copies::Entity::find().filter(copies::Column::Machine.eq(machine.uuid()));
        let rows =
            rows.filter(within::<copies::Entity>(&self.looks())).order_by_desc(copies::Column::Ended).limit(most);
        rows.all(self.store.read()).await?.iter().map(copy).collect()
    }

    /// A machine's newest drills.
    pub async fn drills(&self, machine: MachineId, most: u64) -> Result<Vec<DrillMade>> {
        let rows = drills::Entity::find().filter(drills::Column::Machine.eq(machine.uuid()));
        let rows =
            rows.filter(within::<drills::Entity>(&self.looks())).order_by_desc(drills::Column::Ended).limit(most);
        rows.all(self.store.read()).await?.iter().map(drill).collect()
    }
}
