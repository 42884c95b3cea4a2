//! Freshness: facts about a machine in, five lights and its standing out. Nothing is good without recent evidence.

mod sentences;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::storage::FEW_DAYS;
use crate::{BackupLimit, Evidence, Light, LightKind, Limits, Pause, Standing, State, StorageFacts};

/// How an attempt went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Well.
    Good,
    /// Not all of it.
    Incomplete(String),
    /// Not at all; why, as a clause.
    Failed(String),
}

/// The last time that something was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Where it can be read up.
    pub evidence: Evidence,
    /// When it ended; of a copy: when the newest snapshot that it holds was taken.
    pub at: Timestamp,
    /// How it went.
    pub verdict: Verdict,
    /// What was done, for sentences: "Offsite copy", "Booted from backup".
    pub what: String,
}

/// What is known of a machine's backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFacts {
    /// The last good one.
    pub good: Option<Attempt>,
    /// The last one, good or not.
    pub last: Option<Attempt>,
    /// One that goes on now, with its per cent.
    pub running: Option<(Evidence, u8)>,
    /// Days on which the machine was in use since the last good one, or since it was enrolled.
    pub days_in_use: u32,
}

/// What is known of a machine. "Not asked for" is said by `None` of an outer option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// When something is late.
    pub limits: Limits,
    /// When its agent was heard; outer none: it has no agent (stock restic).
    pub heartbeat: Option<Option<Timestamp>>,
    /// Its whole site, or our own connection, is silent: why nothing can be said of its heartbeat, as a clause.
    pub blind: Option<String>,
    /// Its backups.
    pub backup: BackupFacts,
    /// The newest copy offsite; outer none: the policy has no destination offsite.
    pub offsite: Option<Option<Attempt>>,
    /// The last drill; outer none: the policy has none.
    pub proven: Option<Option<Attempt>>,
    /// Its storage.
    pub storage: StorageFacts,
    /// That somebody paused it.
    pub pause: Option<Pause>,
}

impl Facts {
    /// When the answers may next be others, though nothing happens: the first limit, or end of a pause, after `now`.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let Limits { heartbeat, backup, offsite, proven, storage } = self.limits;
        let backup = match backup {
            BackupLimit::Minutes(minutes) => minutes,
            // Days in use are counted when a day has passed.
            BackupLimit::DaysInUse(_) => 24 * 60,
        };
        let tried = |attempt: &Option<Option<Attempt>>| attempt.as_ref().and_then(Option::as_ref).map(|last| last.at);
        let ends = [
            (self.heartbeat.flatten(), heartbeat),
            (self.backup.good.as_ref().map(|good| good.at), backup),
            (tried(&self.offsite), offsite),
            (tried(&self.proven), proven),
            (self.storage.check.as_ref().map(|check| check.at), storage),
            (self.pause.as_ref().map(|pause| pause.until), 0),
        ];
        let end = |(at, minutes): (Option<Timestamp>, u32)| {
            // One second more: at the limit itself it is not late yet.
            at?.checked_add(jiff::SignedDuration::from_secs(i64::from(minutes) * 60 + 1)).ok()
        };
        ends.into_iter().filter_map(end).filter(|end| *end > now).min()
    }
}

/// The five answers and what follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// In the order of [`LightKind::ALL`].
    pub lights: [Light; 5],
    /// The machine's.
    pub standing: Standing,
}

impl Freshness {
    /// Judges the facts as of `now`.
    pub fn of(facts: &Facts, now: Timestamp) -> Freshness {
        let lights = [
            heartbeat(facts, now),
            backup(facts, now),
            aged(LightKind::Offsite, &facts.offsite, facts.limits.offsite, now),
            aged(LightKind::Proven, &facts.proven, facts.limits.proven, now),
            storage(&facts.storage, facts.limits.storage, now),
        ];
        // Where nothing at all is claimed, nothing is good.
        let state = lights.iter().filter_map(|light| light.state).max().unwrap_or(State::Never);
        let pause = facts.pause.clone().filter(|pause| pause.holds(now));
        Freshness { lights, standing: Standing { state, pause } }
    }

    /// The light that matters most: the worst, of several the first.
    pub fn worst(&self) -> &Light {
        let worst = self.lights.iter().rev().max_by_key(|light| light.state);
        worst.unwrap_or(&self.lights[0])
    }
}

fn heartbeat(facts: &Facts, now: Timestamp) -> Light {
    let heard = facts.heartbeat.flatten();
    let late = heard.is_some_and(|heard| older(heard, now, facts.limits.heartbeat));
    let state = match (&facts.blind, facts.heartbeat) {
        (_, None) => None,
        (Some(_), Some(_)) if late => None,
        (_, Some(None)) => Some(State::Never),
        (_, Some(Some(_))) => Some(if late { State::Late } else { State::Good }),
    };
    let sentence = sentences::heartbeat(facts, state, now);
    Light { kind: LightKind::Heartbeat, state, sentence, evidence: None, at: heard }
}

fn backup(facts: &Facts, now: Timestamp) -> Light {
    let BackupFacts { good, last, running, .. } = &facts.backup;
    let state = backup_state(facts, now);
    let shown = match state {
        State::Failed | State::Incomplete => last.as_ref(),
        _ => good.as_ref(),
    };
    let evidence = match (state, running) {
        (State::Running, Some((run, _))) => Some(*run),
        _ => shown.map(|attempt| attempt.evidence),
    };
    let sentence = sentences::backup(facts, state, now);
    Light { kind: LightKind::Backup, state: Some(state), sentence, evidence, at: shown.map(|attempt| attempt.at) }
}

/// What was tried last counts; then age; then whether it goes on now. Running hides all but failed: help is under way.
fn backup_state(facts: &Facts, now: Timestamp) -> State {
    let BackupFacts { good, last, running, days_in_use } = &facts.backup;
    let too_old = |good: &Attempt| match facts.limits.backup {
        BackupLimit::Minutes(limit) => older(good.at, now, limit),
        BackupLimit::DaysInUse(limit) => *days_in_use > limit,
    };
    match (last.as_ref().map(|last| &last.verdict), good) {
        (Some(Verdict::Failed(_)), _) => State::Failed,
        _ if running.is_some() => State::Running,
        (None, None) => State::Never,
        (_, Some(good)) if too_old(good) => State::Late,
        (Some(Verdict::Incomplete(_)), _) => State::Incomplete,
        (Some(Verdict::Good), None) => State::Never,
        (_, Some(_)) => State::Good,
    }
}

/// A light of something that is tried from time to time and must not be older than `limit` minutes.
fn aged(kind: LightKind, attempt: &Option<Option<Attempt>>, limit: u32, now: Timestamp) -> Light {
    let tried = attempt.as_ref().and_then(Option::as_ref);
    let state = attempt.as_ref().map(|attempt| attempt_state(attempt.as_ref(), limit, now));
    let sentence = sentences::aged(kind, state, tried, now);
    Light { kind, state, sentence, evidence: tried.map(|tried| tried.evidence), at: tried.map(|tried| tried.at) }
}

fn attempt_state(attempt: Option<&Attempt>, limit: u32, now: Timestamp) -> State {
    match attempt {
        None => State::Never,
        Some(Attempt { verdict: Verdict::Failed(_), .. }) => State::Failed,
        Some(attempt) if older(attempt.at, now, limit) => State::Late,
        Some(Attempt { verdict: Verdict::Incomplete(_), .. }) => State::Incomplete,
        Some(_) => State::Good,
    }
}

fn storage(facts: &StorageFacts, limit: u32, now: Timestamp) -> Light {
    let checked = attempt_state(facts.check.as_ref(), limit, now);
    let state = match facts.days_left {
        Some(0) => State::Failed,
        Some(days) if days < FEW_DAYS => checked.max(State::Incomplete),
        _ => checked,
    };
    let check = facts.check.as_ref();
    let sentence = sentences::storage(facts, checked, now);
    let (evidence, at) = (check.map(|check| check.evidence), check.map(|check| check.at));
    Light { kind: LightKind::Storage, state: Some(state), sentence, evidence, at }
}

/// Whether a moment lies more than `limit` minutes back. What claims to lie ahead by more than an hour is no evidence.
fn older(at: Timestamp, now: Timestamp, limit: u32) -> bool {
    let seconds = now.as_second() - at.as_second();
    seconds > i64::from(limit) * 60 || seconds < -3_600
}

#[cfg(test)]
mod tests;
