//! What the repository knows of the lock under which it works.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Held;
use crate::Result;

/// The lock under which a repository's writers work, if they do under one.
#[derive(Default)]
pub struct Guard {
    held: Mutex<Option<Arc<Held>>>,
}

impl Guard {
    /// An error once the lock was lost. One that is overdue is proved and renewed first.
    pub(crate) fn check(&self) -> Result<()> {
        let held = self.held.lock().clone();
        held.map_or(Ok(()), |held| held.prove())
    }
}
