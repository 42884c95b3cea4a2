//! The server's end of the line, by hand: it greets as a server does, and says and hears what a test wants. The tests of
//! `stead keeper` have it, too.
#![allow(dead_code, reason = "each of the two has its own use for it")]

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use agent::sealed;
use api::wire::agent::Taken;
use api::wire::keeper::{Answer, Event, FromKeeper, Kept, Question, ToKeeper, Work};
use api::wire::{self, Caller, Challenge, Introduction, Verdict, Welcome};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use fleet::{ClientId, JobId, MachineId, Uuid};
use tokio_tungstenite::tungstenite::{Message, WebSocket, accept};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A place where keepers call.
pub(crate) struct Front {
    listener: TcpListener,
    pub(crate) counters: Vec<u64>,
}

/// A line to a keeper that was let in.
pub(crate) struct Line(WebSocket<TcpStream>);

/// Where a keeper is told that repositories are, and with which account it comes in.
pub(crate) struct Repositories<'r> {
    pub(crate) address: &'r str,
    pub(crate) account: &'r str,
    pub(crate) credential: &'r str,
}

impl Front {
    pub(crate) fn open() -> Front {
        Front { listener: TcpListener::bind("127.0.0.1:0").expect("a port"), counters: Vec::new() }
    }

    /// Where keepers call.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.listener.local_addr().expect("an address"))
    }

    /// The next call: a keeper introduces itself, and is let in.
    pub(crate) fn call(&mut self, identity: &str, at: &Repositories<'_>) -> Line {
        let (stream, _) = self.listener.accept().expect("a call");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut line = Line(accept(stream).expect("a WebSocket"));
        let nonce = "ab".repeat(32);
        line.write(&Challenge { oldest: 1, newest: 1, version: "test".into(), nonce: nonce.clone() });
        let said: Introduction = serde_json::from_str(&line.text()).expect("an introduction");
        assert_eq!((said.caller, said.identity.as_str()), (Caller::Keeper, identity));
        let signed = wire::signed(&nonce, "", Caller::Keeper, said.counter, "");
        let identity = UnparsedPublicKey::new(&ED25519, hex::decode(&said.identity).expect("digits"));
        identity.verify(signed.as_bytes(), &hex::decode(&said.signature).expect("digits")).expect("a good signature");
        assert!(self.counters.last().is_none_or(|last| *last < said.counter), "a number is never used twice");
        self.counters.push(said.counter);
        let you = Uuid::from_u128(9).to_string();
        line.write(&Verdict::Welcome(Welcome { you, at: jiff::Timestamp::now(), beat: 1 }));
        let [address, account, credential] = [at.address, at.account, at.credential].map(str::to_owned);
        line.say(&ToKeeper::Gateway { address, authority: None, account, credential });
        line
    }
}

/// A machine whose repository has the password `test`, as a server names it to the keeper with this public key.
pub(crate) fn kept(machine: MachineId, client: ClientId, public: &str) -> Kept {
    let sealed = sealed::seal(public, &sealed::about(&machine.to_string()), b"test").expect("a sealed key");
    Kept { machine, client: Some(client), name: "pc".into(), sealed }
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
        let begun = Instant::now();
        loop {
            // Heartbeats come for ever.
            assert!(begun.elapsed() < PATIENCE, "no event came");
            if let Ok(Some(FromKeeper::Event { number, event })) = wire::read(&self.text()) {
                return (number, event);
            }
        }
    }

    /// The next answer to a question.
    pub(crate) fn answer(&mut self, wanted: u64) -> Result<Answer, String> {
        let begun = Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "no answer came");
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

    /// Takes the pieces of a download until its end.
    pub(crate) fn download(
        &mut self,
        ask: u64,
        machine: &Kept,
        snapshot: &str,
        path: &str,
        each: &mut dyn FnMut(&[u8]),
    ) {
        let begun = self.ask(ask, machine, Question::Fetch { snapshot: snapshot.into(), path: path.into() });
        assert!(matches!(begun, Ok(Answer::Fetching { .. })), "{begun:?}");
        loop {
            match self.message() {
                Message::Binary(bytes) => {
                    assert_eq!(bytes[..8], ask.to_be_bytes());
                    assert!(bytes.len() <= 8 + (256 << 10));
                    each(&bytes[8..]);
                }
                Message::Text(text) if text.contains("fetched") => return,
                Message::Text(text) if text.contains("\"answer\"") => panic!("{text}"),
                _ => {}
            }
        }
    }

    /// All bytes of a download.
    pub(crate) fn fetched(&mut self, ask: u64, machine: &Kept, snapshot: &str, path: &str) -> Vec<u8> {
        let mut all = Vec::new();
        self.download(ask, machine, snapshot, path, &mut |piece| all.extend_from_slice(piece));
        all
    }

    /// Hears events until the keeper is gone.
    pub(crate) fn events_to_the_end(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Ok(message) = self.0.read() {
            let Message::Text(text) = message else { continue };
            if let Ok(Some(FromKeeper::Event { event, .. })) = wire::read(&text) {
                events.push(event);
            }
        }
        events
    }

    pub(crate) fn order(&mut self, job: Taken, machine: &Kept, work: Work) {
        self.say(&ToKeeper::Task { job, machine: machine.clone(), work });
    }
}
