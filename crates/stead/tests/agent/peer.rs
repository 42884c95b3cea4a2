//! A server that speaks the agents' words and can be told to forget, to repeat and to talk nonsense.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::answer::{Enrolled, Enrolment, Problem};
use api::wire::agent::{Event, FromAgent, ToAgent};
use api::wire::duties::Duties;
use api::wire::{self, Challenge, Introduction, Verdict, Welcome};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use fleet::{Report, RunId};
use jiff::Timestamp;
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

/// How long anything may take on a machine that has other things to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The code that lets machines in.
pub(crate) const CODE: &str = "ABCD-EFGH-JKMN";

/// Waits for a fact.
#[track_caller]
pub(crate) fn until<T>(what: &str, fact: impl FnMut() -> Option<T>) -> T {
    let mut fact = fact;
    let begin = Instant::now();
    loop {
        if let Some(found) = fact() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What was heard, and how to answer.
#[derive(Default)]
struct Heard {
    introductions: Vec<Introduction>,
    events: Vec<(u64, Event)>,
    reports: HashMap<RunId, Vec<Report>>,
    beats: usize,
    duties: Option<Duties>,
    enrolments: Vec<Enrolment>,
    enrolled: Option<Enrolled>,
    loses_enrolment: bool,
    is_deaf: bool,
    left: usize,
    connected: usize,
}

/// What goes to whoever is connected.
#[derive(Clone)]
enum Out {
    Said(Box<ToAgent>),
    Raw(String),
    HangUp,
}

struct Shared {
    heard: Mutex<Heard>,
    out: broadcast::Sender<Out>,
}

/// The server.
pub(crate) struct Server {
    shared: Arc<Shared>,
    port: u16,
    _runtime: Runtime,
}

impl Server {
    pub(crate) fn start() -> Server {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let shared = Arc::new(Shared { heard: Mutex::default(), out: broadcast::channel(64).0 });
        let router = Router::new()
            .route("/api/v1/enrol", post(enrol))
            .route(wire::PATH, get(upgrade))
            .with_state(Arc::clone(&shared));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Server { shared, port, _runtime: runtime }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// What it makes of the machine that shows the code.
    pub(crate) fn will_enrol(&self, enrolled: Enrolled) {
        self.heard(|heard| heard.enrolled = Some(enrolled));
    }

    /// The next answer to an enrolment is lost, though the machine has joined.
    pub(crate) fn loses_the_answer(&self) {
        self.heard(|heard| heard.loses_enrolment = true);
    }

    pub(crate) fn enrolments(&self) -> Vec<Enrolment> {
        self.heard(|heard| heard.enrolments.clone())
    }

    /// Duties, now and for every connection.
    pub(crate) fn gives(&self, duties: Duties) {
        self.heard(|heard| heard.duties = Some(duties.clone()));
        _ = self.shared.out.send(Out::Said(Box::new(ToAgent::Duties(Box::new(duties)))));
    }

    /// Says something once somebody is connected.
    pub(crate) fn says(&self, message: ToAgent) {
        self.until_connected();
        _ = self.shared.out.send(Out::Said(Box::new(message)));
    }

    pub(crate) fn says_raw(&self, text: &str) {
        self.until_connected();
        _ = self.shared.out.send(Out::Raw(text.to_owned()));
    }

    pub(crate) fn hangs_up(&self) {
        _ = self.shared.out.send(Out::HangUp);
    }

    /// It hears events and does not say so.
    pub(crate) fn is_deaf(&self, deaf: bool) {
        self.heard(|heard| heard.is_deaf = deaf);
    }

    #[track_caller]
    pub(crate) fn until_connected(&self) {
        until("a connection", || self.heard(|heard| (heard.connected > 0).then_some(())));
    }

    /// How often somebody took leave.
    pub(crate) fn farewells(&self) -> usize {
        self.heard(|heard| heard.left)
    }

    pub(crate) fn introductions(&self) -> Vec<Introduction> {
        self.heard(|heard| heard.introductions.clone())
    }

    /// Events as they came, those that came again too.
    pub(crate) fn all_events(&self) -> Vec<(u64, Event)> {
        self.heard(|heard| heard.events.clone())
    }

    /// Events as a server keeps them: each number once.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = self.all_events();
        events.sort_by_key(|(number, _)| *number);
        events.dedup_by_key(|(number, _)| *number);
        events.into_iter().map(|(_, event)| event).collect()
    }

    pub(crate) fn reports(&self, run: RunId) -> Vec<Report> {
        self.heard(|heard| heard.reports.get(&run).cloned().unwrap_or_default())
    }

    /// Waits for an event.
    #[track_caller]
    pub(crate) fn event<T>(&self, what: &str, pick: impl Fn(&Event) -> Option<T>) -> T {
        until(&format!("{what} among {:?}", self.events()), || self.events().iter().find_map(&pick))
    }

    fn heard<T>(&self, look: impl FnOnce(&mut Heard) -> T) -> T {
        look(&mut self.shared.heard.lock().unwrap())
    }
}

async fn enrol(State(shared): State<Arc<Shared>>, Json(wish): Json<Enrolment>) -> Response {
    let mut heard = shared.heard.lock().unwrap();
    let refused = |status: StatusCode, sentence: &str| {
        let (sentence, meaning, advice) = (sentence.to_owned(), String::new(), "Ask for a new code.".to_owned());
        (status, Json(Problem { status: status.as_u16(), sentence, meaning, advice })).into_response()
    };
    let again = heard.enrolments.iter().any(|known| known.identity == wish.identity);
    if again && (wish.code != CODE || !heard.introductions.is_empty()) {
        return refused(StatusCode::CONFLICT, "A machine with this key has joined before.");
    }
    if wish.code != CODE {
        return refused(StatusCode::NOT_FOUND, "This code is wrong, used up or has ended.");
    }
    heard.enrolments.push(wish);
    match heard.enrolled.clone() {
        _ if std::mem::take(&mut heard.loses_enrolment) => StatusCode::BAD_GATEWAY.into_response(),
        Some(enrolled) => Json(enrolled).into_response(),
        None => refused(StatusCode::NOT_FOUND, "Nobody waits for a machine."),
    }
}

async fn upgrade(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(move |socket| async move {
        _ = talk(shared, socket).await;
    })
}

async fn say<T: serde::Serialize>(socket: &mut WebSocket, message: &T) -> Option<()> {
    socket.send(Message::text(wire::written(message).ok()?)).await.ok()
}

async fn talk(shared: Arc<Shared>, mut socket: WebSocket) -> Option<()> {
    let nonce = hex::encode(rand::random::<[u8; 32]>());
    let challenge = Challenge { oldest: 1, newest: 1, version: "peer".into(), nonce: nonce.clone() };
    say(&mut socket, &challenge).await?;
    let Message::Text(text) = socket.recv().await?.ok()? else { return None };
    let said: Introduction = serde_json::from_str(&text).expect("an introduction");
    let signed = wire::signed(&nonce, "", said.caller, said.counter, &said.hardware);
    let key = UnparsedPublicKey::new(&ED25519, hex::decode(&said.identity).expect("digits"));
    key.verify(signed.as_bytes(), &hex::decode(&said.signature).expect("digits")).expect("a signature");
    let mut out = shared.out.subscribe();
    let duties = {
        let mut heard = shared.heard.lock().unwrap();
        heard.introductions.push(said);
        heard.connected += 1;
        heard.duties.clone()
    };
    let welcome = Welcome { you: "peer".into(), at: Timestamp::now(), beat: 1 };
    let mut went = say(&mut socket, &Verdict::Welcome(welcome)).await;
    if let (Some(()), Some(duties)) = (went, duties) {
        went = say(&mut socket, &ToAgent::Duties(Box::new(duties))).await;
    }
    while went.is_some() {
        went = tokio::select! {
            said = out.recv() => match said {
                Ok(Out::Said(message)) => say(&mut socket, &*message).await,
                Ok(Out::Raw(text)) => socket.send(Message::text(text)).await.ok(),
                Ok(Out::HangUp) | Err(_) => None,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Text(text))) => hear(&shared, &mut socket, &text).await,
                Some(Ok(_)) => Some(()),
                _ => None,
            },
        };
    }
    shared.heard.lock().unwrap().connected -= 1;
    None
}

async fn hear(shared: &Shared, socket: &mut WebSocket, text: &str) -> Option<()> {
    let answer = {
        let mut heard = shared.heard.lock().unwrap();
        match wire::read::<FromAgent>(text).expect("it is understood")? {
            FromAgent::Beat { .. } => {
                heard.beats += 1;
                return Some(());
            }
            FromAgent::Progress { run, report } => {
                heard.reports.entry(run).or_default().push(report);
                return Some(());
            }
            FromAgent::Event { number, event } => {
                heard.events.push((number, event));
                (!heard.is_deaf).then_some(ToAgent::Heard { number })
            }
            FromAgent::Farewell => {
                heard.left += 1;
                Some(ToAgent::Retired)
            }
        }
    };
    match answer {
        Some(answer) => say(socket, &answer).await,
        None => Some(()),
    }
}
