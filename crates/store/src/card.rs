//! Card: how a machine stands, kept in its row, so that ten thousand are sorted and counted without judging any.

use fleet::{Bar, ClientId, Light, MachineClass, MachineId, State, TenantId};
use jiff::Timestamp;
use sea_orm::sea_query::{Condition, Expr, ExprTrait, Func, LikeExpr};
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use crate::document::{of_word, read};
use crate::entity::machines;
use crate::moment::moment;
use crate::within::within;
use crate::{Error, Result, View};

/// How a machine stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Which.
    pub machine: MachineId,
    /// Whose provider's.
    pub tenant: TenantId,
    /// Whose.
    pub client: ClientId,
    /// What people call it.
    pub name: String,
    /// What kind it is.
    pub class: MachineClass,
    /// Its state.
    pub state: State,
    /// Whether it is paused beside that.
    pub paused: bool,
    /// What matters most, in a sentence; ages as of `judged`.
    pub sentence: String,
    /// The five lights.
    pub lights: Vec<Light>,
    /// How far a backup is, if one goes on.
    pub percent: Option<u8>,
    /// The last 28 days, as of `judged`.
    pub bar: Bar,
    /// When it was judged.
    pub judged: Timestamp,
}

/// Which machines to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetFilter {
    /// Those in this state; `Paused` means those that are paused.
    pub state: Option<State>,
    /// Those of this client.
    pub client: Option<ClientId>,
    /// Those with this in their name, whatever the case (of ASCII letters).
    pub name: Option<String>,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageMark {
    /// The last one's rank.
    pub rank: u8,
    /// The last one's name.
    pub name: String,
    /// The last one.
    pub machine: MachineId,
}

/// How many machines stand how; a paused one counts as paused alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    counts: [u64; 7],
}

impl Counts {
    /// Those in a state.
    pub fn of(&self, state: State) -> u64 {
        self.counts[state as usize]
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// A page of machines, the worst first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetPage {
    /// The machines.
    pub cards: Vec<Card>,
    /// Where the next page begins; none after the last one.
    pub next: Option<PageMark>,
    /// How all machines within sight stand, whatever the filter.
    pub counts: Counts,
}

/// Columns of a card; keys and settings stay where they are.
#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    tenant: Uuid,
    client: Uuid,
    name: String,
    class: String,
    rank: i64,
    state: String,
    paused: bool,
    sentence: String,
    lights: String,
    percent: Option<i64>,
    bar: String,
    judged: i64,
}

#[derive(FromQueryResult)]
struct Count {
    state: String,
    paused: bool,
    machines: i64,
}

impl View<'_> {
    /// At most `most` machines after `after`, the worst first, then by name; retired ones are left out.
    pub async fn fleet(&self, filter: &FleetFilter, after: Option<&PageMark>, most: u64) -> Result<FleetPage> {
        let counts = self.counts().await?;
        let mut select = self.machines_in_service().filter(matching(filter));
        if let Some(mark) = after {
            select = select.filter(beyond(mark));
        }
        let select = card_columns(select)
            .order_by_desc(machines::Column::Rank)
            .order_by_asc(machines::Column::Name)
            .order_by_asc(machines::Column::Id);
        let mut rows = select.limit(most + 1).into_model::<Row>().all(self.store.read()).await?;
        let more = rows.len() as u64 > most;
        rows.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        let next = rows.last().filter(|_| more).map(|last| PageMark {
            rank: last.rank.clamp(0, 255) as u8,
            name: last.name.clone(),
            machine: MachineId::new(last.id),
        });
        Ok(FleetPage { cards: rows.into_iter().map(card).collect::<Result<_>>()?, next, counts })
    }

    /// One machine's.
    pub async fn card(&self, machine: MachineId) -> Result<Card> {
        let select = machines::Entity::find_by_id(machine.uuid()).filter(within::<machines::Entity>(&self.looks()));
        let row = card_columns(select).into_model::<Row>().one(self.store.read()).await?;
        card(row.ok_or(Error::NotFound("machine"))?)
    }

    async fn counts(&self) -> Result<Counts> {
        let rows = self
            .machines_in_service()
            .select_only()
            .columns([machines::Column::State, machines::Column::Paused])
            .column_as(machines::Column::Id.count(), "machines")
            .group_by(machines::Column::State)
            .group_by(machines::Column::Paused)
            .into_model::<Count>()
            .all(self.store.read())
            .await?;
        let mut counts = Counts::default();
        for row in rows {
            let state = if row.paused { State::Paused } else { of_word("a state", &row.state)? };
            counts.counts[state as usize] += row.machines.unsigned_abs();
        }
        Ok(counts)
    }

    fn machines_in_service(&self) -> Select<machines::Entity> {
        let within = within::<machines::Entity>(&self.looks());
        machines::Entity::find().filter(within).filter(machines::Column::Retired.is_null())
    }
}

fn card_columns(select: Select<machines::Entity>) -> Select<machines::Entity> {
    use machines::Column::*;
    select
        .select_only()
        .columns([Id, Tenant, Client, Name, Class, Rank, State, Paused, Sentence, Lights, Percent, Bar, Judged])
}

fn matching(filter: &FleetFilter) -> Condition {
    use machines::Column;
    let mut all = Condition::all();
    all = match filter.state {
        Some(State::Paused) => all.add(Column::Paused.eq(true)),
        Some(state) => all.add(Column::Paused.eq(false)).add(Column::State.eq(state.word())),
        None => all,
    };
    if let Some(client) = filter.client {
        all = all.add(Column::Client.eq(client.uuid()));
    }
    if let Some(name) = &filter.name {
        let escaped = name.to_ascii_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        let like = LikeExpr::new(format!("%{escaped}%")).escape('\\');
        all = all.add(Expr::expr(Func::lower(Expr::col(Column::Name))).like(like));
    }
    all
}

/// Machines that come after a mark. The first part lets an index find the place.
fn beyond(mark: &PageMark) -> Condition {
    use machines::Column::{Id, Name, Rank};
    let same_rank = Condition::all().add(Rank.eq(i64::from(mark.rank)));
    let after_name = same_rank.clone().add(Name.gt(mark.name.clone()));
    let after_id = same_rank.add(Name.eq(mark.name.clone())).add(Id.gt(mark.machine.uuid()));
    let after = Condition::any().add(Rank.lt(i64::from(mark.rank))).add(after_name).add(after_id);
    Condition::all().add(Rank.lte(i64::from(mark.rank))).add(after)
}

fn card(row: Row) -> Result<Card> {
    Ok(Card {
        machine: MachineId::new(row.id),
        tenant: TenantId::new(row.tenant),
        client: ClientId::new(row.client),
        name: row.name,
        class: of_word("a machine's class", &row.class)?,
        state: of_word("a state", &row.state)?,
        paused: row.paused,
        sentence: row.sentence,
        lights: read("a machine's lights", &row.lights)?,
        percent: row.percent.map(|percent| percent.clamp(0, 100) as u8),
        bar: row.bar.parse().map_err(|error: fleet::BarError| Error::stored("a bar")(error.into()))?,
        judged: moment(row.judged)?,
    })
}
