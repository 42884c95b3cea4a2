//! The history of an invented machine: a backup on each of the last 28 days, one a week before; copies, checks, drills.

use fleet::{
    Amount, ClientId, CopyId, Distance, Drill, DrillId, JobKind, MachineClass, MachineId, Missed, Outcome, Phase,
    Report, Run, RunCondition, RunId, Verdict, Zone,
};
use jiff::{Timestamp, ToSpan};
use store::{Beat, CodeId, CopyMade, DrillMade, Enrolment, MachineChange, NewCode, Secret};

use super::machines::{Fate, Invented};
use super::{Shared, World};
use crate::failure::{Doing, Outcome as Done};

const GIGA: u64 = 1_000_000_000;

/// Days whose runs tell how much they read.
const RECENT: u64 = 28;

impl World<'_> {
    /// Lets a machine join as every machine does, by a code.
    pub(super) async fn enrol(&mut self, shared: &Shared, client: ClientId, invented: &Invented) -> Done<MachineId> {
        let (machine, joined) = (self.machine_id()?, self.joined(invented)?);
        let expires = self.now.checked_add(1.hours()).doing(|| "cannot count on".into())?;
        let id = CodeId::made(self.now, self.bits());
        let policy = Some(shared.policy);
        let code = NewCode { id, client, class: invented.class, policy, uses: 1, expires };
        let secret = Secret::random();
        self.store.within(&shared.scope).add_code(&code, &secret).await?;
        let mut identity = [0; 32];
        identity[22..].copy_from_slice(&self.bits());
        let new = Enrolment {
            machine,
            name: invented.name.to_owned(),
            identity: Some(identity),
            hardware: None,
            sealed_key: None,
            credential: Secret::random().hash(),
        };
        self.store.system().enrol(&secret, &new, joined).await?;
        Ok(machine)
    }

    fn joined(&self, invented: &Invented) -> Done<Timestamp> {
        self.ago(if matches!(invented.fate, Fate::New) { 20 } else { 364 * 24 })
    }

    /// All that happened to it since.
    pub(super) async fn history(&mut self, shared: &Shared, machine: MachineId, invented: &Invented) -> Done {
        if !matches!(invented.fate, Fate::New) {
            for days in (RECENT + 1..360).rev().filter(|days| days % 7 == 0) {
                self.backup(machine, invented, days, Outcome::Good).await?;
            }
            for days in (1..=RECENT).rev() {
                if let Some(outcome) = outcome(invented, days) {
                    self.backup(machine, invented, days, outcome).await?;
                }
            }
            self.proofs(shared, machine, invented).await?;
        }
        self.heard(machine, invented).await?;
        if let Fate::Running(percent) = invented.fate {
            self.running(machine, invented, percent).await?;
        }
        if invented.name == "studio-3" {
            let from = self.ago(2)?;
            let until = self.now.checked_add(20.hours()).doing(|| "cannot count on".into())?;
            let by = shared.scope.actor().clone();
            let pause = fleet::Pause { by, reason: "the graphics card is being replaced".into(), from, until };
            self.store.within(&shared.scope).change_machine(machine, MachineChange::Pause(Some(pause))).await?;
        }
        Ok(())
    }

    async fn backup(&mut self, machine: MachineId, invented: &Invented, days: u64, outcome: Outcome) -> Done {
        let jitter = i64::from(self.bits()[9]) * 12;
        let started = self.night(days)?.checked_add(jitter.seconds()).doing(|| "cannot count on".into())?;
        let run = self.begin(machine, JobKind::Backup, started).await?;
        let minutes = 4 + (invented.gigabytes / 60 + days % 5) as i64;
        if days <= RECENT {
            let total = invented.gigabytes * GIGA + days * 37_000_000;
            let new = total / 190 + (days % 6) * 91_000_000;
            self.report(machine, run, started, Amount { done: total, total, new }).await?;
        }
        let ended = started.checked_add(minutes.minutes()).doing(|| "cannot count on".into())?;
        self.store.system().end_run(machine, run, ended, outcome).await?;
        Ok(())
    }

    /// Two o'clock in the night, so many nights ago; 1 is the last one.
    fn night(&self, days: u64) -> Done<Timestamp> {
        let hours = days as i64 * 24;
        let back = self.now.checked_sub((hours - 17).hours()).doing(|| "cannot count back".into())?;
        let midnight = back.as_second() - back.as_second().rem_euclid(86_400);
        let night = Timestamp::from_second(midnight + 2 * 3_600).doing(|| "cannot count back".into())?;
        Ok(night.min(self.ago(hours - 23)?))
    }

    async fn begin(&mut self, machine: MachineId, kind: JobKind, started: Timestamp) -> Done<RunId> {
        let id = RunId::made(started, self.bits());
        self.store.system().begin_run(&Run::begin(id, machine, None, kind, started)).await?;
        Ok(id)
    }

    async fn report(&self, machine: MachineId, run: RunId, at: Timestamp, amount: Amount) -> Done {
        let condition = RunCondition::Moving;
        let report = Report { number: 1, at, phase: Phase::Reading, condition, amount, setback: None };
        self.store.system().report(machine, run, report).await?;
        Ok(())
    }

    async fn running(&mut self, machine: MachineId, invented: &Invented, percent: u64) -> Done {
        let started = self.now.checked_sub(31.minutes()).doing(|| "cannot count back".into())?;
        let run = self.begin(machine, JobKind::Backup, started).await?;
        let total = invented.gigabytes * GIGA;
        let amount = Amount { done: total / 100 * percent, total, new: total / 100 * percent / 18 };
        self.report(machine, run, self.now, amount).await
    }

    /// A copy offsite, a boot test and a check.
    async fn proofs(&mut self, shared: &Shared, machine: MachineId, invented: &Invented) -> Done {
        let late = match invented.fate {
            Fate::Failing(days, _) | Fate::Late(days) => days,
            _ => 0,
        };
        let newest = self.night(late + 1)?;
        let ended = newest.checked_add(2.hours()).doing(|| "cannot count on".into())?.min(self.now);
        let (destination, distance, verdict) = (shared.offsite, Distance::Offsite, Verdict::Good);
        let id = CopyId::made(ended, self.bits());
        self.store.system().copy_made(&CopyMade { id, machine, destination, distance, ended, newest, verdict }).await?;
        let days = if let Fate::OldDrill(days) = invented.fate { days } else { 1 + invented.gigabytes % 9 };
        let ended = self.night(days)?;
        let id = DrillId::made(ended, self.bits());
        let (kind, verdict, evidence) = (Drill::BootTest, Verdict::Good, "{}".to_owned());
        self.store.system().drill_held(&DrillMade { id, machine, kind, ended, verdict, evidence }).await?;
        let checked = self.night(2)?;
        let check = self.begin(machine, JobKind::Check, checked).await?;
        self.store.system().end_run(machine, check, checked, Outcome::Good).await?;
        Ok(())
    }

    /// It was in use on the days since its last backup, and was heard just now.
    async fn heard(&mut self, machine: MachineId, invented: &Invented) -> Done {
        let days = if let Fate::Late(days) = invented.fate { days } else { 0 };
        let hours = if invented.class == MachineClass::Server { 0 } else { 2 };
        for day in (0..=days as i64).rev() {
            let at = self.ago(day * 24 + if day == 0 { 0 } else { hours })?;
            let day = Zone::utc().date(at);
            let (version, address) = (env!("CARGO_PKG_VERSION").to_owned(), "192.0.2.7".to_owned());
            self.store.system().hear(&[Beat { machine, at, day, version, address }]).await?;
        }
        Ok(())
    }
}

/// What became of a day; none: nothing was attempted.
fn outcome(invented: &Invented, days: u64) -> Option<Outcome> {
    let failed = |why: &str| Outcome::Failed { why: why.to_owned() };
    match invented.fate {
        Fate::Failing(since, why) if days <= since => Some(failed(why)),
        Fate::Late(since) if days <= since => None,
        Fate::OftenOff(off) if days > 1 && (days * 7 + invented.gigabytes) % 10 < off => None,
        Fate::Missed(what, why) if days == 1 || days == 11 => {
            Some(Outcome::missing(vec![Missed { what: what.to_owned(), why: why.to_owned() }], 1))
        }
        // Everybody has a bad night now and then.
        _ if (days + invented.gigabytes) % 97 == 13 => Some(failed("the network was down")),
        _ => Some(Outcome::Good),
    }
}
