//! Receives a request's body: pieces are collected on the asynchronous side, and hashed and written by threads meanwhile, at
//! most two batches of one body in memory. A body that stands still or crawls is given up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::task::JoinHandle;

use crate::intake::Intake;
use crate::refusal::{Granted, Refusal};
use crate::service::in_thread;
use crate::visit::Visit;

/// Bytes that are handed to a thread at once.
const BATCH: usize = 512 << 10;

/// What a body has to do to be listened to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Some byte has to come within this time.
    pub(crate) standstill: Duration,
    /// On average so many bytes per second have to come, after the first minute.
    pub(crate) slowest: u64,
}

/// After this time the average counts.
const GRACE: Duration = Duration::from_secs(60);

/// So much of a body that is refused is still read, so that a client that sends before it listens hears why.
const HEARD_OUT: usize = 160 << 20;

/// Reads pieces of a body, at its pace.
pub(crate) struct Pieces {
    body: Body,
    pace: Pace,
    begin: Instant,
    received: u64,
}

impl Pieces {
    pub(crate) fn new(body: Body, pace: Pace) -> Pieces {
        Pieces { body, pace, begin: Instant::now(), received: 0 }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Granted<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(self.pace.standstill, self.body.frame()).await;
            let frame = frame.map_err(|_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "nothing came for too long"))?;
            let frame = match frame {
                None => return Ok(None),
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Err(Refusal::new(StatusCode::BAD_REQUEST, "the body ended early")),
            };
            let Ok(piece) = frame.into_data() else { continue };
            self.received += piece.len() as u64;
            self.judge_speed()?;
            return Ok(Some(piece));
        }
    }

    fn judge_speed(&self) -> Granted<()> {
        let elapsed = self.begin.elapsed();
        if elapsed > GRACE && self.received < self.pace.slowest.saturating_mul(elapsed.as_secs()) {
            return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the bytes come too slowly"));
        }
        Ok(())
    }

    /// Reads on without keeping anything, so that the client gets to hear the answer.
    pub(crate) async fn hear_out(mut self) {
        let mut heard = 0;
        while let Ok(Some(piece)) = self.next().await {
            heard += piece.len();
            if heard > HEARD_OUT {
                break;
            }
        }
    }
}

/// Receives a whole body into `intake` and stores it.
pub(crate) async fn receive(pieces: &mut Pieces, intake: Intake, visit: &Arc<Visit>) -> Granted<()> {
    let mut worker = Worker::Idle(Box::new(intake));
    let (mut batch, mut size) = (Vec::new(), 0);
    while let Some(piece) = pieces.next().await? {
        size += piece.len();
        batch.push(piece);
        if size >= BATCH {
            worker = worker.add(std::mem::take(&mut batch)).await?;
            size = 0;
        }
    }
    let intake = worker.idle().await?;
    let visit = Arc::clone(visit);
    in_thread(move || {
        let mut intake = *intake;
        intake.add(&batch)?;
        intake.finish(&visit)
    })
    .await
}

/// Hashes and writes, in a thread while there is something to do; a slow body holds none.
enum Worker {
    Idle(Box<Intake>),
    Busy(JoinHandle<Granted<Box<Intake>>>),
}

impl Worker {
    async fn idle(self) -> Granted<Box<Intake>> {
        match self {
            Worker::Idle(intake) => Ok(intake),
            Worker::Busy(work) => work.await.map_err(|_| Refusal::unavailable("the gateway stops"))?,
        }
    }

    async fn add(self, batch: Vec<Bytes>) -> Granted<Worker> {
        let mut intake = self.idle().await?;
        Ok(Worker::Busy(tokio::task::spawn_blocking(move || {
            intake.add(&batch)?;
            Ok(intake)
        })))
    }
}
