//! A crew of threads that works through a list: for files that come from slow storage, several at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Applies `work` to all items on up to `threads` threads; the results are in the order of the items.
pub(crate) fn map<T: Sync, R: Send>(items: &[T], threads: usize, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let results = Mutex::new(Vec::with_capacity(items.len()));
    each(items, threads, |at, item| {
        let result = work(item);
        results.lock().push((at, result));
    });
    let mut results = results.into_inner();
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Applies `work` to all items and their positions on up to `threads` threads, in no order.
pub(crate) fn each<T: Sync>(items: &[T], threads: usize, work: impl Fn(usize, &T) + Sync) {
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some((at, item)) = take(items, &next) {
            work(at, item);
        }
    };
    let threads = threads.min(items.len());
    if threads <= 1 {
        return run();
    }
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(run);
        }
    });
}

fn take<'i, T>(items: &'i [T], next: &AtomicUsize) -> Option<(usize, &'i T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    items.get(at).map(|item| (at, item))
}

/// As many threads as help for reading and decoding files from storage that takes `connections` requests at once.
pub(crate) fn size(connections: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    connections.max(cores)
}

#[cfg(test)]
mod tests {
    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let squares: Vec<u64> = items.iter().map(|n| n * n).collect();
        assert_eq!(super::map(&items, 7, |n| n * n), squares);
        assert!(super::map(&items[..0], 7, |n| n * n).is_empty());
    }
}
