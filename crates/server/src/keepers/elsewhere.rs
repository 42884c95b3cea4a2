//! Elsewhere: a question to a keeper that is connected to another server of this database. It waits there as rows until that
//! server takes it, and is removed when nobody waits any more.

use std::sync::Arc;
use std::time::Duration;

use api::wire::keeper::{Answer, Question};
use fleet::MachineId;
use jiff::{SignedDuration, Timestamp};
use store::{KeeperId, Relay, RelayId, RelayState};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, timeout};

use super::frame::{Frame, Inquiry};
use super::{Asked, Begun, Forgets, PIECES, Piece, SLOW_READER, Unanswered};
use crate::app::App;

/// How often it is looked for what has come.
const LOOK: Duration = Duration::from_millis(100);

/// How long nobody may take a question, and how long whoever took it may be silent.
const UNTAKEN: Duration = Duration::from_secs(5);
const SILENT: Duration = Duration::from_secs(30);

/// When a question is removed of which we say nothing, and how often we do.
const ENDS: SignedDuration = SignedDuration::from_mins(10);
const KEEP: Duration = Duration::from_secs(60);

/// After the database did not answer.
const PAUSE: Duration = Duration::from_secs(1);

fn ends(now: Timestamp) -> Timestamp {
    now.checked_add(ENDS).unwrap_or(now)
}

/// Asks a keeper by way of the server that it is connected to.
pub(super) async fn begin(
    app: &App,
    keeper: KeeperId,
    machine: MachineId,
    question: Question,
) -> Result<Begun, Unanswered> {
    let place = Arc::clone(&app.calls.relays.places).try_acquire_owned().map_err(|_| Unanswered::Busy)?;
    let id = RelayId::made(app.now(), app.random().map_err(Unanswered::Broken)?);
    let question = Inquiry { machine, question }.sealed(&app.seal, id).map_err(Unanswered::Broken)?;
    app.store.system().relay(&Relay { id, keeper, question }, ends(app.now())).await?;
    let ((answer, told), (pieces, coming)) = (oneshot::channel(), mpsc::channel(PIECES));
    let (leave, left) = watch::channel(false);
    let waiting = Waiting {
        app: app.clone(),
        id,
        answer: Some(answer),
        pieces,
        next: 0,
        state: RelayState::Waits,
        changed: Instant::now(),
        kept: Instant::now(),
        _place: place,
    };
    tokio::spawn(waiting.until(left));
    Ok(Begun { asked: Asked { keeper: Arc::new(Leaves(leave)), number: 0 }, answer: told, pieces: coming })
}

/// Tells that nobody waits any more.
struct Leaves(watch::Sender<bool>);

impl Forgets for Leaves {
    fn forget(&self, _number: u64) {
        self.0.send_replace(true);
    }
}

/// Somebody waits for what comes.
struct Waiting {
    app: App,
    id: RelayId,
    answer: Option<oneshot::Sender<Result<Answer, Unanswered>>>,
    pieces: mpsc::Sender<Piece>,
    /// The number of the next piece.
    next: u64,
    /// What was known last of the other server, and since when.
    state: RelayState,
    changed: Instant,
    /// When we said last that we wait.
    kept: Instant,
    _place: OwnedSemaphorePermit,
}

impl Waiting {
    async fn until(mut self, mut left: watch::Receiver<bool>) {
        let (app, id) = (self.app.clone(), self.id);
        tokio::select! {
            _ = left.wait_for(|left| *left) => {}
            () = app.clone().stopped() => {}
            () = self.follow() => {}
        }
        // Where the database does not answer, it is removed when its time is over.
        _ = app.store.system().end_relay(id).await;
    }

    /// Takes what comes until all of it has.
    async fn follow(&mut self) {
        loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) if self.changed.elapsed() < SILENT => sleep(PAUSE).await,
                Err(_) => return,
            }
        }
    }

    /// Takes what has come; false: nothing more will.
    async fn step(&mut self) -> Result<bool, store::Error> {
        let (app, id) = (self.app.clone(), self.id);
        let system = app.store.system();
        if self.kept.elapsed() >= KEEP {
            system.keep_relay(id, ends(app.now())).await?;
            self.kept = Instant::now();
        }
        let come = system.take_pieces(id).await?;
        if come.is_empty() {
            let goes_on = self.judge(system.relay_state(id).await?);
            sleep(LOOK).await;
            return Ok(goes_on);
        }
        for (number, sealed) in come {
            if !self.take(number, &sealed).await {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether something may still come.
    fn judge(&mut self, state: RelayState) -> bool {
        if state != self.state {
            (self.state, self.changed) = (state, Instant::now());
        }
        match state {
            RelayState::Gone => false,
            RelayState::Closed => self.tell(Err(Unanswered::OtherKey)),
            RelayState::Waits => self.changed.elapsed() < UNTAKEN || self.tell(Err(Unanswered::Away)),
            RelayState::Heard(_) => self.changed.elapsed() < SILENT,
        }
    }

    /// Tells the answer to whoever asked; true: a download follows.
    fn tell(&mut self, answer: Result<Answer, Unanswered>) -> bool {
        let follows = matches!(answer, Ok(Answer::Fetching { .. }));
        let told = self.answer.take().is_some_and(|waits| waits.send(answer).is_ok());
        told && follows
    }

    /// One piece. One that was seen before, because the database did not say that it was removed, is passed over.
    async fn take(&mut self, number: u64, sealed: &[u8]) -> bool {
        if number < self.next {
            return true;
        }
        let frame = Frame::opened(&self.app.seal, self.id, number, sealed).filter(|_| number == self.next);
        self.next = number.saturating_add(1);
        let piece = match frame {
            Some(Frame::Reply(reply)) => return self.tell(reply.into()),
            Some(Frame::Bytes(bytes)) => Piece::Bytes(bytes),
            Some(Frame::End) => Piece::End,
            Some(Frame::Broken) | None => return false,
        };
        let goes_on = matches!(piece, Piece::Bytes(_));
        matches!(timeout(SLOW_READER, self.pieces.send(piece)).await, Ok(Ok(()))) && goes_on
    }
}
