//! What a drive needs: a house, a laptop on a road with a disk in use, two who look on; and how far its backup is.

use std::path::Path;
use std::time::{Duration, Instant};

use fleet::{MachineId, Outcome, Run, RunState};
use tempfile::TempDir;
use testkit::Peer;
use testkit::loop_device::is_root_or_skip;

use crate::desktop::Desktop;
use crate::disk::Disk;
use crate::house::House;
use crate::laptop::Laptop;
use crate::road::{Country, Road};
use crate::viewers::{Viewers, browsers};

/// At home.
pub(crate) const WIRELESS: u64 = 6_000_000;

/// On the road.
pub(crate) const SLOW: u64 = 1_000_000;

/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(240);

#[track_caller]
pub(crate) fn until<T>(what: &str, mut fact: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// All that a drive needs.
pub(crate) struct Drive {
    pub(crate) viewers: Viewers,
    pub(crate) laptop: Laptop,
    pub(crate) disk: Disk,
    pub(crate) house: House,
    pub(crate) desktop: Desktop,
    pub(crate) home: Road,
    pub(crate) away: Road,
    /// An undisturbed run's bytes on the wire, but for what was written again meanwhile.
    pub(crate) undisturbed: u64,
    pub(crate) restic: Peer,
    _country: Country,
    pub(crate) room: TempDir,
}

impl Drive {
    /// A house, a laptop at home with a disk in use, and two who look on. None where something is missing.
    pub(crate) fn prepared(story: &str) -> Option<Drive> {
        let (restic, browsers) = (Peer::find("restic")?, browsers()?);
        if !is_root_or_skip() {
            return None;
        }
        let desktop = Desktop::start()?;
        let (room, mut country) = (TempDir::new().expect("room"), Country::new());
        let disk = Disk::new(room.path());
        let house = House::open(room.path(), &country.server, disk.name());
        let undisturbed = undisturbed(&house, room.path(), &mut country, &restic);
        let namespace = country.namespace("laptop");
        let (home, away) = (country.road(&namespace, 1), country.road(&namespace, 2));
        home.open();
        home.limit(WIRELESS);
        let laptop = Laptop::joins(&house, room.path(), &namespace, "laptop", desktop.address());
        let viewers = Viewers::start(&browsers, story);
        Some(Drive { viewers, laptop, disk, house, desktop, home, away, undisturbed, restic, _country: country, room })
    }

    pub(crate) fn machine(&self) -> MachineId {
        self.laptop.machine
    }

    pub(crate) fn run(&self) -> Option<Run> {
        self.house.run(self.machine())
    }

    /// Waits until the server says more than so many per cent.
    #[track_caller]
    pub(crate) fn until_beyond(&self, percent: u64) {
        until(&format!("more than {percent} % of {:?}", self.run()), || {
            let run = self.run()?;
            assert_eq!(run.state, RunState::Running, "it is not over yet");
            (u64::from(run.progress.percent()) > percent).then_some(())
        });
    }

    #[track_caller]
    pub(crate) fn until_words(&self, words: &str) {
        until(words, || self.laptop.status().contains(words).then_some(()));
    }

    /// Waits until the server hears nothing new of the run; how far that is.
    pub(crate) fn until_silent(&self) -> u64 {
        let number = || self.run().map(|run| run.progress.number);
        until("silence", || {
            let before = number();
            std::thread::sleep(Duration::from_secs(3));
            (number() == before).then_some(())
        });
        self.run().map(|run| u64::from(run.progress.percent())).expect("a run")
    }

    /// Both look; they are shown a percentage that is not less than before.
    #[track_caller]
    pub(crate) fn look(&mut self, stage: &str, least: u64) -> u64 {
        let seen = self.viewers.look(stage, Some(least));
        seen.percent.unwrap_or_else(|| panic!("{stage}: {seen:?}"))
    }

    pub(crate) fn received(&self) -> u64 {
        self.home.received() + self.away.received()
    }
}

/// The same disk, imaged by another machine with nothing in its way: bytes on the wire, but for what was written again.
fn undisturbed(house: &House, room: &Path, country: &mut Country, restic: &Peer) -> u64 {
    let namespace = country.namespace("twin");
    let road = country.road(&namespace, 3);
    road.open();
    let nobody = format!("unix:path={}", room.join("no bus").display());
    let mut twin = Laptop::joins(house, room, &namespace, "twin", &nobody);
    house.asks_for_a_backup(twin.machine);
    ended(house, twin.machine);
    let sent = road.received();
    let (stored, needed) = twin.stored(house, restic);
    twin.ends();
    sent - (stored - needed)
}

/// Waits for the good end of a machine's backup.
#[track_caller]
pub(crate) fn ended(house: &House, machine: MachineId) -> Run {
    until("the end of the run", || {
        let run = house.run(machine)?;
        match &run.state {
            RunState::Ended { outcome: Outcome::Good, .. } => Some(run),
            RunState::Ended { outcome, .. } => panic!("{outcome:?}"),
            RunState::Running => None,
        }
    })
}
