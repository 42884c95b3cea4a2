//! Forget by the times of the gateway, then prune with a delay of two days.
//!
//! A snapshot that the rules do not keep *leaves*: it stays for two days as it was, listed and restorable, and is removed
//! by a run after that, unless the rules want it again meanwhile. Its packs are then marked, and swept two days later.
//!
//! # What never leaves
//! - a snapshot whose receipt the gateway does not know;
//! - of every group (host and paths) the newest complete snapshot, and the newest that a drill proved: one that a machine
//!   forged yesterday does not drive out the last one that is known to be good;
//! - more than half of a repository's snapshots at once, or ten, if that is more. A policy that was changed by mistake, or a
//!   flood of forged snapshots, then takes days, is told as *incomplete* each day, and every one of these days somebody can
//!   stop it. A machine with hourly backups and daily rules, which loses most of a day's snapshots every day, stays below.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use fleet::{Keep, Missed, Outcome};
use jiff::{SignedDuration, Timestamp};
use repo::forget::{ForgetOptions, ForgetPlan};
use repo::prune::{PruneOptions, PruneWhen, execute, plan_prune};
use repo::retention::{GroupBy, Policy, Quota, Span, Stored, Times, group_snapshots};
use repo::{Id, Repository};

use super::drill::PROVEN;
use super::{Done, RECEIVED, Site, count_of, noted_time, time_of};
use crate::Result;
use crate::memory::Changes;
use crate::reporter::Reporter;
use crate::storage::Believes;

/// How long a snapshot that leaves stays, and how long packs that nothing uses do.
pub const LEAVES_AFTER: SignedDuration = SignedDuration::from_hours(48);

/// So many snapshots may leave at once, whatever share they are.
const ALWAYS: usize = 10;

/// Since when snapshots leave, by machine and snapshot.
const LEAVING: &str = "leaving";

pub(super) fn prune(
    site: &Site,
    keep: &Keep,
    received: &BTreeMap<String, Timestamp>,
    reporter: &Reporter,
) -> Result<Done> {
    let (repo, _lock) = site.open_locked(Believes::Cache)?;
    let untrue = site.audit(&repo, reporter)?;
    if let Some(first) = untrue.first() {
        return Ok(Done::failed(format!(
            "{first}; nothing was removed, because the machine's index is not to be trusted"
        )));
    }
    let received: HashMap<Id, Timestamp> =
        received.iter().filter_map(|(id, time)| Some((id.parse().ok()?, *time))).collect();
    note_received(site, &received)?;
    let snapshots = repo.snapshots()?;
    if let Some((id, error)) = snapshots.damaged.first() {
        return Ok(Done::failed(format!("snapshot {} cannot be read, so nothing was removed: {error}", id.short())));
    }
    let leavers = Leavers::choose(site, keep, received, snapshots.all)?;
    leavers.carry_out(site, &repo)?;
    repo.cancel().check()?;
    sweep(&repo, reporter)?;
    Ok(Done { outcome: leavers.outcome(), found: None })
}

fn note_received(site: &Site, received: &HashMap<Id, Timestamp>) -> Result<()> {
    let put = received.iter().map(|(id, time)| (RECEIVED, site.noted(id), noted_time(*time))).collect();
    let old = site.all_noted(RECEIVED)?.into_iter().filter(|(id, _)| !received.contains_key(id));
    let remove = old.map(|(id, _)| (RECEIVED, site.noted(&id))).collect();
    site.shop.memory.apply(Changes { put, remove, event: None }).map(drop)
}

fn sweep(repo: &Arc<Repository>, reporter: &Reporter) -> Result<()> {
    let delay = Duration::from_secs(LEAVES_AFTER.as_secs().unsigned_abs());
    let options = PruneOptions { when: PruneWhen::Delayed(delay), ..PruneOptions::default() };
    let plan = plan_prune(repo, &options, reporter)?;
    execute(repo, plan, reporter)?;
    Ok(())
}

/// When snapshots of a machine that leave will be gone at the earliest.
pub fn leaving(site: &Site) -> Result<HashMap<Id, Timestamp>> {
    let noted = site.all_noted(LEAVING)?;
    let until = |value: &[u8]| time_of(value)?.checked_add(LEAVES_AFTER).ok();
    Ok(noted.into_iter().filter_map(|(id, value)| Some((id, until(&value)?))).collect())
}

/// What the rules do not keep.
#[derive(Debug, Default, PartialEq, Eq)]
struct Leavers {
    /// They leave since then.
    leave: Vec<(Id, Timestamp)>,
    /// They have left long enough.
    due: Vec<Id>,
    /// They left, and are wanted again or gone.
    stay: Vec<Id>,
    /// They would leave as well, but not so many at once.
    held: usize,
}

impl Leavers {
    fn choose(site: &Site, keep: &Keep, received: HashMap<Id, Timestamp>, all: Vec<Stored>) -> Result<Leavers> {
        let now = site.clock().now();
        let since: HashMap<Id, Timestamp> =
            site.all_noted(LEAVING)?.into_iter().filter_map(|(id, value)| Some((id, time_of(&value)?))).collect();
        let count = all.len();
        let proven: HashSet<Id> = site.all_noted(PROVEN)?.into_iter().map(|(id, _)| id).collect();
        let safe = never_leave(&all, &received, &proven);
        let unwanted = unwanted(keep, &received, all, now)?.into_iter().filter(|id| !safe.contains(id)).collect();
        Ok(Leavers::of(unwanted, &since, count, now))
    }

    /// `unwanted` is ordered by the time of receipt, the oldest first.
    fn of(unwanted: Vec<Id>, since: &HashMap<Id, Timestamp>, count: usize, now: Timestamp) -> Leavers {
        let most = (count / 2).max(ALWAYS);
        let wanted = unwanted.iter().collect::<HashSet<_>>();
        let stay = since.keys().filter(|id| !wanted.contains(id)).copied().collect();
        let mut leavers = Leavers { stay, ..Leavers::default() };
        // Who leaves already does not give way to others.
        let (already, new): (Vec<Id>, Vec<Id>) = unwanted.into_iter().partition(|id| since.contains_key(id));
        for id in already.into_iter().chain(new) {
            let begun = since.get(&id).copied();
            // A clock that was set back starts the time anew.
            let begun = begun.filter(|begun| *begun <= now).unwrap_or(now);
            if leavers.leave.len() + leavers.due.len() >= most {
                leavers.held += 1;
            } else if now.duration_since(begun) >= LEAVES_AFTER {
                leavers.due.push(id);
            } else {
                leavers.leave.push((id, begun));
            }
        }
        leavers
    }

    /// Removes what is due and notes the others.
    fn carry_out(&self, site: &Site, repo: &Repository) -> Result<()> {
        let put = self.leave.iter().map(|(id, begun)| (LEAVING, site.noted(id), noted_time(*begun))).collect();
        let remove = self.stay.iter().map(|id| (LEAVING, site.noted(id))).collect();
        site.shop.memory.apply(Changes { put, remove, event: None })?;
        let named = self.due.iter().map(|id| Ok((*id, repo.read_snapshot(id)?))).collect::<Result<Vec<_>>>()?;
        ForgetPlan::of(named).execute(repo, &|_| ())?;
        let remove = self.due.iter().map(|id| (LEAVING, site.noted(id))).collect();
        site.shop.memory.apply(Changes { remove, ..Changes::default() }).map(drop)
    }

    fn outcome(&self) -> Outcome {
        if self.held == 0 {
            return Outcome::Good;
        }
        let held = count_of(self.held as u64, "snapshot");
        let why = "the rules would remove more than half of all snapshots at once; look whether they are what you want: \
                   each run goes on with a part";
        Outcome::missing(vec![Missed { what: held, why: why.into() }], self.held as u64)
    }
}

/// What the rules do not keep, the oldest first.
fn unwanted(keep: &Keep, received: &HashMap<Id, Timestamp>, all: Vec<Stored>, now: Timestamp) -> Result<Vec<Id>> {
    if keep.is_everything() {
        return Ok(Vec::new());
    }
    let times = Times::Received(received.clone());
    let options = ForgetOptions { policy: policy(keep), times, ..ForgetOptions::default() };
    let mut ids: Vec<Id> = ForgetPlan::by_policy(all, &options, now)?.removed().collect();
    ids.sort_by_key(|id| (received.get(id).copied(), *id));
    Ok(ids)
}

/// Of every group the newest complete snapshot, and the newest that was proven.
fn never_leave(all: &[Stored], received: &HashMap<Id, Timestamp>, proven: &HashSet<Id>) -> HashSet<Id> {
    let mut safe = HashSet::new();
    for group in group_snapshots(all.to_vec(), GroupBy::default()).into_values() {
        let complete = group.iter().filter(|(_, snapshot)| !snapshot.is_partial()).map(|(id, _)| *id);
        let mut dated: Vec<(Timestamp, Id)> =
            complete.filter_map(|id| received.get(&id).map(|time| (*time, id))).collect();
        dated.sort_unstable();
        safe.extend(dated.last().map(|(_, id)| *id));
        safe.extend(dated.iter().rev().find(|(_, id)| proven.contains(id)).map(|(_, id)| *id));
    }
    safe
}

fn policy(keep: &Keep) -> Policy {
    let quota = |count: u32| if count == 0 { Quota::None } else { Quota::Count(count) };
    let within = &keep.within;
    Policy {
        last: quota(keep.last),
        hourly: quota(keep.hourly),
        daily: quota(keep.daily),
        weekly: quota(keep.weekly),
        monthly: quota(keep.monthly),
        yearly: quota(keep.yearly),
        within: Span { years: within.years, months: within.months, days: within.days, hours: within.hours },
        tags: keep.tags.iter().map(|tag| vec![tag.clone()]).collect(),
        ..Policy::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> Id {
        Id::from_bytes([number; 32])
    }

    fn hours(number: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(number)
    }

    #[test]
    fn who_leaves_stays_two_days_and_who_is_wanted_again_stays_for_good() {
        let since = HashMap::from([(id(1), hours(0)), (id(2), hours(10)), (id(3), hours(0))]);
        let leavers = Leavers::of(vec![id(1), id(2), id(4)], &since, 10, hours(50));
        assert_eq!(leavers.due, [id(1)]);
        assert_eq!(leavers.leave, [(id(2), hours(10)), (id(4), hours(50))]);
        assert_eq!(leavers.stay, [id(3)]);
    }

    #[test]
    fn never_more_than_half_leave_at_once() {
        let unwanted: Vec<Id> = (0..90).map(id).collect();
        let leavers = Leavers::of(unwanted, &HashMap::new(), 100, hours(0));
        assert_eq!((leavers.leave.len(), leavers.held), (50, 40));
        assert!(matches!(leavers.outcome(), Outcome::Incomplete { count: 40, .. }));
        let few = Leavers::of((0..9).map(id).collect(), &HashMap::new(), 10, hours(0));
        assert_eq!((few.leave.len(), few.held), (9, 0), "of few snapshots ten may always go");
    }

    #[test]
    fn a_clock_that_was_set_back_removes_nothing_early() {
        let since = HashMap::from([(id(1), hours(1_000))]);
        let leavers = Leavers::of(vec![id(1)], &since, 10, hours(0));
        assert_eq!(leavers.leave, [(id(1), hours(0))]);
    }
}
