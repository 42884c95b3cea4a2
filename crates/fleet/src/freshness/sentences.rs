//! What the lights say: one sentence each, with the age in words and, where it is not good, the reason.

use jiff::Timestamp;

use super::{Attempt, Facts, Verdict};
use crate::age::{age_in_words, count_of, size_in_words};
use crate::storage::FEW_DAYS;
use crate::{BackupLimit, LightKind, State, StorageFacts};

pub(super) fn heartbeat(facts: &Facts, state: Option<State>, now: Timestamp) -> String {
    let Some(heard) = facts.heartbeat else { return "No agent: it is backed up by restic.".into() };
    match (heard, state, &facts.blind) {
        (Some(heard), None, Some(why)) => format!("Seen {}; unknown since, because {why}.", age_in_words(heard, now)),
        (None, _, _) => "Never seen.".into(),
        (Some(heard), Some(State::Late), _) => format!("Not seen: last {}.", age_in_words(heard, now)),
        (Some(heard), _, _) => format!("Seen {}.", age_in_words(heard, now)),
    }
}

pub(super) fn backup(facts: &Facts, state: State, now: Timestamp) -> String {
    let backup = &facts.backup;
    let good = match &backup.good {
        Some(good) => format!("last good backup {}", age_in_words(good.at, now)),
        None => "no good backup yet".into(),
    };
    let last = backup.last.as_ref().map(|last| (age_in_words(last.at, now), why(&last.verdict)));
    match (state, last) {
        (State::Failed, Some((when, why))) => format!("Failed {when}: {why}; {good}."),
        (State::Incomplete, Some((when, why))) => format!("Incomplete {when}: {why}; {good}."),
        (State::Running, _) => {
            let percent = backup.running.map_or(0, |(_, percent)| percent);
            format!("Running: {percent} %; {good}.")
        }
        (State::Late, _) => format!("Late: {good}, the limit is {}.", limit(facts.limits.backup)),
        (State::Good, _) => {
            format!("Good {}.", backup.good.as_ref().map_or("now".into(), |good| age_in_words(good.at, now)))
        }
        _ => "Never backed up.".into(),
    }
}

fn limit(limit: BackupLimit) -> String {
    match limit {
        BackupLimit::Minutes(minutes) => crate::age::span_in_words(i64::from(minutes) * 60),
        BackupLimit::DaysInUse(days) => format!("{} of use", count_of(days.into(), "day")),
    }
}

pub(super) fn aged(kind: LightKind, state: Option<State>, tried: Option<&Attempt>, now: Timestamp) -> String {
    match (state, tried) {
        (None, _) if kind == LightKind::Offsite => "Not asked for: the policy has no destination offsite.".into(),
        (None, _) => "Not asked for: the policy has no drills.".into(),
        (_, None) if kind == LightKind::Offsite => "Never copied offsite.".into(),
        (_, None) => "No restore proven yet.".into(),
        (Some(state), Some(tried)) => attempt(state, tried, now),
    }
}

fn attempt(state: State, tried: &Attempt, now: Timestamp) -> String {
    let (what, when) = (&tried.what, age_in_words(tried.at, now));
    match state {
        State::Failed => format!("{what}: failed {when}, {}.", why(&tried.verdict)),
        State::Incomplete => format!("{what}: incomplete {when}, {}.", why(&tried.verdict)),
        State::Late => format!("{what} {when}: that is too long."),
        _ => format!("{what} {when}."),
    }
}

pub(super) fn storage(facts: &StorageFacts, checked: State, now: Timestamp) -> String {
    let check = match &facts.check {
        Some(check) => attempt(checked, check, now),
        None => "Never checked.".into(),
    };
    let room = match facts.days_left {
        Some(0) => " No room left.".into(),
        Some(days) if days < FEW_DAYS => format!(" Room for {} only.", count_of(days.into(), "day")),
        Some(days) => format!(" Room for {}.", count_of(days.into(), "day")),
        None => String::new(),
    };
    format!("{} stored. {check}{room}", size_in_words(facts.stored))
}

fn why(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Good => "good",
        Verdict::Incomplete(why) | Verdict::Failed(why) => why,
    }
}
