//! Locks compatible with restic's: who is at work.

mod guard;

pub(crate) use guard::Guard;

/// Whether others may work beside us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Others may read and add.
    Shared,
    /// Nobody else at all.
    Exclusive,
}

/// A held lock: refreshed in the background, removed when dropped.
pub struct Lock {}

pub(crate) struct Held;

impl Held {
    pub(crate) fn prove(&self) -> crate::Result<()> {
        Ok(())
    }
}
