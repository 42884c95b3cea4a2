//! Channel: a WebSocket as messages, and the greeting that each begins with. Nothing waits longer than 20 s to be taken.

use std::time::Duration;

use api::wire::{self, Caller, Challenge, Introduction, Verdict, Welcome};
use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Lost;
use super::dial::Socket;
use crate::identity::{self, Identity};
use crate::memory::Memory;
use crate::refusal;

/// How long the server may take for each step of the handshake, and to take a message.
const PATIENCE: Duration = Duration::from_secs(20);

/// Who introduces itself.
pub(super) struct This<'t> {
    pub(super) identity: &'t Identity,
    /// Counts introductions.
    pub(super) memory: &'t Memory,
    /// Names of the machine's hardware.
    pub(super) hardware: &'t [String],
    pub(super) version: &'t str,
}

/// A WebSocket as messages.
pub(super) struct Channel {
    socket: Socket,
}

pub(super) fn lost(error: impl std::error::Error + 'static) -> Lost {
    Lost::Unreachable(refusal::words(&error))
}

impl Channel {
    pub(super) fn new(socket: Socket) -> Channel {
        Channel { socket }
    }

    /// Says who we are; the server's welcome.
    pub(super) async fn introduce(&mut self, this: &This<'_>, fingerprint: &str) -> Result<Welcome, Lost> {
        let challenge: Challenge = self.expect().await?;
        let protocol = wire::common_protocol(challenge.oldest, challenge.newest)
            .map_err(|sentence| Lost::Refused { cause: wire::Refusal::Version, sentence })?;
        // It is signed as it came: what holds a line feed could be read in two ways.
        if challenge.nonce.len() != 64 || !challenge.nonce.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Lost::Unclear("its challenge is none".into()));
        }
        let introduction = introduction(this, &challenge, protocol, fingerprint)?;
        self.send(&introduction).await?;
        match self.expect().await? {
            Verdict::Welcome(welcome) => Ok(welcome),
            Verdict::Refused { cause, sentence } => Err(Lost::Refused { cause, sentence }),
        }
    }

    pub(super) async fn send(&mut self, message: &impl Serialize) -> Result<(), Lost> {
        let text = wire::written(message).map_err(|error| Lost::Unclear(error.to_string()))?;
        self.push(Message::Text(text.into())).await
    }

    pub(super) async fn push(&mut self, message: Message) -> Result<(), Lost> {
        match timeout(PATIENCE, self.socket.send(message)).await {
            Ok(sent) => sent.map_err(lost),
            Err(_) => Err(Lost::Silent(PATIENCE)),
        }
    }

    pub(super) async fn next(&mut self) -> Option<Result<Message, Error>> {
        self.socket.next().await
    }

    /// Says that we go; whoever does not hear it notices by itself.
    pub(super) async fn close(&mut self) {
        _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }

    /// The next message, of the handshake.
    async fn expect<T: DeserializeOwned>(&mut self) -> Result<T, Lost> {
        let end = Instant::now() + PATIENCE;
        loop {
            let next = tokio::time::timeout_at(end, self.socket.next()).await;
            match next.map_err(|_| Lost::Silent(PATIENCE))?.ok_or(Lost::Closed)?.map_err(lost)? {
                Message::Text(text) => {
                    let read = wire::read(&text).map_err(|error| Lost::Unclear(error.to_string()))?;
                    return read.ok_or_else(|| Lost::Unclear("its greeting is of another time".into()));
                }
                Message::Close(_) => return Err(Lost::Closed),
                _ => {}
            }
        }
    }
}

fn introduction(
    this: &This<'_>,
    challenge: &Challenge,
    protocol: u32,
    fingerprint: &str,
) -> Result<Introduction, Lost> {
    let caller = Caller::Agent;
    let counter = this.memory.count()?;
    let hardware = identity::hardware(this.hardware);
    let text = wire::signed(&challenge.nonce, fingerprint, caller, counter, &hardware);
    let (identity, signature) = (this.identity.public(), this.identity.sign(&text));
    let version = this.version.to_owned();
    Ok(Introduction { caller, protocol, version, identity, counter, hardware, signature })
}
