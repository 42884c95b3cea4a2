//! A storage that fails as told, a clock that jumps, and what the wrapper makes of it.

use std::collections::VecDeque;

use super::*;
use crate::clock::Jumping;
use crate::{Id, Memory};

/// Answers with the classes in turn, then works; the last class stays when it is repeated for ever.
struct Faulty {
    faults: Mutex<VecDeque<Class>>,
    for_ever: Option<Class>,
    calls: Mutex<u32>,
    memory: Memory,
}

impl Faulty {
    fn fail(&self) -> Result<()> {
        *self.calls.lock() += 1;
        match self.faults.lock().pop_front().or(self.for_ever) {
            Some(class) => Err(Error::new(class, "read", "x", "as told")),
            None => Ok(()),
        }
    }
}

impl Backend for Faulty {
    fn location(&self) -> String {
        "faulty".into()
    }
    fn connections(&self) -> usize {
        1
    }
    fn create(&self) -> Result<()> {
        self.memory.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        self.memory.list(kind)
    }
    fn size(&self, file: &FileName) -> Result<u64> {
        self.memory.size(file)
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        self.fail()?;
        self.memory.read(file, part, into)
    }
    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        self.memory.write(file, content)
    }
    fn remove(&self, file: &FileName) -> Result<()> {
        self.memory.remove(file)
    }
}

struct Story {
    retry: Retry<Faulty>,
    clock: Arc<Jumping>,
    cancel: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<String>>>,
}

fn story(faults: &[Class], for_ever: Option<Class>) -> Story {
    let faulty = Faulty {
        faults: Mutex::new(faults.iter().copied().collect()),
        for_ever,
        calls: Mutex::default(),
        memory: Memory::new(),
    };
    faulty.create().unwrap();
    faulty.write(&file(), b"content").unwrap();
    let (clock, cancel, told) = (Arc::new(Jumping::default()), Arc::<AtomicBool>::default(), Arc::default());
    let listener: Arc<Mutex<Vec<String>>> = Arc::clone(&told);
    let observer: RetryObserver = Arc::new(move |event: &RetryEvent<'_>| {
        let words = format!("{event:?}");
        listener.lock().push(words.split([' ', '{']).next().unwrap_or_default().to_owned());
    });
    let options = RetryOptions::default();
    let retry = Retry::new(faulty, options, Arc::clone(&clock) as _, Arc::clone(&cancel), observer);
    Story { retry, clock, cancel, told }
}

fn file() -> FileName {
    FileName::new(FileKind::Snapshot, Id::of(b"content"))
}

impl Story {
    fn read(&self) -> Result<Vec<u8>> {
        let mut content = Vec::new();
        self.retry.read(&file(), Part::Whole, &mut content).map(|()| content)
    }
    fn calls(&self) -> u32 {
        *self.retry.inner.calls.lock()
    }
}

#[test]
fn passing_faults_are_tried_again_with_growing_waits() {
    let story = story(&[Class::Transient, Class::Throttled, Class::Transient], None);
    assert_eq!(story.read().unwrap(), b"content");
    assert_eq!(story.told.lock().as_slice(), ["Retrying", "Retrying", "Retrying"]);
    // Half to all of 0.5 s, 1 s and 2 s.
    let waited = story.clock.monotonic().as_secs_f64();
    assert!((1.75..=3.6).contains(&waited), "{waited}");
}

#[test]
fn a_fault_that_does_not_pass_is_an_error_after_a_quarter_of_an_hour() {
    let story = story(&[], Some(Class::Transient));
    assert_eq!(story.read().unwrap_err().class, Class::Transient);
    let waited = story.clock.monotonic().as_secs();
    assert!((900..=962).contains(&waited), "{waited}");
}

#[test]
fn a_network_that_is_gone_is_waited_for_however_long() {
    let story = story(&[Class::Offline; 1000], None);
    assert_eq!(story.read().unwrap(), b"content");
    assert!(story.clock.monotonic().as_secs() > 3600);
    assert_eq!(story.told.lock().as_slice(), ["Offline", "Online"]);
    assert_eq!(story.retry.offline_since(), None);
}

#[test]
fn waiting_can_be_cancelled() {
    let story = story(&[], Some(Class::Offline));
    let cancel = Arc::clone(&story.cancel);
    let clock = Arc::clone(&story.clock);
    let error = std::thread::scope(|scope| {
        scope.spawn(move || {
            while clock.monotonic().as_secs() < 100 {
                std::thread::yield_now();
            }
            cancel.store(true, Ordering::Relaxed);
        });
        story.read().unwrap_err()
    });
    assert_eq!(error.class, Class::Offline);
    assert_eq!(story.retry.offline_since(), Some(jiff::Timestamp::UNIX_EPOCH), "the clock stood there at first");
}

#[test]
fn what_came_back_damaged_is_read_once_more() {
    let healed = story(&[Class::Corrupt], None);
    assert_eq!(healed.read().unwrap(), b"content");
    let damaged = story(&[], Some(Class::Corrupt));
    assert_eq!(damaged.read().unwrap_err().class, Class::Corrupt);
    assert_eq!(damaged.calls(), 2);
}

#[test]
fn what_does_not_get_better_is_not_tried_again() {
    for class in [Class::NotFound, Class::Rejected, Class::Untrusted, Class::Full, Class::Permanent] {
        let story = story(&[], Some(class));
        assert_eq!(story.read().unwrap_err().class, class);
        assert_eq!(story.calls(), 1);
    }
}

#[test]
fn a_storage_that_says_when_to_come_back_is_obeyed() {
    let story = story(&[], None);
    let error = Error::new(Class::Throttled, "read", "x", "slow down").after(Some(Duration::from_secs(42)));
    let mut attempts = Attempts { started: Duration::ZERO, wait: Duration::from_millis(500), read_again: false };
    assert_eq!(story.retry.next_wait(&mut attempts, &error), Some(Duration::from_secs(42)));
}
