//! A caller: an agent or a keeper as the wire knows it, played by a test.

use std::time::Duration;

use api::wire::agent::{Event, FromAgent, ToAgent};
use api::wire::{self, Caller as Role, Challenge, Introduction, Verdict};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::browser::Browser;
use crate::shop::{FINGERPRINT, Shop};

/// What must come, comes within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A key, and how often it was used.
pub(crate) struct Key {
    pair: Ed25519KeyPair,
    pub(crate) counter: u64,
    pub(crate) hardware: String,
    role: Role,
}

impl Key {
    pub(crate) fn agent() -> Key {
        Key { pair: Ed25519KeyPair::generate().unwrap(), counter: 0, hardware: "board 1".into(), role: Role::Agent }
    }

    pub(crate) fn keeper() -> Key {
        Key { hardware: String::new(), role: Role::Keeper, ..Key::agent() }
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().unwrap()
    }

    /// The same key at another place.
    pub(crate) fn copied(&self, hardware: &str) -> Key {
        let seed: Curve25519SeedBin<'_> = self.pair.seed().unwrap().as_be_bytes().unwrap();
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).unwrap();
        Key { pair, counter: self.counter, hardware: hardware.into(), role: self.role }
    }

    /// The answer to a challenge, for a server that is pinned by this fingerprint.
    pub(crate) fn answer(&self, challenge: &Challenge, fingerprint: &str) -> Introduction {
        let signed = wire::signed(&challenge.nonce, fingerprint, self.role, self.counter, &self.hardware);
        Introduction {
            caller: self.role,
            protocol: wire::NEWEST,
            version: "9.9.9".into(),
            identity: hex::encode(self.public()),
            counter: self.counter,
            hardware: self.hardware.clone(),
            signature: hex::encode(self.pair.sign(signed.as_bytes())),
        }
    }
}

pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// A line to a server.
pub(crate) struct Caller {
    socket: WebSocketStream<Box<dyn Wire>>,
}

impl Caller {
    /// Rings; nothing was said yet.
    pub(crate) async fn rings(shop: &Shop) -> (Caller, Challenge) {
        let stream = Browser::connected(&shop.browser()).await;
        let address = format!("ws://{}{}", shop.address, wire::PATH);
        let (socket, _) = tokio_tungstenite::client_async(address, stream).await.unwrap();
        let mut caller = Caller { socket };
        let challenge = caller.hears().await.unwrap();
        (caller, challenge)
    }

    /// Rings and says who it is.
    pub(crate) async fn introduced(shop: &Shop, key: &mut Key) -> (Caller, Verdict) {
        let (mut caller, challenge) = Caller::rings(shop).await;
        key.counter += 1;
        caller.says(&key.answer(&challenge, FINGERPRINT)).await;
        let verdict = caller.hears().await.unwrap();
        (caller, verdict)
    }

    /// Rings and is let in.
    pub(crate) async fn welcomed(shop: &Shop, key: &mut Key) -> Caller {
        let (caller, verdict) = Caller::introduced(shop, key).await;
        assert!(matches!(verdict, Verdict::Welcome(_)), "{verdict:?}");
        caller
    }

    pub(crate) async fn says<T: Serialize>(&mut self, message: &T) {
        self.says_text(wire::written(message).unwrap()).await;
    }

    pub(crate) async fn says_text(&mut self, text: String) {
        // Whoever was hung up on finds out when it listens.
        _ = self.socket.send(Message::text(text)).await;
    }

    pub(crate) async fn sends(&mut self, bytes: Vec<u8>) {
        _ = self.socket.send(Message::binary(bytes)).await;
    }

    /// The next message; none: the line has ended.
    pub(crate) async fn hears<T: DeserializeOwned>(&mut self) -> Option<T> {
        loop {
            let next = timeout(PATIENCE, self.socket.next()).await.expect("nothing was said for a minute");
            match next {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return None,
            }
        }
    }

    /// The first message that is one of those, and what is made of it.
    pub(crate) async fn waits_for<M: DeserializeOwned, T>(&mut self, one: impl Fn(M) -> Option<T>) -> T {
        loop {
            let message = self.hears().await.expect("the line has ended");
            if let Some(found) = one(message) {
                return found;
            }
        }
    }

    /// Whatever is said until the line ends.
    pub(crate) async fn is_hung_up_on(&mut self) {
        while self.hears::<serde_json::Value>().await.is_some() {}
    }

    /// Says an event of an agent and waits until it was heard.
    pub(crate) async fn tells(&mut self, number: u64, event: Event) {
        self.says(&FromAgent::Event { number, event }).await;
        self.is_heard(number).await;
    }

    pub(crate) async fn is_heard(&mut self, number: u64) {
        self.waits_for(|message: ToAgent| (message == ToAgent::Heard { number }).then_some(())).await;
    }
}
