//! The hidden runtime that asynchronous libraries run on. It starts with the first backend that needs it.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// A request that makes no progress for this long has failed. Long, because a slow server may hash and flush a whole
/// pack before it answers; a dead connection is found by the system's own timeouts long before.
pub(crate) const STUCK: Duration = Duration::from_secs(300);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(4).thread_name("stead-net").enable_all();
    builder.build().expect("a runtime of two threads starts")
});

/// Waits for a future. Must not be called from within a future.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// Enters the runtime, so that what needs one can be created.
pub(crate) fn enter() -> tokio::runtime::EnterGuard<'static> {
    RUNTIME.enter()
}

/// Waits for a future that has to show progress within [`STUCK`].
pub(crate) async fn in_time<F: Future>(future: F) -> Result<F::Output, Stuck> {
    tokio::time::timeout(STUCK, future).await.map_err(|_| Stuck)
}

/// Nothing happened for too long.
#[derive(Debug, thiserror::Error)]
#[error("no progress for {} seconds", STUCK.as_secs())]
pub(crate) struct Stuck;
