//! Threads that share a list of work: with [`for_each`] the first error stops all of them and is what the caller gets, with
//! [`map`] every item has its answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use backend::Backend;
use parking_lot::Mutex;

use crate::{Repository, Result};

/// How many threads work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workers(usize);

impl Workers {
    /// As many as there are processors: for work that computes.
    pub(crate) fn processors() -> Workers {
        Workers(std::thread::available_parallelism().map_or(2, usize::from))
    }

    /// As many as the storage likes, at least one per processor: for work that reads and computes.
    pub(crate) fn readers(repo: &Repository) -> Workers {
        Workers(Workers::processors().0.max(repo.backend().connections()).min(32))
    }

    /// As many as the storage likes, at least one per processor: for small files that are fetched and decoded.
    pub(crate) fn decoders(storage: &dyn Backend) -> Workers {
        Workers(Workers::processors().0.max(storage.connections()).min(64))
    }

    /// As many requests as the storage likes at a time: for work that waits.
    pub(crate) fn requests(storage: &dyn Backend) -> Workers {
        Workers(storage.connections().clamp(1, 64))
    }
}

/// Applies `work` to all items; the results are in the order of the items.
pub(crate) fn map<T: Sync, R: Send>(workers: Workers, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let results = Mutex::new(Vec::with_capacity(items.len()));
    let next = AtomicUsize::new(0);
    let run = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else { return };
            let result = work(item);
            results.lock().push((at, result));
        }
    };
    match workers.0.min(items.len()) {
        0 | 1 => run(),
        threads => std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run)))),
    }
    let mut results = results.into_inner();
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Does `work` for every item, in the order of the items but on several threads, each with a value of its own that `make`
/// made.
pub(crate) fn for_each<T: Send, S>(
    workers: Workers,
    items: impl IntoIterator<Item = T, IntoIter: Send>,
    make: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) -> Result<()> + Sync,
) -> Result<()> {
    let items = items.into_iter();
    let threads = workers.0.min(items.size_hint().1.unwrap_or(usize::MAX));
    let items = Mutex::new(Some(items));
    let next = || items.lock().as_mut().and_then(Iterator::next);
    let run = || {
        let mut own = make();
        while let Some(item) = next() {
            if let Err(error) = work(&mut own, item) {
                // Nothing more is handed out: the others finish what they have and stop.
                *items.lock() = None;
                return Err(error);
            }
        }
        Ok(())
    };
    if threads <= 1 {
        return run();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let mut result = Ok(());
        for thread in threads {
            let outcome = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(outcome);
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        let sum = AtomicUsize::new(0);
        for_each(
            Workers(4),
            0..1000,
            || (),
            |(), item| {
                sum.fetch_add(item, Ordering::Relaxed);
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(sum.into_inner(), 499_500);
    }

    #[test]
    fn the_first_error_stops_the_rest() {
        let done = AtomicUsize::new(0);
        let outcome = for_each(
            Workers(2),
            0..1_000_000,
            || (),
            |(), item| {
                done.fetch_add(1, Ordering::Relaxed);
                if item == 10 { Err(crate::Error::Cancelled) } else { Ok(()) }
            },
        );
        assert!(matches!(outcome, Err(crate::Error::Cancelled)));
        assert!(done.into_inner() < 1_000_000);
    }

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let squares: Vec<u64> = items.iter().map(|n| n * n).collect();
        assert_eq!(map(Workers(7), &items, |n| n * n), squares);
        assert!(map(Workers(7), &items[..0], |n| n * n).is_empty());
    }
}
