//! The server's end of the line, by hand: it greets as a server does, and says and hears what a test wants.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use agent::sealed;
use api::wire::agent::Taken;
use api::wire::keeper::{Answer, Event, FromKeeper, Kept, Question, ToKeeper, Work};
use api::wire::{self, Caller, Challenge, Introduction, Verdict, Welcome};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use backend::SystemClock;
use fleet::{JobId, Uuid};
use repo::Cancel;
use repo::lock::LockOwner;
use stead_keeper::home::Home;
use stead_keeper::keys::{Keys, Opener, Public};
use stead_keeper::{Dial, Setup, run};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

use crate::house::House;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A place where keepers call.
pub(crate) struct Front {
    listener: TcpListener,
    pub(crate) counters: Vec<u64>,
}

/// A line to a keeper that was let in.
pub(crate) struct Line(WebSocket<TcpStream>);

/// A keeper that runs in this process, and stops when it is dropped.
pub(crate) struct Running {
    stop: Cancel,
    thread: Option<JoinHandle<()>>,
    pub(crate) public: Public,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("a keeper that ends well");
        }
    }
}

impl Front {
    pub(crate) fn open() -> Front {
        Front { listener: TcpListener::bind("127.0.0.1:0").expect("a port"), counters: Vec::new() }
    }

    /// Starts a keeper that calls here.
    pub(crate) fn keeper(&self, house: &House) -> Running {
        let home = Home::at(house.room.path().join("running")).expect("a directory");
        let opener = Opener::File(home.key_file());
        let keys = match home.keys().exists() {
            true => Keys::open(&home.keys(), &opener),
            false => Keys::init(&home.keys(), &opener),
        };
        let keys = keys.expect("keys");
        let public = keys.public();
        let address = format!("http://{}", self.listener.local_addr().expect("an address"));
        let setup = Setup {
            home,
            keys,
            dial: Dial::to(&address, None).expect("an address"),
            version: "test".into(),
            clock: Arc::new(SystemClock),
            owner: LockOwner::this_process("keeper-host", "keeper"),
            workers: 2,
            notice: Arc::new(|_| ()),
        };
        let stop = Cancel::default();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || run(setup, &stopped).expect("a keeper that ends well"));
        Running { stop, thread: Some(thread), public }
    }

    /// The next call: a keeper introduces itself, and is let in.
    pub(crate) fn call(&mut self, keeper: &Running, house: &House) -> Line {
        let (stream, _) = self.listener.accept().expect("a call");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut line = Line(accept(stream).expect("a WebSocket"));
        let nonce = "ab".repeat(32);
        line.write(&Challenge { oldest: 1, newest: 1, version: "test".into(), nonce: nonce.clone() });
        let said: Introduction = serde_json::from_str(&line.text()).expect("an introduction");
        assert_eq!((said.caller, said.identity.as_str()), (Caller::Keeper, keeper.public.identity.as_str()));
        let signed = wire::signed(&nonce, "", Caller::Keeper, said.counter, "");
        let identity = UnparsedPublicKey::new(&ED25519, hex::decode(&said.identity).expect("digits"));
        identity.verify(signed.as_bytes(), &hex::decode(&said.signature).expect("digits")).expect("a good signature");
        assert!(self.counters.last().is_none_or(|last| *last < said.counter), "a number is never used twice");
        self.counters.push(said.counter);
        let you = Uuid::from_u128(9).to_string();
        line.write(&Verdict::Welcome(Welcome { you, at: jiff::Timestamp::now(), beat: 1 }));
        let gateway = house.gateway.clone();
        let (address, account, credential) = (gateway.address, gateway.account, gateway.credential);
        line.say(&ToKeeper::Gateway { address, authority: None, account, credential });
        line
    }
}

/// The machine of a house, as a server names it to a keeper.
pub(crate) fn kept(house: &House, keeper: &Running) -> Kept {
    let about = sealed::about(&house.machine.to_string());
    let sealed = sealed::seal(&keeper.public.public, &about, b"test").expect("a sealed key");
    Kept { machine: house.machine, client: Some(house.client), name: "pc".into(), sealed }
}

/// A job in an attempt.
pub(crate) fn job(number: u128, attempt: u32) -> Taken {
    Taken { job: JobId::new(Uuid::from_u128(number)), attempt }
}

impl Line {
    fn write(&mut self, message: &impl serde::Serialize) {
        self.0.send(Message::text(serde_json::to_string(message).expect("JSON"))).expect("somebody who listens");
    }

    pub(crate) fn say(&mut self, message: &ToKeeper) {
        self.write(message);
    }

    /// The next message with content.
    pub(crate) fn message(&mut self) -> Message {
        loop {
            let message = self.0.read().expect("a message");
            if matches!(message, Message::Text(_) | Message::Binary(_)) {
                return message;
            }
        }
    }

    /// The next text; pieces of downloads are passed over.
    fn text(&mut self) -> String {
        loop {
            if let Message::Text(text) = self.message() {
                return text.as_str().to_owned();
            }
        }
    }

    /// The next event, and its number.
    pub(crate) fn event(&mut self) -> (u64, Event) {
        loop {
            if let Ok(Some(FromKeeper::Event { number, event })) = wire::read(&self.text()) {
                return (number, event);
            }
        }
    }

    /// The next answer to a question.
    pub(crate) fn answer(&mut self, wanted: u64) -> Result<Answer, String> {
        loop {
            match wire::read(&self.text()) {
                Ok(Some(FromKeeper::Answer { ask, answer })) if ask == wanted => return answer,
                _ => {}
            }
        }
    }

    pub(crate) fn ask(&mut self, ask: u64, machine: &Kept, question: Question) -> Result<Answer, String> {
        self.say(&ToKeeper::Ask { ask, machine: machine.clone(), question });
        self.answer(ask)
    }

    pub(crate) fn order(&mut self, job: Taken, machine: &Kept, work: Work) {
        self.say(&ToKeeper::Task { job, machine: machine.clone(), work });
    }
}
