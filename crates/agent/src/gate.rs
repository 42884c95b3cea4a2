//! Gate: uploads wait before it while the machine's surroundings, or somebody, hold them; nothing is lost meanwhile, and what
//! waits goes on where it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use backend::{Backend, FileInfo, FileKind, FileName, Hint, Part, Result};
use fleet::RunCondition;
use parking_lot::{Condvar, Mutex};

use crate::lanes::{Lane, Lanes};
use crate::running::Stop;
use crate::watch::{Waiter, Watch};

/// How often a request to stop is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What holds uploads, for all runs.
#[derive(Default)]
pub(crate) struct Latch {
    held: Mutex<Option<RunCondition>>,
    changed: Condvar,
    sent: AtomicU64,
}

impl Latch {
    /// Holds uploads for this reason, or lets them go.
    pub(crate) fn set(&self, held: Option<RunCondition>) {
        let mut now = self.held.lock();
        if !is_the_same(now.as_ref(), held.as_ref()) {
            *now = held;
            self.changed.notify_all();
        }
    }

    /// Bytes that went through and that nobody has taken note of.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Bytes that went through since somebody asked last.
    pub(crate) fn take_sent(&self) -> u64 {
        self.sent.swap(0, Relaxed)
    }

    /// Waits until nothing holds, or until somebody stops the run.
    pub(crate) fn pass(&self, watch: &Watch, stop: &Stop) {
        let mut held = self.held.lock();
        while let Some(condition) = held.clone().filter(|_| !stop.is_asked()) {
            watch.wait(Waiter::Gate, condition.clone());
            while held.as_ref() == Some(&condition) && !stop.is_asked() {
                self.changed.wait_for(&mut held, LOOK_EVERY);
            }
            watch.go_on(Waiter::Gate);
        }
    }
}

/// Whether both hold for the same reason, whenever that began.
fn is_the_same(before: Option<&RunCondition>, now: Option<&RunCondition>) -> bool {
    match (before, now) {
        (Some(RunCondition::Waiting { cause, .. }), Some(RunCondition::Waiting { cause: still, .. })) => cause == still,
        (Some(RunCondition::Asleep { .. }), Some(RunCondition::Asleep { .. })) => true,
        (before, now) => before == now,
    }
}

/// Storage behind the gate.
pub(crate) struct Gate<B> {
    pub(crate) inner: B,
    pub(crate) latch: Arc<Latch>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) stop: Stop,
    pub(crate) lanes: Lanes,
}

impl<B> Gate<B> {
    /// Whatever came of a call, storage is not waited for any more.
    fn worked<T>(&self, result: Result<T>) -> Result<T> {
        self.watch.recover();
        result
    }
}

impl<B: Backend> Backend for Gate<B> {
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
        self.worked(self.inner.list(kind))
    }
    fn size(&self, file: &FileName) -> Result<u64> {
        self.worked(self.inner.size(file))
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        self.worked(self.inner.read(file, part, into))
    }
    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        let mut lane = (file.kind == FileKind::Pack).then(|| self.lanes.enter(&self.stop));
        // A lock that is not renewed is lost, and with it the run.
        if file.kind != FileKind::Lock {
            self.latch.pass(&self.watch, &self.stop);
        }
        lane.iter_mut().for_each(Lane::begin);
        self.worked(self.inner.write(file, content))?;
        self.latch.sent.fetch_add(content.len() as u64, Relaxed);
        Ok(())
    }
    fn remove(&self, file: &FileName) -> Result<()> {
        self.inner.remove(file)
    }
    fn replace_config(&self, content: &[u8]) -> Result<()> {
        self.inner.replace_config(content)
    }
    fn hint(&self, hint: Hint<'_>) {
        self.inner.hint(hint);
    }
}

#[cfg(test)]
mod tests {
    use backend::{Id, Memory, SystemClock};
    use fleet::Cause;
    use jiff::Timestamp;

    use super::*;

    fn held() -> Option<RunCondition> {
        Some(RunCondition::Waiting { cause: Cause::Mains, since: Timestamp::UNIX_EPOCH })
    }

    fn gate() -> Gate<Memory> {
        let watch = Arc::new(Watch::new(Arc::new(SystemClock), 1, None));
        let inner = Memory::new();
        inner.create().unwrap();
        Gate { inner, latch: Arc::default(), watch, stop: Stop::default(), lanes: Lanes::default() }
    }

    fn until(fact: impl Fn() -> bool) {
        let begin = std::time::Instant::now();
        while !fact() {
            assert!(begin.elapsed() < Duration::from_secs(30), "it never came");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn an_upload_waits_with_its_reason_and_goes_on_when_it_is_let_go() {
        let gate = gate();
        let file = FileName::new(FileKind::Pack, Id::of(b"pack"));
        gate.latch.set(held());
        std::thread::scope(|scope| {
            let write = scope.spawn(|| gate.write(&file, b"pack"));
            until(|| {
                _ = gate.watch.report();
                gate.watch.progress().words(&fleet::Zone::utc()).contains("waiting for mains power")
            });
            assert!(gate.size(&file).is_err(), "it has not been written");
            gate.latch.set(None);
            write.join().unwrap().unwrap();
        });
        assert_eq!((gate.size(&file).unwrap(), gate.latch.take_sent()), (4, 4));
    }

    #[test]
    fn locks_are_renewed_while_uploads_wait_and_a_stop_is_felt() {
        let gate = gate();
        gate.latch.set(held());
        gate.write(&FileName::new(FileKind::Lock, Id::of(b"lock")), b"lock").unwrap();
        std::thread::scope(|scope| {
            let pass = scope.spawn(|| gate.latch.pass(&gate.watch, &gate.stop));
            gate.stop.ask(None);
            pass.join().unwrap();
        });
    }
}
