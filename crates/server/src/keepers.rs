//! Keepers, asked: somebody wants to know something of a machine's repository, and the keeper that has its key answers at
//! once or not at all. Whoever does not wait any more is forgotten; downloads stream and are stored nowhere. A keeper that is
//! connected to another server is asked by way of that.

mod elsewhere;
mod frame;
pub(crate) mod relay;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::wire::keeper::{Answer, Kept, Question, ToKeeper};
use axum::body::Bytes;
use fleet::MachineId;
use parking_lot::Mutex;
use store::SealedKey;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::app::App;
use crate::calls::Keeper;
use crate::calls::line::Line;
use crate::problem::Problem;

/// How long an answer, and a browser that does not read, is waited for.
const PATIENCE: Duration = Duration::from_secs(25);
const SLOW_READER: Duration = Duration::from_secs(20);

/// Pieces of a download that wait for the browser.
const PIECES: usize = 16;

/// Questions that one keeper has at once.
const MOST: usize = 256;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unanswered {
    /// No keeper has the machine's key.
    #[error("No keeper has this machine's key, so nobody but the machine itself can look into its backups.")]
    NoKey,
    /// The keeper that has it is not connected to any server.
    #[error("The keeper that has this machine's key is not connected now.")]
    Away,
    /// It is connected to a server that does not have our key.
    #[error(
        "The keeper is connected to another server of this database, and that has another key. Start all of them with \
         the same file as --server-key."
    )]
    OtherKey,
    /// It has too much to answer.
    #[error("The keeper is asked too much at once. Try again in a minute.")]
    Busy,
    /// It did not answer in time.
    #[error("The keeper did not answer in time. Large repositories take longer at the first look: try again.")]
    Late,
    /// It says why not.
    #[error("The keeper cannot answer: {0}.")]
    Cannot(String),
    /// The database did not answer.
    #[error("the database did not answer")]
    Store(#[from] store::Error),
    /// Something of this server is broken.
    #[error("this server is broken")]
    Broken(Problem),
}

impl Unanswered {
    /// Whether it has nothing to do with the keeper.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self, Unanswered::Store(_) | Unanswered::Broken(_))
    }
}

impl From<Unanswered> for Problem {
    fn from(why: Unanswered) -> Problem {
        match why {
            Unanswered::Store(error) => error.into(),
            Unanswered::Broken(problem) => problem,
            why => Problem::Conflict(why.to_string()),
        }
    }
}

/// A download that has begun.
pub(crate) struct Download {
    /// What to call it.
    pub(crate) name: String,
    /// Its bytes, if they are known.
    pub(crate) size: Option<u64>,
    /// What comes.
    pub(crate) pieces: mpsc::Receiver<Piece>,
    /// Tells the keeper when nobody reads any more.
    pub(crate) asked: Asked,
}

/// What comes of a download. Without an end it is broken off.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes.
    Bytes(Bytes),
    /// All was sent.
    End,
}

/// Asks the keeper that has a machine's key.
pub(crate) async fn ask(app: &App, machine: MachineId, question: Question) -> Result<Answer, Unanswered> {
    let Begun { asked: _asked, answer, pieces: _ } = begin(app, machine, question).await?;
    receive(answer).await
}

/// Begins to download a file, or a folder as a tar archive.
pub(crate) async fn fetch(app: &App, machine: MachineId, question: Question) -> Result<Download, Unanswered> {
    let Begun { asked, answer, pieces } = begin(app, machine, question).await?;
    match receive(answer).await? {
        Answer::Fetching { name, size } => Ok(Download { name, size, pieces, asked }),
        _ => Err(Unanswered::Cannot("it answered something else".into())),
    }
}

/// A machine and its sealed key, as keepers are told.
pub(crate) fn kept(machine: MachineId, sealed: SealedKey) -> Kept {
    Kept { machine, name: sealed.name, sealed: hex::encode(sealed.key), client: Some(sealed.client) }
}

type Told = oneshot::Receiver<Result<Answer, Unanswered>>;

/// A question that was asked, and what will come of it.
struct Begun {
    asked: Asked,
    answer: Told,
    pieces: mpsc::Receiver<Piece>,
}

async fn begin(app: &App, machine: MachineId, question: Question) -> Result<Begun, Unanswered> {
    let system = app.store.system();
    let mut why = Unanswered::NoKey;
    let mut away = None;
    for known in system.keepers().await? {
        let Some(sealed) = system.sealed_to(machine, &known.public).await? else { continue };
        if let Some(keeper) = app.calls.keepers.of(known.id) {
            return here(keeper, kept(machine, sealed), question);
        }
        why = Unanswered::Away;
        if system.keeper_is_elsewhere(known.id, app.calls.relays.server, app.now()).await? {
            away = Some(known.id);
        }
    }
    let Some(keeper) = away else { return Err(why) };
    elsewhere::begin(app, keeper, machine, question).await
}

/// Asks a keeper on one of our own lines.
fn here(keeper: Arc<Keeper>, machine: Kept, question: Question) -> Result<Begun, Unanswered> {
    let (number, answer, pieces) = keeper.asks.add().ok_or(Unanswered::Busy)?;
    keeper.line.say(&ToKeeper::Ask { ask: number, machine, question });
    let keeper: Arc<dyn Forgets> = keeper;
    Ok(Begun { asked: Asked { keeper, number }, answer, pieces })
}

async fn receive(answer: Told) -> Result<Answer, Unanswered> {
    match timeout(PATIENCE, answer).await {
        Err(_) => Err(Unanswered::Late),
        Ok(Err(_)) => Err(Unanswered::Away),
        Ok(Ok(answer)) => answer,
    }
}

/// A question that is asked; dropped, it is forgotten.
pub(crate) struct Asked {
    keeper: Arc<dyn Forgets>,
    number: u64,
}

trait Forgets: Send + Sync {
    fn forget(&self, number: u64);
}

impl Forgets for Keeper {
    fn forget(&self, number: u64) {
        if self.asks.0.lock().waiting.remove(&number).is_some() {
            self.line.say(&ToKeeper::Forget { ask: number });
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.keeper.forget(self.number);
    }
}

/// What a keeper is asked, and who waits.
#[derive(Default)]
pub(crate) struct Asks(Mutex<Book>);

#[derive(Default)]
struct Book {
    last: u64,
    waiting: BTreeMap<u64, Waiting>,
}

struct Waiting {
    answer: Option<oneshot::Sender<Result<Answer, Unanswered>>>,
    pieces: mpsc::Sender<Piece>,
}

impl Asks {
    /// A new question's number, its answer, and what is sent after that; none: there are too many.
    fn add(&self) -> Option<(u64, Told, mpsc::Receiver<Piece>)> {
        let mut book = self.0.lock();
        if book.waiting.len() >= MOST {
            return None;
        }
        let ((answer, told), (pieces, coming)) = (oneshot::channel(), mpsc::channel(PIECES));
        book.last += 1;
        let number = book.last;
        book.waiting.insert(number, Waiting { answer: Some(answer), pieces });
        Some((number, told, coming))
    }

    /// The keeper answers. To what nobody waits for it may.
    pub(crate) async fn answer(&self, number: u64, answer: Result<Answer, String>) {
        if let Ok(Answer::Fetched) = answer {
            let pieces = self.0.lock().waiting.remove(&number).map(|waiting| waiting.pieces);
            if let Some(pieces) = pieces {
                _ = timeout(SLOW_READER, pieces.send(Piece::End)).await;
            }
            return;
        }
        let mut book = self.0.lock();
        let goes_on = matches!(answer, Ok(Answer::Fetching { .. }));
        let told = book.waiting.get_mut(&number).and_then(|waiting| waiting.answer.take());
        if !goes_on {
            book.waiting.remove(&number);
        }
        drop(book);
        if let Some(told) = told {
            let cannot = |why: String| Unanswered::Cannot(why.trim_end_matches('.').to_owned());
            _ = told.send(answer.map_err(cannot));
        }
    }

    /// A piece of a download: 8 bytes of the question's number, then bytes. A reader that does not read is waited for,
    /// and so is the keeper; for long it is not.
    pub(crate) async fn piece(&self, line: &Line, mut bytes: Bytes) {
        let Some(number) = bytes.first_chunk::<8>().map(|number| u64::from_be_bytes(*number)) else { return };
        let bytes = bytes.split_off(8);
        let pieces = self.0.lock().waiting.get(&number).map(|waiting| waiting.pieces.clone());
        let Some(pieces) = pieces else { return };
        if !matches!(timeout(SLOW_READER, pieces.send(Piece::Bytes(bytes))).await, Ok(Ok(())))
            && self.0.lock().waiting.remove(&number).is_some()
        {
            line.say(&ToKeeper::Forget { ask: number });
        }
    }

    /// The keeper is gone: nobody waits any more.
    pub(crate) fn end(&self) {
        self.0.lock().waiting.clear();
    }
}
