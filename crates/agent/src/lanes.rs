//! Lanes: how many packs are on their way at once. A cut link costs what was under way, so on a slow road they go one after
//! the other; where one takes no time, several make up for the time that answers take.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::running::Stop;

/// How often a request to stop is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A pack that has the road for itself in less than this has two others beside it.
const QUICK: Duration = Duration::from_millis(300);

/// In less than this, one other.
const FAIR: Duration = Duration::from_millis(800);

/// The lanes of one storage; one of them is open as long as nothing was measured.
#[derive(Default)]
pub(crate) struct Lanes {
    state: Mutex<State>,
    free: Condvar,
}

#[derive(Default)]
struct State {
    /// Lanes beside the first one.
    more: u32,
    used: u32,
}

/// A pack on its way; its lane is free again when this is dropped.
pub(crate) struct Lane<'l> {
    lanes: &'l Lanes,
    begun: Instant,
}

impl Lanes {
    /// Waits for a free lane, or until somebody stops the run.
    pub(crate) fn enter(&self, stop: &Stop) -> Lane<'_> {
        let mut state = self.state.lock();
        while state.used > state.more && !stop.is_asked() {
            self.free.wait_for(&mut state, LOOK_EVERY);
        }
        state.used += 1;
        Lane { lanes: self, begun: Instant::now() }
    }
}

/// How many lanes there should be beside the first, if a pack took so long beside others.
fn more(took: Duration, used: u32) -> u32 {
    match took / used.max(1) {
        alone if alone < QUICK => 2,
        alone if alone < FAIR => 1,
        _ => 0,
    }
}

impl Lane<'_> {
    /// The way begins now: what was waited for before says nothing about the road.
    pub(crate) fn begin(&mut self) {
        self.begun = Instant::now();
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut state = self.lanes.state.lock();
        state.more = more(self.begun.elapsed(), state.used);
        state.used -= 1;
        self.lanes.free.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wider_the_road_the_more_packs_are_under_way() {
        let milliseconds = Duration::from_millis;
        assert_eq!((more(milliseconds(100), 1), more(milliseconds(600), 3)), (2, 2));
        assert_eq!((more(milliseconds(500), 1), more(milliseconds(1_500), 2)), (1, 1));
        assert_eq!((more(milliseconds(8_000), 1), more(milliseconds(8_000), 3)), (0, 0));
    }

    #[test]
    fn a_second_pack_waits_for_the_first_until_the_road_is_known_and_a_stop_is_felt() {
        let (lanes, stop) = (Lanes::default(), Stop::default());
        let first = lanes.enter(&stop);
        std::thread::scope(|scope| {
            let second = scope.spawn(|| drop(lanes.enter(&stop)));
            std::thread::sleep(Duration::from_millis(50));
            assert!(!second.is_finished(), "the road is not known yet");
            stop.ask(None);
            second.join().unwrap();
        });
        drop(first);
        let three = [lanes.enter(&Stop::default()), lanes.enter(&Stop::default()), lanes.enter(&Stop::default())];
        assert_eq!((three.len(), lanes.state.lock().used), (3, 3));
    }
}
