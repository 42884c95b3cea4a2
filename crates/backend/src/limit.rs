//! Bandwidth: how many bytes per second may go up and down. The limits can be changed while bytes flow.
//!
//! What speaks over a network paces its pieces itself, so that a limited upload leaves the line usable; [`Limit`] does
//! the same for any other backend, file by file.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::{Backend, Clock, FileInfo, FileKind, FileName, Hint, Part, Result};

/// The longest uninterrupted wait, so that a changed limit is felt at once.
const NAP: Duration = Duration::from_millis(200);

/// What may be sent at once after a pause, as a part of a second.
const BURST: f64 = 0.25;

/// Both directions' limits: a handle that many backends share and that changes them at run time.
pub struct Limiter {
    clock: Arc<dyn Clock>,
    up: Mutex<Bucket>,
    down: Mutex<Bucket>,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// Bytes that may pass; negative after a large piece passed at once.
#[derive(Debug)]
struct Bucket {
    rate: Option<NonZeroU64>,
    tokens: f64,
    filled: Duration,
}

impl Bucket {
    fn new(rate: Option<NonZeroU64>, now: Duration) -> Bucket {
        Bucket { rate, tokens: 0.0, filled: now }
    }

    /// Adds what has accumulated since last time.
    fn fill(&mut self, now: Duration) -> Option<f64> {
        let rate = self.rate?.get() as f64;
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * rate).min(rate * BURST);
        self.filled = now;
        Some(rate)
    }

    /// Takes `bytes`, or tells how long to wait before asking again.
    fn take(&mut self, bytes: u64, now: Duration) -> Result<(), Duration> {
        let Some(rate) = self.fill(now) else { return Ok(()) };
        if self.tokens < 0.0 {
            return Err(Duration::from_secs_f64((-self.tokens / rate).min(3600.0)).max(Duration::from_millis(1)));
        }
        self.tokens -= bytes as f64;
        Ok(())
    }
}

impl Limiter {
    /// Limits in bytes per second; none means no limit.
    pub fn new(clock: Arc<dyn Clock>, upload: Option<NonZeroU64>, download: Option<NonZeroU64>) -> Limiter {
        let now = clock.monotonic();
        Limiter { clock, up: Mutex::new(Bucket::new(upload, now)), down: Mutex::new(Bucket::new(download, now)) }
    }

    /// Changes the limit for uploads, in bytes per second, for what flows already too.
    pub fn set_upload(&self, rate: Option<NonZeroU64>) {
        self.set(Direction::Up, rate);
    }

    /// Changes the limit for downloads, in bytes per second, for what flows already too.
    pub fn set_download(&self, rate: Option<NonZeroU64>) {
        self.set(Direction::Down, rate);
    }

    fn set(&self, direction: Direction, rate: Option<NonZeroU64>) {
        let mut bucket = self.bucket(direction).lock();
        bucket.fill(self.clock.monotonic());
        *bucket = Bucket { rate, filled: self.clock.monotonic(), tokens: bucket.tokens };
        if rate.is_none() {
            bucket.tokens = 0.0;
        }
    }

    fn bucket(&self, direction: Direction) -> &Mutex<Bucket> {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    fn try_take(&self, direction: Direction, bytes: usize) -> Result<(), Duration> {
        self.bucket(direction).lock().take(bytes as u64, self.clock.monotonic())
    }

    fn take(&self, direction: Direction, bytes: usize) {
        while let Err(wait) = self.try_take(direction, bytes) {
            self.clock.sleep(wait.min(NAP));
        }
    }

    async fn pass(&self, direction: Direction, bytes: usize) {
        while let Err(wait) = self.try_take(direction, bytes) {
            tokio::time::sleep(wait.min(NAP)).await;
        }
    }
}

/// A limit, if there is one, for what sends and receives in pieces.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace(pub(crate) Option<Arc<Limiter>>);

impl Pace {
    /// Waits until `bytes` may pass.
    pub(crate) async fn pass(&self, direction: Direction, bytes: usize) {
        if let Some(limiter) = &self.0 {
            limiter.pass(direction, bytes).await;
        }
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("up", &self.up.lock().rate).field("down", &self.down.lock().rate).finish()
    }
}

/// A backend with limited bandwidth, counted by whole files and parts.
pub struct Limit<B> {
    inner: B,
    limiter: Arc<Limiter>,
}

impl<B: Backend> Limit<B> {
    /// Wraps `inner`.
    pub fn new(inner: B, limiter: Arc<Limiter>) -> Limit<B> {
        Limit { inner, limiter }
    }
}

impl<B: Backend> Backend for Limit<B> {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn connections(&self) -> usize {
        self.inner.connections()
    }
    fn create(&self) -> Result<()> {
        self.inner.create()
    }
    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        self.inner.list(kind)
    }
    fn size(&self, file: &FileName) -> Result<u64> {
        self.inner.size(file)
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        // How many bytes come is known afterwards: whoever comes next waits for them.
        self.limiter.take(Direction::Down, 0);
        self.inner.read(file, part, into)?;
        self.limiter.take(Direction::Down, into.len());
        Ok(())
    }
    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        self.limiter.take(Direction::Up, content.len());
        self.inner.write(file, content)
    }
    fn remove(&self, file: &FileName) -> Result<()> {
        self.inner.remove(file)
    }
    fn replace_config(&self, content: &[u8]) -> Result<()> {
        self.limiter.take(Direction::Up, content.len());
        self.inner.replace_config(content)
    }
    fn hint(&self, hint: Hint<'_>) {
        self.inner.hint(hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Jumping;
    use crate::{Id, Memory};

    fn pack(number: u8) -> (FileName, Vec<u8>) {
        let content = vec![number; 1_000_000];
        (FileName::new(FileKind::Pack, Id::of(&content)), content)
    }

    fn limited(rate: u64) -> (Limit<Memory>, Arc<Limiter>, Arc<Jumping>) {
        let clock = Arc::new(Jumping::default());
        let limiter = Arc::new(Limiter::new(Arc::clone(&clock) as _, NonZeroU64::new(rate), NonZeroU64::new(rate)));
        let limit = Limit::new(Memory::new(), Arc::clone(&limiter));
        limit.create().unwrap();
        (limit, limiter, clock)
    }

    #[test]
    fn ten_megabytes_at_one_per_second_take_nine_to_ten_seconds() {
        let (limit, _, clock) = limited(1_000_000);
        for number in 0..10 {
            let (file, content) = pack(number);
            limit.write(&file, &content).unwrap();
        }
        let took = clock.monotonic().as_secs_f64();
        assert!((9.0..10.1).contains(&took), "{took}");
    }

    /// F38: restic's limit was lost after a day. Here it holds after days of work, and pauses save nothing up.
    #[test]
    fn a_limit_holds_for_days() {
        let (limit, _, clock) = limited(1_000_000);
        let (file, content) = pack(1);
        for hour in 0..72 {
            clock.sleep(Duration::from_secs(3600));
            let before = clock.monotonic();
            (0..20).for_each(|_| limit.write(&file, &content).unwrap());
            let took = (clock.monotonic() - before).as_secs_f64();
            assert!((18.0..20.1).contains(&took), "{took} seconds after {hour} hours");
        }
    }

    #[test]
    fn a_limit_that_is_lifted_lets_everything_pass_at_once() {
        let (limit, limiter, clock) = limited(1000);
        let (file, content) = pack(1);
        limit.write(&file, &content).unwrap();
        limiter.set_upload(None);
        let (file, content) = pack(2);
        limit.write(&file, &content).unwrap();
        assert!(clock.monotonic().as_secs() < 1);
    }

    #[test]
    fn a_new_limit_holds_for_the_next_byte() {
        let (limit, limiter, clock) = limited(1_000_000);
        limiter.set_download(NonZeroU64::new(100_000));
        let (file, content) = pack(1);
        limit.write(&file, &content).unwrap();
        for _ in 0..3 {
            limit.read(&file, Part::Whole, &mut Vec::new()).unwrap();
        }
        let took = clock.monotonic().as_secs_f64();
        assert!((19.0..30.1).contains(&took), "{took}");
    }
}
