//! Road: the network that requests travel on. Whoever notices that it is another one says so, and requests that were on
//! their way need not wait for answers that cannot come any more.

use std::sync::Arc;

use tokio::sync::watch;

/// The network that requests travel on; clones are the same road.
#[derive(Clone, Debug)]
pub struct Road(Arc<watch::Sender<()>>);

impl Default for Road {
    fn default() -> Road {
        Road(Arc::new(watch::Sender::new(())))
    }
}

impl Road {
    /// The network is another one: connections are made anew, and requests that make no progress for ten seconds from now
    /// on have failed.
    pub fn moved(&self) {
        self.0.send_replace(());
    }

    /// Notices moves from now on.
    pub(crate) fn notices(&self) -> Notices {
        Notices(Some(self.0.subscribe()))
    }
}

/// Notices when the road is another one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notices(Option<watch::Receiver<()>>);

impl Notices {
    /// Of a road, if there is one to look at.
    pub(crate) fn of(road: Option<&Road>) -> Notices {
        road.map(Road::notices).unwrap_or_default()
    }

    /// Whether it moved since this was asked last.
    pub(crate) fn moved(&mut self) -> bool {
        let Some(receiver) = &mut self.0 else { return false };
        let moved = receiver.has_changed().unwrap_or(false);
        receiver.mark_unchanged();
        moved
    }

    /// Waits until it has moved: for ever where nobody says so.
    pub(crate) async fn until_moved(mut self) {
        let Some(receiver) = &mut self.0 else { return std::future::pending().await };
        if receiver.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_noticed_once_by_everybody_who_was_there_before_it() {
        let road = Road::default();
        let mut early = road.notices();
        road.clone().moved();
        assert_eq!((early.moved(), early.moved(), road.notices().moved()), (true, false, false));
        assert!(!Notices::of(None).moved());
    }
}
