//! Stories about locks, with a clock that jumps.

use std::sync::Arc;
use std::time::Duration;

use backend::{Backend, Class, Clock, FileInfo, FileKind, FileName, Id, Memory, Part};
use jiff::Timestamp;
use parking_lot::Mutex;
use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::key::{KdfParams, KeyOrigin};
use repo::lock::{self, Lock, LockContent, LockKind, LockOptions, LockOwner};
use repo::repository::{InitOptions, OpenOptions};
use repo::snapshot::Snapshot;
use repo::{Cancel, Error, Repository};
use stead_repo as repo;

/// A clock that stands still until somebody sleeps or moves it.
#[derive(Default)]
struct TestClock(Mutex<(Duration, Duration)>);

impl TestClock {
    /// Time passes for both clocks.
    fn pass(&self, time: Duration) {
        let mut clock = self.0.lock();
        clock.0 += time;
        clock.1 += time;
    }

    /// The machine sleeps: only the wall clock goes on.
    fn suspend(&self, time: Duration) {
        self.0.lock().0 += time;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() + self.0.lock().0
    }

    fn monotonic(&self) -> Duration {
        self.0.lock().1
    }

    fn sleep(&self, time: Duration) {
        self.pass(time);
    }
}

/// Storage that can be unplugged.
#[derive(Default)]
struct Plug {
    memory: Memory,
    unplugged: Mutex<bool>,
    /// What we may not remove: it is another account's.
    anothers: Mutex<Option<Id>>,
}

impl Plug {
    fn check(&self) -> backend::Result<()> {
        match *self.unplugged.lock() {
            true => Err(backend::Error::new(Class::Offline, "reach", "storage", "unplugged")),
            false => Ok(()),
        }
    }
}

impl Backend for Plug {
    fn location(&self) -> String {
        "plug".into()
    }
    fn connections(&self) -> usize {
        2
    }
    fn create(&self) -> backend::Result<()> {
        self.memory.create()
    }
    fn list(&self, kind: FileKind) -> backend::Result<Vec<FileInfo>> {
        self.check()?;
        self.memory.list(kind)
    }
    fn size(&self, file: &FileName) -> backend::Result<u64> {
        self.check()?;
        self.memory.size(file)
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> backend::Result<()> {
        self.check()?;
        self.memory.read(file, part, into)
    }
    fn write(&self, file: &FileName, content: &[u8]) -> backend::Result<()> {
        self.check()?;
        self.memory.write(file, content)
    }
    fn remove(&self, file: &FileName) -> backend::Result<()> {
        self.check()?;
        if *self.anothers.lock() == Some(file.id) {
            return Err(backend::Error::new(Class::Rejected, "remove", file.path(), "it is somebody else's"));
        }
        self.memory.remove(file)
    }
}

/// A repository, its storage, and a clock to play with.
struct Desk {
    backend: Arc<Plug>,
    clock: Arc<TestClock>,
    repo: Repository,
}

impl Desk {
    fn new() -> Desk {
        let backend = Arc::new(Plug::default());
        let created = Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
        let init = InitOptions {
            chunker: ChunkerKind::Gear,
            chunker_polynomial: None,
            version: 2,
            kdf: KdfParams::RANDOM_PASSWORD,
            origin: KeyOrigin { created, username: "ada".into(), hostname: "desk".into() },
        };
        let clock = Arc::new(TestClock::default());
        let repo = Repository::init(backend.clone(), b"secret", &init, options(&clock)).unwrap();
        Desk { backend, clock, repo }
    }

    /// The same repository, opened by somebody else.
    fn other(&self) -> Repository {
        Repository::open(self.backend.clone(), b"secret", options(&self.clock)).unwrap()
    }

    fn locks(&self) -> Vec<Id> {
        self.backend.memory.list(FileKind::Lock).unwrap().iter().map(|file| file.id).collect()
    }

    fn write_snapshot(&self) -> repo::Result<Id> {
        let snapshot = serde_json::json!({ "time": "2026-11-22T02:00:00Z", "tree": Id::of(b"tree") });
        self.repo.write_snapshot(&serde_json::from_value::<Snapshot>(snapshot).unwrap())
    }

    fn snapshots(&self) -> usize {
        self.backend.memory.list(FileKind::Snapshot).unwrap().len()
    }

    /// Plants a lock as another process would have left it.
    fn plant(&self, change: impl FnOnce(&mut LockContent)) -> Id {
        let own = Lock::acquire(&self.repo, &shared()).unwrap();
        // Not one that was planted before: locks are listed in the order of their random ids.
        let mut locks = lock::list(&self.repo).unwrap().into_iter().map(|lock| lock.content.unwrap());
        let mut content =
            locks.find(|content| content.hostname == owner().hostname && content.stead.is_some()).unwrap();
        own.release().unwrap();
        change(&mut content);
        self.repo.write_unpacked(FileKind::Lock, &serde_json::to_vec(&content).unwrap()).unwrap()
    }
}

fn options(clock: &Arc<TestClock>) -> OpenOptions {
    OpenOptions {
        key_hint: None,
        cache: None,
        compression: Compression::Auto,
        pack_size: 16 << 20,
        clock: clock.clone(),
        cancel: Cancel::default(),
    }
}

fn owner() -> LockOwner {
    LockOwner::this_process("desk", "ada")
}

fn shared() -> LockOptions {
    LockOptions { kind: LockKind::Shared, owner: owner(), wait: Duration::ZERO }
}

fn exclusive() -> LockOptions {
    LockOptions { kind: LockKind::Exclusive, ..shared() }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// A PID that no process has any more.
fn dead_pid() -> u32 {
    let mut child = std::process::Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

#[test]
fn readers_and_writers_share_but_nobody_joins_an_exclusive_lock() {
    let desk = Desk::new();
    let (second, third) = (desk.other(), desk.other());
    let reader = Lock::acquire(&desk.repo, &shared()).unwrap();
    let writer = Lock::acquire(&second, &shared()).unwrap();
    assert!(matches!(Lock::acquire(&third, &exclusive()), Err(Error::Locked { how: "", .. })));
    assert_eq!(desk.locks().len(), 2, "the loser left nothing");
    drop((reader, writer));
    let _pruner = Lock::acquire(&third, &exclusive()).unwrap();
    let refused = Lock::acquire(&second, &shared()).err().unwrap();
    assert!(refused.to_string().contains("locked exclusively by PID"), "{refused}");
}

#[test]
fn a_released_or_dropped_lock_leaves_nothing() {
    let desk = Desk::new();
    drop(Lock::acquire(&desk.repo, &exclusive()).unwrap());
    Lock::acquire(&desk.repo, &exclusive()).unwrap().release().unwrap();
    assert!(desk.locks().is_empty());
    assert_eq!(desk.repo.own_lock(), None);
}

#[test]
fn waiting_for_a_lock_ends_when_it_goes_or_the_time_is_over() {
    let desk = Desk::new();
    let planted = desk.plant(|content| {
        content.hostname = "elsewhere".into();
        content.exclusive = true;
    });
    let before = desk.clock.monotonic();
    let waiting = LockOptions { wait: minutes(10), ..shared() };
    assert!(matches!(Lock::acquire(&desk.repo, &waiting), Err(Error::Locked { .. })));
    let waited = desk.clock.monotonic() - before;
    assert!((minutes(10)..minutes(11)).contains(&waited), "{waited:?}");
    desk.backend.remove(&FileName::new(FileKind::Lock, planted)).unwrap();
    Lock::acquire(&desk.repo, &waiting).unwrap();
}

#[test]
fn a_lock_of_our_killed_process_is_removed_by_the_next_run() {
    let desk = Desk::new();
    desk.plant(|content| {
        content.pid = dead_pid();
        content.exclusive = true;
    });
    Lock::acquire(&desk.repo, &exclusive()).unwrap();
}

/// An agent and a keeper of one machine come in to the gateway by accounts of their own.
#[test]
fn a_lock_of_a_killed_process_that_we_may_not_remove_stays_and_is_judged_like_any_other() {
    let desk = Desk::new();
    let planted = desk.plant(|content| content.pid = dead_pid());
    *desk.backend.anothers.lock() = Some(planted);
    let beside = Lock::acquire(&desk.repo, &shared()).unwrap();
    assert!(desk.locks().contains(&planted));
    beside.release().unwrap();
    assert!(matches!(Lock::acquire(&desk.repo, &exclusive()), Err(Error::Locked { .. })));
}

#[test]
fn a_pid_that_another_process_has_now_does_not_keep_a_lock_alive() {
    let desk = Desk::new();
    desk.plant(|content| {
        content.exclusive = true;
        content.stead.as_mut().unwrap().started -= 1;
    });
    Lock::acquire(&desk.repo, &exclusive()).unwrap();
}

#[test]
fn a_lock_of_an_earlier_boot_is_removed_once_nobody_can_be_refreshing_it() {
    let desk = Desk::new();
    desk.plant(|content| content.stead.as_mut().unwrap().boot = "an earlier one".into());
    assert!(matches!(Lock::acquire(&desk.repo, &exclusive()), Err(Error::Locked { .. })));
    desk.clock.pass(minutes(7));
    Lock::acquire(&desk.repo, &exclusive()).unwrap();
}

/// F27: containers share a host's name, but not its processes.
#[test]
fn locks_of_other_containers_hosts_and_programs_stay() {
    let changes: [fn(&mut LockContent); 4] = [
        |content| content.stead.as_mut().unwrap().space = "pid:[1]".into(),
        |content| content.stead.as_mut().unwrap().machine = "another".into(),
        |content| content.hostname = "another".into(),
        |content| content.stead = None,
    ];
    for change in changes {
        let desk = Desk::new();
        desk.plant(|content| {
            content.pid = dead_pid();
            change(content);
        });
        assert!(matches!(Lock::acquire(&desk.repo, &exclusive()), Err(Error::Locked { .. })));
        assert_eq!(desk.locks().len(), 1);
    }
}

#[test]
fn unlock_removes_stale_locks_and_all_only_when_told() {
    let desk = Desk::new();
    let _living = Lock::acquire(&desk.repo, &shared()).unwrap();
    let elsewhere = desk.plant(|content| content.hostname = "elsewhere".into());
    desk.plant(|content| {
        content.pid = dead_pid();
        content.stead = None;
    });
    assert_eq!(lock::remove_stale(&desk.repo, &owner()).unwrap(), 1);
    desk.clock.pass(minutes(31));
    desk.repo.check_lock().unwrap();
    assert_eq!(lock::remove_stale(&desk.repo, &owner()).unwrap(), 1);
    assert!(!desk.locks().contains(&elsewhere));
    assert_eq!(lock::remove_all(&desk.repo).unwrap(), 1);
}

#[test]
fn an_old_lock_is_renewed_under_a_new_name_before_anything_is_written() {
    let desk = Desk::new();
    let _lock = Lock::acquire(&desk.repo, &shared()).unwrap();
    let before = desk.locks();
    desk.clock.pass(minutes(23));
    desk.write_snapshot().unwrap();
    let after = desk.locks();
    assert_eq!(after.len(), 1);
    assert_ne!(before, after);
    assert_eq!(desk.repo.own_lock(), Some(after[0]));
}

/// F10: the laptop sleeps, somebody unlocks and prunes, the laptop wakes.
#[test]
fn after_a_sleep_a_lock_that_was_removed_stops_everything_before_the_snapshot() {
    for slept in [31, 61] {
        let desk = Desk::new();
        let _lock = Lock::acquire(&desk.repo, &shared()).unwrap();
        desk.clock.suspend(minutes(slept));
        let other = desk.other();
        assert_eq!(lock::remove_stale(&other, &LockOwner::this_process("other", "bob")).unwrap(), 1);
        drop(Lock::acquire(&other, &exclusive()).unwrap());
        assert!(matches!(desk.write_snapshot(), Err(Error::LockLost(_))));
        assert!(matches!(desk.write_snapshot(), Err(Error::LockLost(_))), "it stays lost");
        assert!(desk.repo.write_index_file(&Default::default()).is_err());
        assert!(desk.repo.cancel().is_cancelled());
        assert_eq!(desk.snapshots(), 0);
    }
}

#[test]
fn after_a_sleep_a_lock_that_nobody_touched_goes_on() {
    let desk = Desk::new();
    let _lock = Lock::acquire(&desk.repo, &shared()).unwrap();
    desk.clock.suspend(minutes(600));
    desk.write_snapshot().unwrap();
    assert_eq!(desk.locks().len(), 1);
    assert!(!desk.repo.cancel().is_cancelled());
}

#[test]
fn a_lock_that_was_removed_while_we_were_awake_is_lost_too() {
    let desk = Desk::new();
    let _lock = Lock::acquire(&desk.repo, &shared()).unwrap();
    lock::remove_all(&desk.other()).unwrap();
    assert!(matches!(desk.write_snapshot(), Err(Error::LockLost(_))));
}

#[test]
fn storage_out_of_reach_is_not_a_lost_lock() {
    let desk = Desk::new();
    let _lock = Lock::acquire(&desk.repo, &shared()).unwrap();
    *desk.backend.unplugged.lock() = true;
    desk.clock.pass(minutes(90));
    assert!(matches!(desk.write_snapshot(), Err(Error::Backend(_))));
    *desk.backend.unplugged.lock() = false;
    desk.write_snapshot().unwrap();
}

/// F18, F38: interrupted writers leave empty locks; they do not count. A lock that cannot be read is not passed over.
#[test]
fn empty_locks_do_not_count_and_unreadable_ones_are_an_error() {
    let desk = Desk::new();
    desk.backend.memory.overwrite(FileName::new(FileKind::Lock, Id::of(b"1")), Vec::new());
    Lock::acquire(&desk.repo, &exclusive()).unwrap();
    desk.backend.memory.overwrite(FileName::new(FileKind::Lock, Id::of(b"2")), b"torn".to_vec());
    let before = desk.clock.monotonic();
    assert!(matches!(Lock::acquire(&desk.repo, &shared()), Err(Error::Damaged { .. })));
    assert!(desk.clock.monotonic() - before >= Duration::from_secs(35), "it was read again, later");
}

#[test]
fn a_refused_snapshot_does_not_need_the_lock_of_another_repository() {
    let (desk, other) = (Desk::new(), Desk::new());
    let _lock = Lock::acquire(&desk.repo, &shared()).unwrap();
    lock::remove_all(&desk.repo).unwrap();
    assert!(desk.write_snapshot().is_err());
    other.write_snapshot().unwrap();
}
