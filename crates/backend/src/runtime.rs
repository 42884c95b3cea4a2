//! The hidden runtime that asynchronous libraries run on. It starts with the first backend that needs it.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

/// A request that makes no progress for this long has failed, unless the user says otherwise. Long, because a slow
/// server may hash and flush a whole pack before it answers; a dead connection is found by the system's own timeouts
/// long before.
pub(crate) const STUCK: Duration = Duration::from_secs(300);

tokio::task_local! {
    static PATIENCE: Duration;
}

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2).max_blocking_threads(4).thread_name("stead-net").enable_all();
    builder.build().expect("a runtime of two threads starts")
});

/// Waits for a future. Must not be called from within a future.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    RUNTIME.block_on(future)
}

/// As [`block_on`]; each step of the future that is [`in_time`] has to show progress within `patience`.
pub(crate) fn block_on_patiently<F: Future>(patience: Duration, future: F) -> F::Output {
    RUNTIME.block_on(PATIENCE.scope(patience, future))
}

/// How long a step may show no progress: what [`block_on_patiently`] was told, else [`STUCK`].
pub(crate) fn patience() -> Duration {
    PATIENCE.try_with(|patience| *patience).unwrap_or(STUCK)
}

/// Enters the runtime, so that what needs one can be created.
pub(crate) fn enter() -> tokio::runtime::EnterGuard<'static> {
    RUNTIME.enter()
}

/// Waits for a future that has to show progress within our [`patience`].
pub(crate) async fn in_time<F: Future>(future: F) -> Result<F::Output, Stuck> {
    let patience = patience();
    tokio::time::timeout(patience, future).await.map_err(|_| Stuck(patience))
}

/// Nothing happened for too long.
#[derive(Debug, thiserror::Error)]
#[error("no progress for {} seconds", .0.as_secs_f64())]
pub(crate) struct Stuck(pub(crate) Duration);
