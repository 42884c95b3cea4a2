//! The hidden runtime that asynchronous libraries run on. It starts with the first backend that needs it.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::road::Notices;

/// A request that makes no progress for this long has failed, unless the user says otherwise. Long, because a slow
/// server may hash and flush a whole pack before it answers; a dead connection is found by the system's own timeouts
/// long before.
pub(crate) const STUCK: Duration = Duration::from_secs(300);

/// The same for what was on its way when the network became another one.
const STUCK_AFTER_MOVE: Duration = Duration::from_secs(10);

tokio::task_local! {
    static PATIENCE: (Duration, Notices);
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
    block_on_road(patience, Notices::default(), future)
}

/// As [`block_on_patiently`], with less patience once the road is another one.
pub(crate) fn block_on_road<F: Future>(patience: Duration, road: Notices, future: F) -> F::Output {
    RUNTIME.block_on(PATIENCE.scope((patience, road), future))
}

/// How long a step may show no progress: what [`block_on_patiently`] was told, else [`STUCK`].
pub(crate) fn patience() -> Duration {
    PATIENCE.try_with(|(patience, _)| *patience).unwrap_or(STUCK)
}

/// Enters the runtime, so that what needs one can be created.
pub(crate) fn enter() -> tokio::runtime::EnterGuard<'static> {
    RUNTIME.enter()
}

/// Waits for a future that has to show progress within our [`patience`].
pub(crate) async fn in_time<F: Future>(future: F) -> Result<F::Output, Stuck> {
    let patience = patience();
    let road = PATIENCE.try_with(|(_, road)| road.clone()).unwrap_or_default();
    tokio::pin!(future);
    tokio::select! {
        biased;
        done = tokio::time::timeout(patience, &mut future) => return done.map_err(|_| Stuck(patience)),
        () = road.until_moved() => {}
    }
    let patience = patience.min(STUCK_AFTER_MOVE);
    tokio::time::timeout(patience, future).await.map_err(|_| Stuck(patience))
}

/// Nothing happened for too long.
#[derive(Debug, thiserror::Error)]
#[error("no progress for {} seconds", .0.as_secs_f64())]
pub(crate) struct Stuck(pub(crate) Duration);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Road;

    #[test]
    fn what_was_on_its_way_when_the_network_became_another_one_is_not_waited_for_long() {
        let road = Road::default();
        let notices = road.notices();
        road.moved();
        let never = async { in_time(std::future::pending::<()>()).await };
        let begin = std::time::Instant::now();
        let stuck = block_on_road(STUCK, notices.clone(), never).unwrap_err();
        assert!(stuck.0 == STUCK_AFTER_MOVE && begin.elapsed() < STUCK / 2, "{stuck}");
        let soon = async { in_time(tokio::time::sleep(Duration::from_millis(50))).await };
        assert!(block_on_road(STUCK, notices, soon).is_ok(), "what still makes progress goes on");
    }
}
