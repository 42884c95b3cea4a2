//! Turns at a name: of several threads that write the same file, one does and the others see that it is there. For
//! storages that would replace a file under whoever reads it.

use std::collections::HashSet;

use parking_lot::{Condvar, Mutex};

use crate::FileName;

/// The names that are being written.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Mutex<HashSet<FileName>>,
    freed: Condvar,
}

/// The right to write one name, until dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    file: FileName,
}

impl Turns {
    /// Waits until nobody else writes `file`.
    pub(crate) fn take(&self, file: &FileName) -> Turn<'_> {
        let mut taken = self.taken.lock();
        while !taken.insert(*file) {
            self.freed.wait(&mut taken);
        }
        Turn { turns: self, file: *file }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.turns.taken.lock().remove(&self.file);
        self.turns.freed.notify_all();
    }
}
