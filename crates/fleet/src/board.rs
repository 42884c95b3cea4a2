//! Board: alerts that are not over, or of whose end people were not told. Observations go in, messages come out.
//!
//! What is told follows what is so now, not what happened meanwhile: after a silence the state of each alert is told
//! once, and one that came and went unheard is never told, only counted.

mod observation;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::alert::Heard;
use crate::{Alert, AlertId, AlertKey, Escalation, Recipient, Silence};

pub use observation::{Finding, Observation, SelfDoubt};

/// What is said of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// It is there, and this step has come.
    There,
    /// It is still there after a silence.
    StillThere,
    /// It is over.
    Over,
}

/// A message about an alert. Alert, kind and step together are said once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Which alert.
    pub alert: AlertId,
    /// What is said.
    pub kind: NoticeKind,
    /// How many steps of the escalation have come.
    pub step: u32,
    /// What is wrong, or was.
    pub sentence: String,
    /// Whom to tell.
    pub to: Vec<Recipient>,
}

/// The alerts of one tenant that are not done with.
#[derive(Clone, Debug, Default)]
pub struct Board {
    alerts: Vec<Alert>,
    open: BTreeMap<AlertKey, usize>,
}

impl Board {
    /// A board of alerts; of several that are not closed and have the same key, the first counts and the others are
    /// closed as of when they were opened.
    pub fn new(alerts: Vec<Alert>) -> Board {
        let mut board = Board::default();
        for mut alert in alerts {
            if board.open.contains_key(&alert.key) {
                alert.close(alert.opened);
            }
            board.put(alert);
        }
        board
    }

    /// All alerts on it.
    pub fn alerts(&self) -> &[Alert] {
        &self.alerts
    }

    /// The alert with this key that is not closed.
    pub fn open(&self, key: &AlertKey) -> Option<&Alert> {
        self.open.get(key).map(|place| &self.alerts[*place])
    }

    /// Opens and closes alerts as observed. What is unknown changes nothing. `new_id` gives identities to new ones.
    pub fn observe(&mut self, seen: Vec<Observation>, now: Timestamp, mut new_id: impl FnMut() -> AlertId) {
        for Observation { key, finding } in seen {
            match (finding, self.open.get(&key).copied()) {
                (Finding::Unknown, _) | (Finding::Fine, None) => {}
                (Finding::Fine, Some(place)) => {
                    self.alerts[place].close(now);
                    self.open.remove(&key);
                }
                (Finding::Wrong(sentence), Some(place)) => self.alerts[place].sentence = sentence,
                (Finding::Wrong(sentence), None) => self.put(Alert::open(new_id(), key, sentence, now)),
            }
        }
    }

    /// What is to be said now. Steps that come in a silence are counted by it and not said later one by one.
    pub fn notices(&mut self, escalation: &Escalation, silences: &mut [Silence], now: Timestamp) -> Vec<Notice> {
        let mut notices = Vec::new();
        for alert in &mut self.alerts {
            match silences.iter_mut().find(|silence| silence.holds(&alert.key, now)) {
                Some(silence) => silence.suppressed += hush(alert, escalation, now),
                None if quiet(alert, escalation, now) => {}
                None => notices.extend(say(alert, escalation, now)),
            }
        }
        notices
    }

    fn put(&mut self, alert: Alert) {
        if !alert.is_closed() {
            self.open.insert(alert.key, self.alerts.len());
        }
        self.alerts.push(alert);
    }
}

fn quiet(alert: &Alert, escalation: &Escalation, now: Timestamp) -> bool {
    escalation.quiet.as_ref().is_some_and(|quiet| quiet.hold(alert.key.condition, now))
}

/// How many steps have come; what somebody has, or is over, goes no further.
fn steps_come(alert: &Alert, escalation: &Escalation, now: Timestamp) -> u32 {
    match alert.state {
        crate::AlertState::Open => escalation.come(alert.opened, now).max(alert.steps),
        _ => alert.steps,
    }
}

/// How many messages were held back just now.
fn hush(alert: &mut Alert, escalation: &Escalation, now: Timestamp) -> u64 {
    let come = steps_come(alert, escalation, now);
    let held = come - alert.steps;
    alert.steps = come;
    alert.hushed |= held > 0;
    held.into()
}

fn say(alert: &mut Alert, escalation: &Escalation, now: Timestamp) -> Option<Notice> {
    let (told, come) = (alert.steps, steps_come(alert, escalation, now));
    let hushed = std::mem::take(&mut alert.hushed);
    let (kind, from) = match alert.is_closed() {
        true if alert.heard == Heard::There => (NoticeKind::Over, 0),
        true => return None,
        false if hushed => (NoticeKind::StillThere, 0),
        false if come > told => (NoticeKind::There, told),
        false => return None,
    };
    alert.steps = come;
    alert.heard = if kind == NoticeKind::Over { Heard::Over } else { Heard::There };
    let to = escalation.recipients(from, come);
    Some(Notice { alert: alert.id, kind, step: come, sentence: alert.sentence.clone(), to })
}

#[cfg(test)]
mod tests;
