//! Which snapshots a policy keeps, and why: restic's rules, word for word.
//!
//! Pure: snapshots, a policy and the time go in, a decision with reasons comes out. The calendar is that of each
//! snapshot's own zone offset. Checkpoints of unfinished backups (`stead:partial`) are never counted: they are removed
//! once a newer complete snapshot of their group exists, and kept until then.

mod group;
mod span;

use std::collections::HashMap;

use jiff::{Timestamp, Zoned};

use crate::snapshot::{PARTIAL_TAG, Snapshot};
use crate::{Error, Id, Result};

pub use group::{GroupBy, GroupKey, group_snapshots};
pub use span::Span;

/// A snapshot and its name.
pub type Stored = (Id, Snapshot);

/// How many snapshots of a calendar rule to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quota {
    /// The rule is not used.
    #[default]
    None,
    /// This many.
    Count(u32),
    /// All of them.
    Unlimited,
}

impl std::str::FromStr for Quota {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Quota, String> {
        match text {
            "unlimited" => Ok(Quota::Unlimited),
            "0" => Ok(Quota::None),
            _ if text.starts_with('-') => Err("negative values not allowed, use 'unlimited' instead".into()),
            _ => text.parse().map(Quota::Count).map_err(|_| format!("{text:?} is not a number or 'unlimited'")),
        }
    }
}

impl Quota {
    fn is_open(self) -> bool {
        !matches!(self, Quota::None | Quota::Count(0))
    }

    fn use_one(&mut self) {
        if let Quota::Count(left) = self {
            *left -= 1;
        }
    }
}

/// A step of the calendar: of the snapshots in one step, the newest is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Period {
    Each,
    Hour,
    Day,
    Week,
    Month,
    QuarterYear,
    HalfYear,
    Year,
}

impl Period {
    fn name(self) -> &'static str {
        match self {
            Period::Each => "last",
            Period::Hour => "hourly",
            Period::Day => "daily",
            Period::Week => "weekly",
            Period::Month => "monthly",
            Period::QuarterYear => "quarter-yearly",
            Period::HalfYear => "half-yearly",
            Period::Year => "yearly",
        }
    }

    /// A number that is the same for all moments in one step.
    fn step(self, time: &Zoned, position: usize) -> i64 {
        let (year, month) = (i64::from(time.year()), i64::from(time.month()));
        match self {
            Period::Each => position as i64,
            Period::Hour => Period::Day.step(time, position) * 100 + i64::from(time.hour()),
            Period::Day => year * 10_000 + month * 100 + i64::from(time.day()),
            Period::Week => {
                let week = time.date().iso_week_date();
                i64::from(week.year()) * 100 + i64::from(week.week())
            }
            Period::Month => year * 100 + month,
            Period::QuarterYear => year * 10 + (month - 1) / 3,
            Period::HalfYear => year * 10 + (month - 1) / 6,
            Period::Year => year,
        }
    }
}

/// What to keep. A snapshot is kept if any rule wants it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest ones.
    pub last: Quota,
    /// The newest of each of the last hours that have one.
    pub hourly: Quota,
    /// The newest of each of the last days that have one.
    pub daily: Quota,
    /// The newest of each of the last ISO weeks that have one.
    pub weekly: Quota,
    /// The newest of each of the last months that have one.
    pub monthly: Quota,
    /// The newest of each of the last quarters that have one (rustic's rule, not restic's).
    pub quarter_yearly: Quota,
    /// The newest of each of the last half-years that have one (rustic's rule, not restic's).
    pub half_yearly: Quota,
    /// The newest of each of the last years that have one.
    pub yearly: Quota,
    /// Everything this much older than the newest, or less.
    pub within: Span,
    /// Hourly ones that near to the newest.
    pub within_hourly: Span,
    /// Daily ones that near to the newest.
    pub within_daily: Span,
    /// Weekly ones that near to the newest.
    pub within_weekly: Span,
    /// Monthly ones that near to the newest.
    pub within_monthly: Span,
    /// Yearly ones that near to the newest.
    pub within_yearly: Span,
    /// Those that have all tags of any of these lists; an empty tag means "has no tags".
    pub tags: Vec<Vec<String>>,
}

impl Policy {
    /// True if no rule is set.
    pub fn is_empty(&self) -> bool {
        *self == Policy::default()
    }

    fn quotas(&self) -> [(Period, Quota); 8] {
        [
            (Period::Each, self.last),
            (Period::Hour, self.hourly),
            (Period::Day, self.daily),
            (Period::Week, self.weekly),
            (Period::Month, self.monthly),
            (Period::QuarterYear, self.quarter_yearly),
            (Period::HalfYear, self.half_yearly),
            (Period::Year, self.yearly),
        ]
    }

    fn spans(&self) -> [(Period, Span); 5] {
        [
            (Period::Hour, self.within_hourly),
            (Period::Day, self.within_daily),
            (Period::Week, self.within_weekly),
            (Period::Month, self.within_monthly),
            (Period::Year, self.within_yearly),
        ]
    }
}

/// In restic's words: "keep 3 daily snapshots and all snapshots within 2d of the newest".
impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut counted = Vec::new();
        for (period, quota) in self.quotas() {
            let name = if period == Period::Each { "latest" } else { period.name() };
            match quota {
                Quota::Count(count) if count > 0 => counted.push(format!("{count} {name}")),
                Quota::Unlimited => counted.push(format!("all {name}")),
                _ => {}
            }
        }
        let near = self.spans().into_iter().filter(|(_, span)| !span.is_zero());
        let near = near.map(|(period, span)| format!("{} snapshots within {span}", period.name()));
        let mut rules: Vec<String> = near.collect();
        if !counted.is_empty() {
            rules.insert(0, format!("{} snapshots", counted.join(", ")));
        }
        let mut parts = vec![rules.join(", ")];
        parts.retain(|part| !part.is_empty());
        if !self.tags.is_empty() {
            let lists: Vec<String> = self.tags.iter().map(|list| tag_list(list)).collect();
            parts.push(format!("all snapshots with tags [{}]", lists.join(" ")));
        }
        if !self.within.is_zero() {
            parts.push(format!("all snapshots within {} of the newest", self.within));
        }
        match parts.is_empty() {
            true => f.write_str("remove"),
            false => write!(f, "keep {}", parts.join(" and ")),
        }
    }
}

/// A snapshot that stays.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its name.
    pub id: Id,
    /// What it says.
    pub snapshot: Snapshot,
    /// Which rules wanted it, in restic's words: "daily snapshot", "within 2d".
    pub reasons: Vec<String>,
}

/// What a policy does to one group. Both lists are newest first.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// Those that stay.
    pub keep: Vec<Kept>,
    /// Those that go.
    pub remove: Vec<Stored>,
    /// How many of the group lie in the future: a clock was wrong, or somebody wants old snapshots counted out.
    pub in_future: usize,
}

/// By which time snapshots are counted.
#[derive(Clone, Debug, Default)]
pub enum Times {
    /// By what they say of themselves, in the calendar of the zone offset that they name, as restic does.
    #[default]
    Own,
    /// By the time (UTC) at which somebody whom the machines cannot deceive received them. Those that are not listed are
    /// kept, and count for nothing.
    Received(HashMap<Id, Timestamp>),
}

/// Applies a policy to the snapshots of one group, by their own times. See [`apply_by`].
pub fn apply(policy: &Policy, key: &GroupKey, group: Vec<Stored>, now: Timestamp) -> Result<Decision> {
    apply_by(policy, key, group, &Times::Own, now)
}

/// Applies a policy to the snapshots of one group.
///
/// As in restic, "within" counts from the newest snapshot that does not lie in the future. A policy that would keep no
/// complete snapshot of a group that has some is an error. A snapshot whose time cannot be read is an error.
pub fn apply_by(
    policy: &Policy,
    key: &GroupKey,
    group: Vec<Stored>,
    times: &Times,
    now: Timestamp,
) -> Result<Decision> {
    let (group, unlisted) = times.split(group);
    let (partial, complete): (Vec<_>, Vec<_>) = group.into_iter().partition(|(_, snapshot)| snapshot.is_partial());
    let complete = times.newest_first(complete)?;
    let newest_complete = complete.first().map(|dated| dated.time.timestamp());
    let mut decision = decide(policy, complete, now);
    if newest_complete.is_some() && decision.keep.is_empty() && !policy.is_empty() {
        let refusal = format!("refusing to delete last snapshot of snapshot group \"{key}\"");
        return Err(Error::Invalid(format!("{refusal}: the policy keeps none of its {}", decision.remove.len())));
    }
    decide_partial(times.newest_first(partial)?, newest_complete, &mut decision);
    decision.keep.extend(unlisted.into_iter().map(|(id, snapshot)| Kept {
        id,
        snapshot,
        reasons: vec!["when it was received is not known".to_owned()],
    }));
    Ok(decision)
}

/// A snapshot with its time understood.
struct Dated {
    stored: Stored,
    time: Zoned,
}

impl Times {
    /// Those whose time is known, and the others.
    fn split(&self, snapshots: Vec<Stored>) -> (Vec<Stored>, Vec<Stored>) {
        match self {
            Times::Own => (snapshots, Vec::new()),
            Times::Received(times) => snapshots.into_iter().partition(|(id, _)| times.contains_key(id)),
        }
    }

    fn of(&self, (id, snapshot): &Stored) -> std::result::Result<Zoned, String> {
        match self {
            Times::Own => snapshot.zoned(),
            Times::Received(times) => {
                let time = times.get(id).ok_or("when it was received is not known")?;
                Ok(time.to_zoned(jiff::tz::TimeZone::UTC))
            }
        }
    }

    fn newest_first(&self, snapshots: Vec<Stored>) -> Result<Vec<Dated>> {
        let dated = |stored: Stored| match self.of(&stored) {
            Ok(time) => Ok(Dated { stored, time }),
            Err(reason) => Err(Error::damaged(backend::FileName::new(backend::FileKind::Snapshot, stored.0), reason)),
        };
        let mut dated = snapshots.into_iter().map(dated).collect::<Result<Vec<_>>>()?;
        dated.sort_by(|a, b| b.time.timestamp().cmp(&a.time.timestamp()).then(b.stored.0.cmp(&a.stored.0)));
        Ok(dated)
    }
}

/// One rule while the snapshots pass by, newest first.
struct Rule<L> {
    period: Period,
    limit: L,
    last_step: Option<i64>,
}

impl<L> Rule<L> {
    fn new((period, limit): (Period, L)) -> Rule<L> {
        Rule { period, limit, last_step: None }
    }

    /// "" or "oldest " if the rule wants this snapshot. The oldest is kept while there is room, which makes the history
    /// as long as it can be.
    fn wants(&mut self, time: &Zoned, position: usize, is_oldest: bool) -> Option<&'static str> {
        let step = Some(self.period.step(time, position));
        if self.last_step != step {
            self.last_step = step;
            return Some("");
        }
        is_oldest.then_some("oldest ")
    }
}

fn decide(policy: &Policy, snapshots: Vec<Dated>, now: Timestamp) -> Decision {
    let newest = snapshots.iter().find(|dated| dated.time.timestamp() < now).map(|dated| dated.time.clone());
    let mut judge = Judge {
        policy,
        newest,
        quotas: policy.quotas().map(Rule::new),
        spans: policy.spans().map(Rule::new),
        last: snapshots.len().saturating_sub(1),
    };
    let mut decision = Decision::default();
    for (position, Dated { stored, time }) in snapshots.into_iter().enumerate() {
        decision.in_future += usize::from(time.timestamp() > now);
        let reasons = judge.reasons(&stored.1, &time, position);
        match reasons.is_empty() {
            true => decision.remove.push(stored),
            false => decision.keep.push(Kept { id: stored.0, snapshot: stored.1, reasons }),
        }
    }
    decision
}

struct Judge<'p> {
    policy: &'p Policy,
    newest: Option<Zoned>,
    quotas: [Rule<Quota>; 8],
    spans: [Rule<Span>; 5],
    last: usize,
}

impl Judge<'_> {
    fn reasons(&mut self, snapshot: &Snapshot, time: &Zoned, position: usize) -> Vec<String> {
        let mut reasons = Vec::new();
        let tags = self.policy.tags.iter().filter(|list| has_tags(snapshot, list));
        reasons.extend(tags.map(|list| format!("has tags {}", tag_list(list))));
        if self.is_within(self.policy.within, time) {
            reasons.push(format!("within {}", self.policy.within));
        }
        self.count(time, position, &mut reasons);
        self.near(time, position, &mut reasons);
        reasons
    }

    fn count(&mut self, time: &Zoned, position: usize, reasons: &mut Vec<String>) {
        let is_oldest = position == self.last;
        for rule in self.quotas.iter_mut().filter(|rule| rule.limit.is_open()) {
            if let Some(prefix) = rule.wants(time, position, is_oldest) {
                rule.limit.use_one();
                reasons.push(format!("{prefix}{} snapshot", rule.period.name()));
            }
        }
    }

    fn near(&mut self, time: &Zoned, position: usize, reasons: &mut Vec<String>) {
        let is_oldest = position == self.last;
        for at in 0..self.spans.len() {
            let span = self.spans[at].limit;
            if !self.is_within(span, time) {
                continue;
            }
            let rule = &mut self.spans[at];
            if let Some(prefix) = rule.wants(time, position, is_oldest) {
                reasons.push(format!("{prefix}{} within {span}", rule.period.name()));
            }
        }
    }

    /// Where every snapshot lies in the future, all are "within", as in restic.
    fn is_within(&self, span: Span, time: &Zoned) -> bool {
        let since = || self.newest.as_ref().and_then(|newest| span.before(newest));
        !span.is_zero() && since().is_none_or(|since| time.timestamp() > since)
    }
}

fn decide_partial(partial: Vec<Dated>, newest_complete: Option<Timestamp>, decision: &mut Decision) {
    for Dated { stored, time } in partial {
        if newest_complete.is_some_and(|newest| newest > time.timestamp()) {
            decision.remove.push(stored);
        } else {
            let reasons = vec!["checkpoint of an unfinished backup".to_owned()];
            decision.keep.push(Kept { id: stored.0, snapshot: stored.1, reasons });
        }
    }
}

/// restic's `HasTags`: all of the list; an empty tag stands for "no tags at all".
fn has_tags(snapshot: &Snapshot, list: &[String]) -> bool {
    for tag in list {
        if tag.is_empty() && snapshot.tags.is_empty() {
            return true;
        }
        if !snapshot.tags.contains(tag) {
            return false;
        }
    }
    true
}

fn tag_list(tags: &[String]) -> String {
    format!("[{}]", tags.join(", "))
}

/// A snapshot's tags without the one that marks checkpoints.
fn own_tags(snapshot: &Snapshot) -> Vec<String> {
    snapshot.tags.iter().filter(|tag| *tag != PARTIAL_TAG).cloned().collect()
}

#[cfg(test)]
mod tests;
