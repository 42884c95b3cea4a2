//! A keeper at work: on the line with its server, with tasks on its desk, answering what is asked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use api::wire;
use api::wire::keeper::{Event, FromKeeper, Kept, Question, ToKeeper, Waited};
use backend::Clock;
use parking_lot::Mutex;
use repo::Cancel;
use repo::lock::LockOwner;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::Message;

use crate::answer::{Asker, Out, answer};
use crate::catalogue::Catalogues;
use crate::desk::Desk;
use crate::home::{self, Home};
use crate::keys::Keys;
use crate::link::{Dial, Line, LinkError, Waits, call};
use crate::memory::{Changes, Memory};
use crate::outlet::Outlet;
use crate::recovery::Sheets;
use crate::sites::Sites;
use crate::status::{self, Contact, Running, Status};
use crate::storage::{Access, Gateway, Stop};
use crate::work::Shop;
use crate::{Error, Result};

/// Questions that are answered at the same time; others wait.
const ANSWERS: usize = 8;

/// Messages that wait for the connection: with pieces of 256 KiB about 2 MiB.
const WAITING: usize = 8;

/// How often it is looked whether there is something else to write down.
const TELLS: Duration = Duration::from_secs(1);

/// A server that was not heard for so many beats is gone.
const MISSED_BEATS: u32 = 3;

/// What a keeper is made of.
pub struct Setup {
    /// Its directory.
    pub home: Home,
    /// Its keys, open.
    pub keys: Keys,
    /// Which server it calls.
    pub dial: Dial,
    /// Its version, for people.
    pub version: String,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who we are, for locks and key files.
    pub owner: LockOwner,
    /// Tasks at the same time, at least one.
    pub workers: usize,
    /// Hears what whoever keeps the keeper should know.
    pub notice: Arc<dyn Fn(Notice<'_>) + Send + Sync>,
}

/// Something that whoever keeps the keeper should know.
#[derive(Clone, Copy, Debug)]
pub enum Notice<'n> {
    /// The server has let the keeper in, as this keeper.
    Welcome(&'n str),
    /// There is no line; it is tried again after the wait.
    Away {
        /// Why.
        error: &'n LinkError,
        /// Until the next call.
        wait: Duration,
    },
    /// Something went wrong that is in no answer.
    Trouble(&'n Error),
}

/// A keeper with everything that outlives a connection.
struct Keeper {
    home: Home,
    dial: Dial,
    version: String,
    notice: Arc<dyn Fn(Notice<'_>) + Send + Sync>,
    sites: Arc<Sites>,
    outlet: Arc<Outlet>,
    desk: Desk,
    answers: Arc<Semaphore>,
    contact: Mutex<Contact>,
    _running: Running,
}

/// How often it is looked whether the keeper shall stop.
const LOOKS: Duration = Duration::from_millis(100);

/// Runs until somebody asks it to stop, on this thread and others. What is in hand then is taken up at the next start.
///
/// # Errors
/// What keeps it from beginning: another keeper runs in its directory, or its memory cannot be read.
pub fn run(setup: Setup, stop: &Cancel) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::file("start a thread for", "the keeper"))?;
    let keeper = Keeper::new(setup)?;
    runtime.block_on(async {
        tokio::select! {
            () = keeper.keep_calling() => {}
            () = keeper.keep_telling() => {}
            () = asked(stop) => {}
        }
    });
    // Whoever still answers a question hears that nobody waits.
    runtime.shutdown_background();
    keeper.desk.close();
    Ok(())
}

async fn asked(stop: &Cancel) {
    while !stop.is_cancelled() {
        tokio::time::sleep(LOOKS).await;
    }
}

/// A connection, and what hangs on it.
struct Session {
    line: Line,
    out: mpsc::Sender<Out>,
    /// Questions that are being answered.
    asked: Arc<Mutex<HashMap<u64, Stop>>>,
    /// The last event that was said.
    last: u64,
    /// When the server was heard last.
    heard: Instant,
}

impl Drop for Session {
    /// Nobody waits for answers any more.
    fn drop(&mut self) {
        self.asked.lock().values().for_each(Stop::ask);
    }
}

impl Keeper {
    fn new(setup: Setup) -> Result<Keeper> {
        let Setup { home, keys, dial, version, clock, owner, workers, notice } = setup;
        let running = Running::begin(&home)?;
        let (memory, sheets) = (Memory::open(&home.memory())?, Sheets::of(&home, &keys));
        sheets.adopt(&memory)?;
        let shop = Arc::new(Shop {
            memory,
            sheets,
            vault: keys.vault().of("files"),
            secrets: home.destinations(),
            drills: home.drills(),
            catalogues: Catalogues::at(home.catalogue()),
            origin: (owner.hostname.clone(), owner.username.clone()),
        });
        let access = Access { cache: home.cache(), owner, clock };
        let sites = Arc::new(Sites::new(keys, access, Arc::clone(&shop)));
        let outlet = Arc::new(Outlet::new(shop));
        let desk = Desk::open(Arc::clone(&sites), Arc::clone(&outlet), workers)?;
        let answers = Arc::new(Semaphore::new(ANSWERS));
        let contact = Mutex::new(Contact::Calling);
        Ok(Keeper { home, dial, version, notice, sites, outlet, desk, answers, contact, _running: running })
    }

    async fn keep_calling(&self) {
        let mut waits = Waits::new();
        loop {
            let error = match call(&self.dial, &self.sites.keys, &self.sites.shop.memory, &self.version).await {
                Ok(line) => {
                    (self.notice)(Notice::Welcome(&line.welcome.you));
                    *self.contact.lock() = Contact::Connected;
                    waits = Waits::new();
                    self.talk(line).await
                }
                Err(error) => error,
            };
            *self.contact.lock() = Contact::Apart(error.to_string());
            let wait = waits.next();
            (self.notice)(Notice::Away { error: &error, wait });
            tokio::time::sleep(wait).await;
        }
    }

    /// Writes down what the keeper does, whenever that is something else.
    async fn keep_telling(&self) {
        let mut said = None;
        loop {
            let (waiting, busy) = self.desk.status();
            let status = (self.contact.lock().clone(), waiting, busy);
            if said.as_ref() != Some(&status) {
                let (contact, waiting, busy) = status.clone();
                let written = status::write(&self.home, &Status { at: self.sites.now(), contact, waiting, busy });
                if let Err(error) = written {
                    (self.notice)(Notice::Trouble(&error));
                }
                said = Some(status);
            }
            tokio::time::sleep(TELLS).await;
        }
    }

    /// Talks until the line ends, and says why it did.
    async fn talk(&self, line: Line) -> LinkError {
        let beat = Duration::from_secs(line.welcome.beat.clamp(1, 3_600).into());
        let (out, mut waiting) = mpsc::channel(WAITING);
        let mut session = Session { line, out, asked: Arc::default(), last: 0, heard: Instant::now() };
        let mut beats = interval(beat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut done = self.say_news(&mut session).await;
        while done.is_ok() {
            done = tokio::select! {
                heard = session.line.hear() => self.hear(&mut session, heard),
                () = self.outlet.news() => self.say_news(&mut session).await,
                Some(out) = waiting.recv() => session.send(out).await,
                _ = beats.tick() => session.beat(beat, self.sites.now()).await,
            };
        }
        done.err().unwrap_or(LinkError::Ended)
    }

    async fn say_news(&self, session: &mut Session) -> std::result::Result<(), LinkError> {
        for text in self.outlet.take(&mut session.last)? {
            session.line.say(Message::text(text)).await?;
        }
        Ok(())
    }

    fn hear(
        &self,
        session: &mut Session,
        heard: std::result::Result<Option<String>, LinkError>,
    ) -> std::result::Result<(), LinkError> {
        session.heard = Instant::now();
        let Some(text) = heard? else { return Ok(()) };
        let message = wire::read::<ToKeeper>(&text).map_err(|error| LinkError::Nonsense(error.to_string()))?;
        let Some(message) = message else { return Ok(self.not_understood(session, &text)?) };
        match message {
            ToKeeper::Gateway { address, authority, account, credential } => {
                let authority = self.note_authority(authority)?;
                self.sites.move_to(Gateway { address, authority, account, credential });
                self.desk.wake();
            }
            ToKeeper::Task { job, machine, work } => self.desk.take(job, machine, work)?,
            ToKeeper::Cancel { job } => self.desk.cancel(job)?,
            ToKeeper::Ask { ask, machine, question } => self.ask(session, ask, machine, question),
            ToKeeper::Forget { ask } => {
                if let Some(stop) = session.asked.lock().remove(&ask) {
                    stop.ask();
                }
            }
            ToKeeper::Heard { number } => self.outlet.heard(number)?,
        }
        Ok(())
    }

    /// What this program does not know was said to a newer one: whoever waits for a task or an answer is told so.
    fn not_understood(&self, session: &Session, text: &str) -> Result<()> {
        let why =
            |what| format!("the keeper's version {} does not understand this {what}: update the keeper", self.version);
        match wire::keeper::waited_for(text) {
            Some(Waited::Task(job)) => {
                self.outlet.happened(&Event::Declined { job, why: why("task") }, Changes::default())
            }
            Some(Waited::Question(ask)) => {
                if let Ok(text) = wire::written(&FromKeeper::Answer { ask, answer: Err(why("question")) }) {
                    // Whoever asks more than fits is not answered at all.
                    let _ = session.out.try_send(Out::Text(text));
                }
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn note_authority(&self, pem: Option<String>) -> Result<Option<std::path::PathBuf>> {
        let Some(pem) = pem else { return Ok(None) };
        let path = self.home.authority();
        home::write_private(&path, pem.as_bytes())?;
        Ok(Some(path))
    }

    fn ask(&self, session: &Session, ask: u64, machine: Kept, question: Question) {
        let stop = Stop::default();
        session.asked.lock().insert(ask, stop.clone());
        let (asked, out, sites) = (Arc::clone(&session.asked), session.out.clone(), Arc::clone(&self.sites));
        let answers = Arc::clone(&self.answers);
        tokio::spawn(async move {
            let Ok(_turn) = answers.acquire_owned().await else { return };
            let asker = Asker { ask, out: out.clone(), stop };
            let answered = tokio::task::spawn_blocking(move || answer(&sites, &machine, question, &asker)).await;
            if answered.is_err() {
                let why = Err("the keeper stumbled over this repository".to_owned());
                if let Ok(text) = wire::written(&FromKeeper::Answer { ask, answer: why }) {
                    // Nobody waits if the line has ended.
                    let _ = out.send(Out::Text(text)).await;
                }
            }
            asked.lock().remove(&ask);
        });
    }
}

impl Session {
    async fn send(&mut self, out: Out) -> std::result::Result<(), LinkError> {
        let message = match out {
            Out::Text(text) => Message::text(text),
            Out::Bytes(bytes) => Message::binary(bytes),
        };
        self.line.say(message).await
    }

    /// Says that the keeper is there, and asks whether the server is.
    async fn beat(&mut self, beat: Duration, at: jiff::Timestamp) -> std::result::Result<(), LinkError> {
        if self.heard.elapsed() > beat * MISSED_BEATS {
            return Err(LinkError::Silent);
        }
        let text = wire::written(&FromKeeper::Beat { at }).map_err(|error| LinkError::Nonsense(error.to_string()))?;
        self.line.say(Message::text(text)).await?;
        self.line.say(Message::Ping(Default::default())).await
    }
}
