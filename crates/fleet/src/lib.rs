//! What we look after, and is it safe? Tenant, client, site, machine, policy, schedule, job, run, freshness, alert.
//!
//! Pure: facts, the time and identities come in as values, and states with sentences come out. Nothing here reads a
//! file, asks for the time, draws a random number, or knows people: who did something is an opaque [`Actor`].

mod actor;
mod age;
mod alert;
mod bar;
mod board;
mod client;
mod destination;
mod drill;
mod escalation;
mod freshness;
mod id;
mod job;
mod keep;
mod light;
mod limits;
mod machine;
mod policy;
mod progress;
mod roaming;
mod run;
mod schedule;
mod silence;
mod site;
mod state;
mod storage;
mod tenant;
mod window;
mod zone;

pub use uuid::Uuid;

pub use actor::Actor;
pub use age::{age_in_words, size_in_words};
pub use alert::{Alert, AlertError, AlertKey, AlertState, Condition, Subject};
pub use bar::{Bar, BarError, Day};
pub use board::{Board, Finding, Notice, NoticeKind, Observation, SelfDoubt};
pub use client::{Client, KeyCustody};
pub use destination::{Destination, Distance, Place};
pub use drill::Drill;
pub use escalation::{Escalation, QuietHours, Recipient, Step};
pub use freshness::{Attempt, BackupFacts, Facts, Freshness, Verdict};
pub use id::{
    AlertId, ClientId, CopyId, DestinationId, DrillId, JobId, MachineId, NotAnId, PolicyId, RunId, SilenceId, SiteId,
    TenantId, version_7,
};
pub use job::{Job, JobError, JobKey, JobKind, JobState};
pub use keep::{Keep, Within};
pub use light::{Evidence, Light, LightKind};
pub use limits::{BackupLimit, Limits};
pub use machine::{Machine, MachineClass, Pause};
pub use policy::{NoDisk, Policy, SYSTEM_DISK, Selection};
pub use progress::{Amount, Cause, Condition as RunCondition, Phase, Progress, Report};
pub use roaming::{Around, Ledger, Metered, Network, Power, Roaming, Speed};
pub use run::{Missed, Outcome, Run, RunState};
pub use schedule::{Schedule, ScheduleError, Times, Turn};
pub use silence::{Silence, SilenceError, SilenceScope};
pub use site::Site;
pub use state::{Standing, State};
pub use storage::StorageFacts;
pub use tenant::Tenant;
pub use window::{WeekDay, Window};
pub use zone::{Zone, ZoneError};
