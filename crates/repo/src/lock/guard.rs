//! What a repository knows of the locks under which it is worked on.

use std::sync::Arc;

use backend::Id;
use parking_lot::Mutex;

use super::Held;
use crate::Result;

/// The locks under which a repository's writers work; none is fine.
#[derive(Default)]
pub(crate) struct Guard {
    held: Mutex<Vec<Arc<Held>>>,
}

impl Guard {
    pub(super) fn add(&self, held: &Arc<Held>) {
        self.held.lock().push(Arc::clone(held));
    }

    pub(super) fn remove(&self, held: &Arc<Held>) {
        self.held.lock().retain(|other| !Arc::ptr_eq(other, held));
    }

    /// The newest lock's file.
    pub(crate) fn lock_file(&self) -> Option<Id> {
        self.held.lock().last().map(|held| held.file())
    }

    /// An error once a lock was lost. One that is overdue is proved and renewed first.
    pub(crate) fn check(&self) -> Result<()> {
        let held = self.held.lock().clone();
        held.iter().try_for_each(|held| held.prove())
    }
}
