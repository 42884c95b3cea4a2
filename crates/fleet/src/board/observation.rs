//! Observation: what is found of one key: fine, wrong, or unknown, which opens nothing and closes nothing.

use jiff::Timestamp;

use crate::{
    AlertKey, BackupLimit, Client, Condition, Freshness, Light, LightKind, Machine, MachineClass, Site, State, Subject,
};

/// What is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// All is well.
    Fine,
    /// Something needs a person; what, in a sentence.
    Wrong(String),
    /// It cannot be said.
    Unknown,
}

/// What is found of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Of what.
    pub key: AlertKey,
    /// What.
    pub finding: Finding,
}

impl Observation {
    /// What a machine's lights mean. A retired machine raises nothing, a paused one nothing new; a laptop that is
    /// switched off is no alert, what it has not backed up is.
    pub fn of_machine(machine: &Machine, freshness: &Freshness, now: Timestamp) -> Vec<Observation> {
        let subject = Subject::Machine(machine.client, machine.id);
        let observe = |light: &Light| {
            let key = AlertKey { subject, condition: condition(light.kind) };
            let finding = match (machine.retired, &freshness.standing.pause, judge(light, machine, now)) {
                (Some(_), _, _) => Finding::Fine,
                (None, Some(_), Finding::Wrong(_)) => Finding::Unknown,
                (None, _, finding) => finding,
            };
            Observation { key, finding }
        };
        freshness.lights.iter().map(observe).collect()
    }

    /// What the heartbeats of a site's servers mean, `true` for each that is silent. One server may fail by itself;
    /// when there are several and all are silent, the site is, and its machines are unknown.
    pub fn of_site(client: &Client, site: &Site, servers_silent: &[bool]) -> Observation {
        let silent = servers_silent.len() > 1 && servers_silent.iter().all(|silent| *silent);
        let sentence = || format!("All of {}, {} is silent: {} servers.", client.name, site.name, servers_silent.len());
        Observation {
            key: AlertKey { subject: Subject::Site(client.id, site.id), condition: Condition::Silent },
            finding: if silent { Finding::Wrong(sentence()) } else { Finding::Fine },
        }
    }

    /// Two machines use one identity, or not any more.
    pub fn of_identity(machine: &Machine, twice: Option<String>) -> Observation {
        let subject = Subject::Machine(machine.client, machine.id);
        let key = AlertKey { subject, condition: Condition::Quarantined };
        Observation { key, finding: twice.map_or(Finding::Fine, Finding::Wrong) }
    }
}

fn condition(kind: LightKind) -> Condition {
    match kind {
        LightKind::Heartbeat => Condition::Silent,
        LightKind::Backup => Condition::Backup,
        LightKind::Offsite => Condition::Offsite,
        LightKind::Proven => Condition::Proven,
        LightKind::Storage => Condition::Storage,
    }
}

fn judge(light: &Light, machine: &Machine, now: Timestamp) -> Finding {
    let wrong = || Finding::Wrong(format!("{}: {}", machine.name, light.sentence));
    match (light.state, light.kind) {
        (Some(State::Late), LightKind::Heartbeat) if machine.class == MachineClass::Laptop => Finding::Fine,
        (Some(State::Good), _) => Finding::Fine,
        (Some(State::Running | State::Paused), _) => Finding::Unknown,
        (Some(State::Never), kind) if is_young(machine, kind, now) => Finding::Fine,
        (Some(_), _) => wrong(),
        // It has a heartbeat, and we cannot hear it.
        (None, LightKind::Heartbeat) if light.at.is_some() => Finding::Unknown,
        (None, _) => Finding::Fine,
    }
}

/// Whether a machine is with us for less time than the limit: what never happened may still come.
fn is_young(machine: &Machine, kind: LightKind, now: Timestamp) -> bool {
    let limits = machine.limits();
    let minutes = match (kind, limits.backup) {
        (LightKind::Heartbeat, _) => limits.heartbeat,
        (LightKind::Backup, BackupLimit::Minutes(minutes)) => minutes,
        (LightKind::Backup, BackupLimit::DaysInUse(days)) => days.saturating_mul(24 * 60),
        (LightKind::Offsite, _) => limits.offsite,
        (LightKind::Proven, _) => limits.proven,
        (LightKind::Storage, _) => limits.storage,
    };
    now.as_second() - machine.enrolled.as_second() <= i64::from(minutes) * 60
}

/// When we rather doubt ourselves than believe that so many vanished at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfDoubt {
    /// More than this many per cent of the clients, and at least three of them.
    pub percent: u8,
}

impl SelfDoubt {
    /// Whether so many clients of `watched` (those with machines that were heard until just now) having vanished at
    /// once says more about us than about them.
    pub fn holds(self, vanished: usize, watched: usize) -> bool {
        vanished >= 3 && vanished * 100 > watched * usize::from(self.percent)
    }

    /// What is to be observed then: one thing wrong with ourselves, and nothing known of anybody's silence.
    pub fn apply(self, seen: Vec<Observation>, vanished: usize, watched: usize) -> Vec<Observation> {
        let doubt = self.holds(vanished, watched);
        let sentence =
            format!("{vanished} of {watched} clients fell silent at once: check this server's own connection.");
        let ourselves = Observation {
            key: AlertKey { subject: Subject::Ourselves, condition: Condition::Silent },
            finding: if doubt { Finding::Wrong(sentence) } else { Finding::Fine },
        };
        let believe = |mut seen: Observation| {
            if doubt && seen.key.condition == Condition::Silent && matches!(seen.finding, Finding::Wrong(_)) {
                seen.finding = Finding::Unknown;
            }
            seen
        };
        seen.into_iter().map(believe).chain([ourselves]).collect()
    }
}
