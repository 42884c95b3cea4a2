//! Line: one connection after its greeting. What goes out waits in a queue that ends; who is too slow to read it, says
//! nothing for long, or says too much, is hung up on.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket};
use futures_util::{SinkExt, StreamExt};
use governor::clock::{Clock as _, DefaultClock};
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::app::App;

/// Messages that wait to go out.
const WAITING: usize = 256;

/// How long one message may take to go out, and how long nothing may come in.
const SEND: Duration = Duration::from_secs(30);
const SILENCE: Duration = Duration::from_secs(3 * super::BEAT as u64 + 10);

/// Texts each second, and at once; more are read later.
const EACH_SECOND: u32 = 100;
const AT_ONCE: u32 = 1_000;

/// The end of a line that we hold.
pub(crate) struct Line {
    out: mpsc::Sender<Message>,
    over: watch::Sender<bool>,
}

/// What came in.
pub(crate) enum Said {
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Bytes),
}

/// The line is to end.
pub(crate) struct HangUp;

/// Who listens.
pub(crate) trait Hears: Send + Sync {
    /// Bytes of a message that are taken.
    const LARGEST: usize;

    /// Something was said.
    fn hear(&self, said: Said) -> impl Future<Output = Result<(), HangUp>> + Send;
}

impl Line {
    /// A line, and what is to go out by it.
    pub(crate) fn new() -> (Line, mpsc::Receiver<Message>) {
        let (out, waiting) = mpsc::channel(WAITING);
        (Line { out, over: watch::Sender::new(false) }, waiting)
    }

    /// Says something. Who does not read is hung up on.
    pub(crate) fn say<T: Serialize>(&self, message: &T) {
        let said = api::wire::written(message).ok().map(|text| self.out.try_send(Message::text(text)));
        if !matches!(said, Some(Ok(()))) {
            self.hang_up();
        }
    }

    /// Ends the line.
    pub(crate) fn hang_up(&self) {
        self.over.send_replace(true);
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    /// Returns when it has ended.
    pub(crate) async fn over(&self) {
        _ = self.over.subscribe().wait_for(|over| *over).await;
    }
}

/// Carries what is said, both ways, until either end has enough or the server stops.
pub(crate) async fn carry<H: Hears>(
    app: &App,
    socket: WebSocket,
    line: &Line,
    mut waiting: mpsc::Receiver<Message>,
    hears: &H,
) {
    let (mut out, mut coming) = socket.split();
    let write = async {
        while let Some(message) = waiting.recv().await {
            if !matches!(timeout(SEND, out.send(message)).await, Ok(Ok(()))) {
                return;
            }
        }
    };
    let read = async {
        let pace = Pace::default();
        while let Ok(Some(Ok(message))) = timeout(SILENCE, coming.next()).await {
            let said = match message {
                Message::Text(text) if text.len() <= H::LARGEST => Said::Text(text.as_str().to_owned()),
                Message::Binary(bytes) if bytes.len() <= H::LARGEST => Said::Bytes(bytes),
                Message::Ping(_) | Message::Pong(_) => continue,
                _ => return,
            };
            if matches!(said, Said::Text(_)) {
                pace.keep().await;
            }
            if hears.hear(said).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
        () = line.over() => {}
        () = app.clone().stopped() => {}
    }
    line.hang_up();
    _ = timeout(Duration::from_secs(1), out.close()).await;
}

/// How fast texts are read.
struct Pace(RateLimiter<NotKeyed, InMemoryState, DefaultClock>);

impl Default for Pace {
    fn default() -> Pace {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        Pace(RateLimiter::direct(Quota::per_second(number(EACH_SECOND)).allow_burst(number(AT_ONCE))))
    }
}

impl Pace {
    async fn keep(&self) {
        while let Err(early) = self.0.check() {
            tokio::time::sleep(early.wait_time_from(DefaultClock::default().now())).await;
        }
    }
}

/// Who is connected: one line for each identity.
pub(crate) struct Lines<K, L>(Mutex<BTreeMap<K, Arc<L>>>);

impl<K, L> Default for Lines<K, L> {
    fn default() -> Lines<K, L> {
        Lines(Mutex::default())
    }
}

impl<K: Ord + Copy, L: AsRef<Line>> Lines<K, L> {
    /// Puts a line there, and ends the one that was.
    pub(crate) fn put(&self, who: K, line: Arc<L>) {
        if let Some(older) = self.0.lock().insert(who, line) {
            (*older).as_ref().hang_up();
        }
    }

    /// Takes a line away, if it is still this one.
    pub(crate) fn remove(&self, who: K, line: &Arc<L>) {
        let mut lines = self.0.lock();
        if lines.get(&who).is_some_and(|there| Arc::ptr_eq(there, line)) {
            lines.remove(&who);
        }
    }

    /// The line of somebody.
    pub(crate) fn of(&self, who: K) -> Option<Arc<L>> {
        self.0.lock().get(&who).cloned()
    }

    /// All lines.
    pub(crate) fn all(&self) -> Vec<Arc<L>> {
        self.0.lock().values().cloned().collect()
    }
}
