//! What a lock file says, in restic's JSON. Readers are tolerant: a missing field is empty.

use std::time::Duration;

use jiff::Timestamp;

use super::LockKind;
use super::owner::{LockOwner, Process};

/// A lock that was not refreshed for this long is stale, whoever holds it.
const STALE: Duration = Duration::from_secs(30 * 60);

/// A lock of an earlier boot of this machine is dead, unless it was refreshed by somebody who only looks like this machine.
const SURELY_NOT_REFRESHED: Duration = Duration::from_secs(6 * 60);

/// What a lock file says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LockContent {
    /// When it was made or refreshed.
    pub time: Timestamp,
    /// True if nobody else may work.
    #[serde(default)]
    pub exclusive: bool,
    /// On which host.
    #[serde(default)]
    pub hostname: String,
    /// By which user.
    #[serde(default)]
    pub username: String,
    /// By which process.
    #[serde(default)]
    pub pid: u32,
    /// That user's number.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// That user's group.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// What tells our processes apart; restic passes over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stead: Option<Process>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl LockContent {
    pub(super) fn new(owner: &LockOwner, kind: LockKind, time: Timestamp) -> LockContent {
        LockContent {
            time,
            exclusive: kind == LockKind::Exclusive,
            hostname: owner.hostname.clone(),
            username: owner.username.clone(),
            pid: owner.pid,
            uid: owner.uid,
            gid: owner.gid,
            stead: owner.process.clone(),
        }
    }

    /// Who holds it, for people.
    pub fn holder(&self) -> String {
        format!("PID {} on {} by {}", self.pid, self.hostname, self.username)
    }

    /// True if a lock of `kind` cannot be held beside this one.
    pub(super) fn conflicts(&self, kind: LockKind) -> bool {
        self.exclusive || kind == LockKind::Exclusive
    }

    fn age(&self, now: Timestamp) -> Duration {
        now.duration_since(self.time).try_into().unwrap_or(Duration::ZERO)
    }

    /// restic's judgement, for `unlock`: not refreshed for 30 minutes, or of a process of this host that is gone.
    pub fn is_stale(&self, now: Timestamp, here: &LockOwner) -> bool {
        if self.age(now) > STALE || self.is_our_dead(now, here) {
            return true;
        }
        self.stead.is_none() && self.hostname == here.hostname && !super::owner::is_alive(self.pid, None)
    }

    /// True if a stead process on this machine wrote this and certainly is gone: what the next run removes by itself.
    pub(super) fn is_our_dead(&self, now: Timestamp, here: &LockOwner) -> bool {
        let (Some(there), Some(own)) = (&self.stead, &here.process) else { return false };
        if self.hostname != here.hostname || there.machine != own.machine {
            return false;
        }
        if there.boot != own.boot {
            return self.age(now) > SURELY_NOT_REFRESHED;
        }
        let same_process = self.pid == here.pid && there.started == own.started;
        there.space == own.space && !same_process && !super::owner::is_alive(self.pid, Some(there.started))
    }
}
