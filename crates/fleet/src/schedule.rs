//! Schedule: when something is due, by wall clock and zone. Every due time is acted on once, or stood for by a later one.
//!
//! A time that the clock skips is due when the clock goes on; one that the clock shows twice is due the first time.
//! Several due times that fall on one moment are one. Who was away runs once when back: the newest missed time stands
//! for all of them. Machines are spread over `spread` seconds, each always at the same place.

mod times;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::window::first_open;
use crate::{MachineId, Window, Zone};

pub use times::{ScheduleError, Times};

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Whose wall clock it is.
    pub zone: Zone,
    /// The wall-clock times.
    pub times: Times,
    /// Over how many seconds machines are spread.
    pub spread: u32,
    /// When runs may start; none means always. What is due outside waits.
    pub windows: Vec<Window>,
}

/// What a schedule says to somebody who asks what to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing is due; the next time, if there ever is one.
    NotYet(Option<Timestamp>),
    /// Something is due, and waits for a window to open; `opens` is none if no window opens within two weeks.
    Wait {
        /// The due time.
        due: Timestamp,
        /// When the window opens.
        opens: Option<Timestamp>,
    },
    /// Start now, for this due time. Who starts remembers it as handled.
    Start(Timestamp),
}

impl Schedule {
    /// What to do at `now` on a machine that has handled everything due up to and including `handled`.
    pub fn turn(&self, machine: MachineId, handled: Timestamp, now: Timestamp) -> Turn {
        match self.newest(machine, now).filter(|due| *due > handled) {
            None => Turn::NotYet(self.next(machine, handled.max(now))),
            Some(due) => match first_open(&self.windows, &self.zone, now) {
                Some(opens) if opens == now => Turn::Start(due),
                opens => Turn::Wait { due, opens },
            },
        }
    }

    /// The first due time after `after`; none if there is none within reach of croner's search (years).
    pub fn next(&self, machine: MachineId, after: Timestamp) -> Option<Timestamp> {
        let delay = self.delay(machine);
        let after = after.checked_sub(delay).ok()?;
        let mut clock = self.zone.clock(after);
        loop {
            clock = self.times.next(clock)?;
            let moment = self.zone.moment(clock)?;
            if moment > after {
                return moment.checked_add(delay).ok();
            }
        }
    }

    /// The last due time not after `until`; none if there is none within reach of croner's search (years).
    pub fn newest(&self, machine: MachineId, until: Timestamp) -> Option<Timestamp> {
        let delay = self.delay(machine);
        let until = until.checked_sub(delay).ok()?;
        let mut clock = self.times.newest(self.zone.latest_clock(until))?;
        loop {
            let moment = self.zone.moment(clock)?;
            if moment <= until {
                return moment.checked_add(delay).ok();
            }
            clock = self.times.newest(clock.checked_sub(SignedDuration::from_secs(1)).ok()?)?;
        }
    }

    /// When it runs, in a sentence.
    pub fn sentence(&self) -> String {
        let mut sentence = format!("Runs {} ({})", self.times.words(), self.zone.name());
        if self.spread >= 60 {
            sentence += &format!(", each machine up to {} later", crate::age::span_in_words(self.spread.into()));
        }
        if !self.windows.is_empty() {
            let windows: Vec<_> = self.windows.iter().map(Window::words).collect();
            sentence += &format!(", and starts only {}", crate::keep::listed(&windows));
        }
        sentence + ". What was missed runs once when the machine is back."
    }

    /// The low half of an identity of version 7 is random, so it spreads machines evenly, each always alike.
    fn delay(&self, machine: MachineId) -> SignedDuration {
        let random = machine.uuid().as_u128() as u64;
        SignedDuration::from_secs((random % u64::from(self.spread.max(1))) as i64)
    }
}
