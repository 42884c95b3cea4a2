//! Relay: what other servers ask keepers on our lines, asked and handed on. What lies in the database meanwhile is little, and
//! sealed; whoever asked and is not heard any more is forgotten.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use fleet::Uuid;
use store::{KeeperId, Put, Relay, RelayId, Secret};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use super::frame::{Frame, Inquiry};
use super::{Begun, Piece, Unanswered, here, kept, receive};
use crate::app::App;
use crate::observer::Event;
use crate::problem::Problem;

/// How often it is looked for questions, and for what is left of servers that were killed.
const LOOK: Duration = Duration::from_millis(200);
const SWEEP: Duration = Duration::from_secs(60);

/// After the database did not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// How often we say that we still work at a question, and how long nobody may take what we found.
const BEAT: Duration = Duration::from_secs(5);
const UNREAD: Duration = Duration::from_secs(60);

/// How often it is looked whether there is room again.
const ROOM: Duration = Duration::from_millis(50);

/// Pieces of one download that wait in the database, and bytes of one.
const PIECES: u64 = 8;
const BYTES: usize = 512 << 10;

/// Questions of one server that are on their way.
const MOST: usize = 32;

/// What a server needs to ask by way of others.
pub(crate) struct Relays {
    /// Which server this is, as long as its process lives.
    pub(crate) server: Uuid,
    pub(super) places: Arc<Semaphore>,
}

impl Default for Relays {
    fn default() -> Relays {
        let bits = Secret::random().hash().bytes();
        let server = Uuid::from_bytes(*bits.first_chunk().expect("a hash is longer"));
        Relays { server, places: Arc::new(Semaphore::new(MOST)) }
    }
}

/// Answers what other servers ask until this one stops.
pub(crate) async fn run(app: App) {
    let going = async {
        let mut swept = Instant::now();
        loop {
            let sweeps = swept.elapsed() >= SWEEP;
            if let Err(error) = look(&app, sweeps).await {
                tell(&app, error.into());
                sleep(PAUSE).await;
            }
            if sweeps {
                swept = Instant::now();
            }
            sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = app.clone().stopped() => {}
        () = going => {}
    }
}

fn tell(app: &App, problem: Problem) {
    if let Some(words) = problem.for_the_log() {
        app.observe(Event::Problem(words));
    }
}

async fn look(app: &App, sweeps: bool) -> Result<(), store::Error> {
    let system = app.store.system();
    if sweeps {
        system.sweep_relays(app.now()).await?;
    }
    let ours: Vec<KeeperId> = app.calls.keepers.all().iter().map(|keeper| keeper.id).collect();
    if ours.is_empty() {
        return Ok(());
    }
    for relay in system.take_relays(&ours).await? {
        tokio::spawn(Errand { app: app.clone(), id: relay.id, next: 0 }.run(relay));
    }
    Ok(())
}

/// One question that is carried to a keeper and back.
struct Errand {
    app: App,
    id: RelayId,
    /// The number of the next piece.
    next: u64,
}

impl Errand {
    /// Until all is handed on, or nobody waits any more.
    async fn run(mut self, relay: Relay) {
        let app = self.app.clone();
        let beats = beat(&app, relay.id);
        tokio::select! {
            () = beats => {}
            () = app.clone().stopped() => {}
            done = self.answer(&relay) => {
                if let Err(problem) = done {
                    tell(&app, problem);
                }
            }
        }
    }

    async fn answer(&mut self, relay: &Relay) -> Result<(), Problem> {
        let Some(inquiry) = Inquiry::opened(&self.app.seal, self.id, &relay.question) else {
            return Ok(self.app.store.system().close_relay(self.id).await?);
        };
        let begun = match self.begin(relay.keeper, inquiry).await {
            Err(Unanswered::Store(error)) => return Err(error.into()),
            begun => begun,
        };
        let (reply, rest) = match begun {
            Ok(Begun { asked, answer, pieces }) => (receive(answer).await, Some((asked, pieces))),
            Err(why) => (Err(why), None),
        };
        let follows = matches!(reply, Ok(api::wire::keeper::Answer::Fetching { .. }));
        let waits = self.put(Frame::Reply(reply.into())).await?;
        match rest {
            Some((_asked, pieces)) if waits && follows => self.carry(pieces).await,
            _ => Ok(()),
        }
    }

    async fn begin(&self, keeper: KeeperId, inquiry: Inquiry) -> Result<Begun, Unanswered> {
        let Some(keeper) = self.app.calls.keepers.of(keeper) else { return Err(Unanswered::Away) };
        let sealed = self.app.store.system().sealed_to(inquiry.machine, &keeper.public).await?;
        here(keeper, kept(inquiry.machine, sealed.ok_or(Unanswered::NoKey)?), inquiry.question)
    }

    /// Hands a download on, piece by piece.
    async fn carry(&mut self, mut pieces: mpsc::Receiver<Piece>) -> Result<(), Problem> {
        loop {
            match pieces.recv().await {
                Some(Piece::Bytes(bytes)) => {
                    if !self.put_all(bytes).await? {
                        return Ok(());
                    }
                }
                Some(Piece::End) => return self.put(Frame::End).await.map(drop),
                None => return self.put(Frame::Broken).await.map(drop),
            }
        }
    }

    async fn put_all(&mut self, mut bytes: Bytes) -> Result<bool, Problem> {
        while !bytes.is_empty() {
            let some = bytes.split_to(bytes.len().min(BYTES));
            if !self.put(Frame::Bytes(some)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts a piece there as soon as there is room; false: nobody waits any more.
    async fn put(&mut self, frame: Frame) -> Result<bool, Problem> {
        let (begin, number) = (Instant::now(), self.next);
        self.next += 1;
        let sealed = frame.sealed(&self.app.seal, self.id, number)?;
        while begin.elapsed() < UNREAD {
            match self.app.store.system().put_piece(self.id, number, &sealed, PIECES).await? {
                Put::Done => return Ok(true),
                Put::Gone => return Ok(false),
                Put::Full => sleep(ROOM).await,
            }
        }
        Ok(false)
    }
}

/// Says that we are there, until nobody waits any more.
async fn beat(app: &App, id: RelayId) {
    loop {
        sleep(BEAT).await;
        // Where the database does not answer, nothing can be handed on either: that ends it.
        if matches!(app.store.system().relay_goes_on(id).await, Ok(false)) {
            return;
        }
    }
}
