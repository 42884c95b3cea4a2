//! Bounds the memory of files that must be whole in memory, for storage that takes no pieces: who comes too many waits.

use parking_lot::{Condvar, Mutex};

/// So many bytes at once.
pub(crate) struct Turnstile {
    free: Mutex<u64>,
    most: u64,
    changed: Condvar,
}

/// Bytes that somebody holds.
pub(crate) struct Pass<'t> {
    turnstile: &'t Turnstile,
    bytes: u64,
}

impl Turnstile {
    pub(crate) fn new(most: u64) -> Turnstile {
        Turnstile { free: Mutex::new(most), most, changed: Condvar::new() }
    }

    /// Waits until `bytes` are free. Whoever wants more than there are at all gets all, alone.
    pub(crate) fn enter(&self, bytes: u64) -> Pass<'_> {
        let bytes = bytes.min(self.most);
        let mut free = self.free.lock();
        while *free < bytes {
            self.changed.wait(&mut free);
        }
        *free -= bytes;
        Pass { turnstile: self, bytes }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        *self.turnstile.free.lock() += self.bytes;
        self.turnstile.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    #[test]
    fn never_more_than_allowed_and_everybody_gets_through() {
        let (turnstile, inside, most) = (Turnstile::new(100), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for number in 0..40_u64 {
                let (turnstile, inside, most) = (&turnstile, &inside, &most);
                scope.spawn(move || {
                    let bytes = if number % 10 == 0 { 1000 } else { 30 };
                    let _pass = turnstile.enter(bytes);
                    most.fetch_max(inside.fetch_add(bytes.min(100), SeqCst) + bytes.min(100), SeqCst);
                    std::thread::yield_now();
                    inside.fetch_sub(bytes.min(100), SeqCst);
                });
            }
        });
        assert!(most.load(SeqCst) <= 100);
        assert_eq!(*turnstile.free.lock(), 100);
    }
}
