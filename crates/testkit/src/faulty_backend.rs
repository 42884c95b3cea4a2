//! A backend that stops working after a number of operations, as if the machine had been switched off there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use backend::{Backend, Class, Error, FileInfo, FileKind, FileName, Part, Result};

/// Which operations count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Every one.
    All,
    /// Writing and removing.
    Changes,
}

/// What happens at the operation after the last good one. Everything after it fails, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not done.
    NotDone,
    /// It is done, but its answer is an error.
    AnswerLost,
}

/// Passes operations on to another backend until the fault.
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    counted: Counted,
    fault: Fault,
    good: u64,
    seen: AtomicU64,
}

impl FaultyBackend {
    /// Lets `good` counted operations pass.
    pub fn new(inner: Arc<dyn Backend>, counted: Counted, fault: Fault, good: u64) -> FaultyBackend {
        FaultyBackend { inner, counted, fault, good, seen: AtomicU64::new(0) }
    }

    /// How many counted operations were asked for.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    fn run<T>(&self, is_change: bool, what: &str, operation: impl FnOnce() -> Result<T>) -> Result<T> {
        if !is_change && self.counted == Counted::Changes {
            return match self.seen() > self.good {
                true => Err(dead(what)),
                false => operation(),
            };
        }
        let before = self.seen.fetch_add(1, Ordering::SeqCst);
        match (before.cmp(&self.good), self.fault) {
            (std::cmp::Ordering::Less, _) => operation(),
            (std::cmp::Ordering::Equal, Fault::AnswerLost) => operation().and_then(|_| Err(dead(what))),
            _ => Err(dead(what)),
        }
    }
}

fn dead(what: &str) -> Error {
    Error::new(Class::Permanent, "reach", what, "the power is off")
}

impl Backend for FaultyBackend {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn connections(&self) -> usize {
        self.inner.connections()
    }

    fn create(&self) -> Result<()> {
        self.run(true, "the repository", || self.inner.create())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        self.run(false, kind.directory(), || self.inner.list(kind))
    }

    fn size(&self, file: &FileName) -> Result<u64> {
        self.run(false, &file.path(), || self.inner.size(file))
    }

    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        self.run(false, &file.path(), || self.inner.read(file, part, into))
    }

    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        self.run(true, &file.path(), || self.inner.write(file, content))
    }

    fn remove(&self, file: &FileName) -> Result<()> {
        self.run(true, &file.path(), || self.inner.remove(file))
    }
}
