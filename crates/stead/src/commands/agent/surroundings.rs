//! What the operating system says about the machine's surroundings, for the agent: desktop services by the system's bus
//! where there are some, else the kernel.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Surroundings, Watched};
use fleet::{Around, Network};
use parking_lot::{Condvar, Mutex};
use platform::{Bus, BusAddress, Link, Power, Reach, Sleep, network_name, watch_sleep};

/// How often a bus that is not there is looked for.
const LOOK_FOR_BUS_EVERY: Duration = Duration::from_secs(60);

/// How long what a service said last holds while it does not answer: a machine that is busy is slow to answer, and has not
/// come off its battery because of that.
const HOLDS: Duration = Duration::from_secs(60);

/// How long uploads that are under way may end before the system sleeps.
const BEFORE_SLEEP: Duration = Duration::from_secs(2);

/// Asks the system.
#[derive(Default)]
struct Desktop {
    bus: Mutex<Line>,
    /// Whether the system sleeps, or is about to.
    asleep: Mutex<bool>,
    changed: Condvar,
}

/// The line to the bus.
#[derive(Default)]
struct Line {
    bus: Option<Bus>,
    looked: Option<Instant>,
    power: Last<Power>,
    link: Last<Link>,
}

/// What a service said last, and when.
struct Last<T>(Option<(T, Instant)>);

impl<T> Default for Last<T> {
    fn default() -> Last<T> {
        Last(None)
    }
}

impl<T: Clone> Last<T> {
    /// What it says now, or said a short while ago.
    fn or_now(&mut self, now: Option<T>) -> Option<T> {
        match now {
            Some(said) => self.0 = Some((said, Instant::now())),
            None => self.0 = self.0.take().filter(|(_, at)| at.elapsed() < HOLDS),
        }
        self.0.as_ref().map(|(said, _)| said.clone())
    }
}

impl Line {
    fn bus(&mut self) -> Option<&Bus> {
        let is_time = self.looked.is_none_or(|looked| looked.elapsed() >= LOOK_FOR_BUS_EVERY);
        if self.bus.is_none() && is_time {
            self.looked = Some(Instant::now());
            self.bus = Bus::open(&BusAddress::System).ok();
        }
        self.bus.as_ref()
    }
}

impl Watched for Desktop {
    fn now(&self) -> Surroundings {
        let (root, mut line) = (Path::new("/"), self.bus.lock());
        let bus = line.bus();
        let (by_bus, linked) = (bus.and_then(Power::of_bus), bus.and_then(Link::of_bus));
        let is_silent = bus.is_some() && by_bus.is_none() && linked.is_none();
        let (by_bus, linked) = (line.power.or_now(by_bus), line.link.or_now(linked));
        let known_by =
            vec![known("power", "UPower", by_bus.is_some()), known("network", "NetworkManager", linked.is_some())];
        // A bus that has gone is looked for again: at once, if somebody spoke there a short while ago.
        if is_silent {
            let is_missed = by_bus.is_some() || linked.is_some();
            (line.bus, line.looked) = (None, (!is_missed).then(Instant::now));
        }
        let power = by_bus.unwrap_or_else(|| Power::of_kernel(root));
        let link = linked.unwrap_or_else(|| Link::of_kernel(root));
        let network = match link.reach {
            Reach::Unknown => Network::Unknown,
            Reach::Up => Network::Up,
            Reach::Captive => Network::Captive,
            Reach::Down => Network::Down,
        };
        let around = Around { mains: power.mains, battery: power.battery, metered: link.metered, network };
        Surroundings { around, network: network_name(root), asleep: *self.asleep.lock(), known_by }
    }

    fn wait(&self, most: Duration) {
        let mut asleep = self.asleep.lock();
        self.changed.wait_for(&mut asleep, most);
    }
}

fn known(what: &str, service: &str, by_bus: bool) -> String {
    match by_bus {
        true => format!("{what} is told by {service}"),
        false => format!("{what} is told by the kernel, as there is no {service}"),
    }
}

impl Desktop {
    /// Told by logind; where there is none, sleep comes as a surprise, and the connection is made again afterwards.
    fn follow_sleep(&self) {
        loop {
            _ = watch_sleep(&BusAddress::System, |sleep| {
                if let Some(sleep) = sleep {
                    *self.asleep.lock() = sleep == Sleep::Begins;
                    self.changed.notify_all();
                    if sleep == Sleep::Begins {
                        std::thread::sleep(BEFORE_SLEEP);
                    }
                }
                true
            });
            *self.asleep.lock() = false;
            std::thread::sleep(LOOK_FOR_BUS_EVERY);
        }
    }
}

/// Whoever knows.
pub(super) fn watched() -> Arc<dyn Watched> {
    let desktop = Arc::new(Desktop::default());
    let follower = Arc::clone(&desktop);
    // Without the thread, sleep comes as a surprise.
    _ = std::thread::Builder::new().name("sleep".into()).spawn(move || follower.follow_sleep());
    desktop
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_said_holds_while_it_is_slow_to_answer_and_not_for_ever() {
        let mut last = Last(None);
        assert_eq!(last.or_now(None), None, "nobody ever spoke");
        assert_eq!((last.or_now(Some(7)), last.or_now(None), last.or_now(Some(8))), (Some(7), Some(7), Some(8)));
        let Some(long_ago) = Instant::now().checked_sub(HOLDS) else { return };
        last.0 = Some((8, long_ago));
        assert_eq!(last.or_now(None), None);
    }
}
