//! The line to the server: dialled from here, over TLS with what was pinned, again and again with growing waits.

use std::sync::Arc;
use std::time::Duration;

use agent::{Fingerprint, NotAFingerprint, Pin, PinError};
use api::wire::{self, Caller, Challenge, Introduction, Verdict, Welcome};
use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use rustls::pki_types::ServerName;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use url::Url;

use crate::keys::Keys;
use crate::memory::Memory;

/// How long anything of a connection's beginning may take, and how long a message may wait to be sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The first wait after a connection ended, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Which server is called, and how it is known.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dial {
    /// Scheme, host and port, as a URL.
    pub server: String,
    /// How it is known.
    pub known: Known,
}

/// Where servers listen unless they are told otherwise.
const USUAL_PORT: u16 = 8443;

impl Dial {
    /// The server at an address as people write it. Without a fingerprint its certificate must be one that the system
    /// trusts; without TLS it must be on this machine.
    pub fn to(address: &str, fingerprint: Option<Fingerprint>) -> Result<Dial, LinkError> {
        let wrong = || LinkError::Address(address.to_owned());
        let is_bare = !address.contains("://");
        let full = if is_bare { format!("https://{address}") } else { address.to_owned() };
        let mut server = Url::parse(&full).map_err(|_| wrong())?;
        if is_bare && !address.trim_end_matches('/').ends_with(":443") && server.port().is_none() {
            server.set_port(Some(USUAL_PORT)).map_err(|()| wrong())?;
        }
        let known = match (server.scheme(), fingerprint) {
            ("https", Some(fingerprint)) => Known::Fingerprint(fingerprint.to_string()),
            ("https", None) => Known::System,
            ("http", _) if is_here(&server) => Known::Loopback,
            _ => return Err(wrong()),
        };
        let has_more = !server.username().is_empty() || server.password().is_some() || server.path() != "/";
        if server.host().is_none() || has_more || server.query().is_some() {
            return Err(wrong());
        }
        Ok(Dial { server: server.into(), known })
    }
}

fn is_here(server: &Url) -> bool {
    match server.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// How a server is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Known {
    /// By the fingerprint of its certificate, or of its authority's, as servers show it.
    Fingerprint(String),
    /// By a certificate that the system trusts.
    System,
    /// It is on this machine and speaks without TLS.
    Loopback,
}

impl Known {
    /// What checks the server; none without TLS.
    fn pin(&self) -> Result<Option<Arc<Pin>>, LinkError> {
        Ok(match self {
            Known::Loopback => None,
            Known::System => Some(Pin::system()?),
            Known::Fingerprint(text) => Some(Pin::fingerprint(text.parse()?)),
        })
    }
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address cannot be called.
    #[error("cannot call {0}: write https://name:port, or http://localhost:port for a server on this machine")]
    Address(String),
    /// The network, or TLS.
    #[error("cannot reach the server at {server}")]
    Reach {
        /// Where it was looked for.
        server: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// It took too long.
    #[error("the server does not answer")]
    Silent,
    /// The connection ended.
    #[error("the connection to the server ended")]
    Ended,
    /// It does not speak as it should.
    #[error("the connection to the server failed")]
    Speech(#[source] Box<tokio_tungstenite::tungstenite::Error>),
    /// It says something that makes no sense.
    #[error("the server says what makes no sense: {0}")]
    Nonsense(String),
    /// It does not let us in.
    #[error("the server refuses this keeper: {0}")]
    Refused(String),
    /// It cannot be spoken to safely.
    #[error(transparent)]
    Pin(#[from] PinError),
    /// What is kept of it makes no sense.
    #[error(transparent)]
    Fingerprint(#[from] NotAFingerprint),
    /// The keeper itself failed.
    #[error(transparent)]
    Own(#[from] crate::Error),
}

/// What carries bytes, with or without TLS.
trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Carrier for T {}

/// A line on which the keeper was let in.
pub(crate) struct Line {
    socket: WebSocketStream<Box<dyn Carrier>>,
    /// What the server said first.
    pub(crate) welcome: Welcome,
}

/// Calls a server and introduces the keeper.
pub(crate) async fn call(dial: &Dial, keys: &Keys, memory: &Memory, version: &str) -> Result<Line, LinkError> {
    let (mut socket, fingerprint) = timeout(PATIENCE, connect(dial)).await.map_err(|_| LinkError::Silent)??;
    let challenge: Challenge = said(&mut socket).await?;
    let protocol = wire::common_protocol(challenge.oldest, challenge.newest).map_err(LinkError::Refused)?;
    let counter = memory.next_introduction()?;
    let signed = wire::signed(&challenge.nonce, &fingerprint, Caller::Keeper, counter, "");
    let introduction = Introduction {
        caller: Caller::Keeper,
        protocol,
        version: version.to_owned(),
        identity: keys.public().identity,
        counter,
        hardware: String::new(),
        signature: keys.sign(signed.as_bytes()),
    };
    let text = wire::written(&introduction).map_err(|error| LinkError::Nonsense(error.to_string()))?;
    send(&mut socket, Message::text(text)).await?;
    match said::<Verdict>(&mut socket).await? {
        Verdict::Welcome(welcome) => Ok(Line { socket, welcome }),
        Verdict::Refused { sentence, .. } => Err(LinkError::Refused(sentence)),
    }
}

/// A socket, and the fingerprint of what the server is known by.
async fn connect(dial: &Dial) -> Result<(WebSocketStream<Box<dyn Carrier>>, String), LinkError> {
    let wrong = || LinkError::Address(dial.server.clone());
    let server = Url::parse(&dial.server).map_err(|_| wrong())?;
    let host = server.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']);
    let port = server.port_or_known_default().ok_or_else(wrong)?;
    let reach = |source| LinkError::Reach { server: dial.server.clone(), source };
    let stream = TcpStream::connect((host, port)).await.map_err(reach)?;
    stream.set_nodelay(true).map_err(reach)?;
    let pin = dial.known.pin()?;
    let (carrier, scheme): (Box<dyn Carrier>, &str) = match (&pin, server.scheme()) {
        (Some(pin), "https") => {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
            let tls = TlsConnector::from(Arc::new(pin.config(&["http/1.1"])?));
            (Box::new(tls.connect(name, stream).await.map_err(reach)?), "wss")
        }
        (None, "http") => (Box::new(stream), "ws"),
        _ => return Err(wrong()),
    };
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let address = format!("{scheme}://{bracketed}:{port}{}", wire::PATH);
    let limits = WebSocketConfig::default()
        .max_message_size(Some(wire::LARGEST_OF_KEEPER))
        .max_frame_size(Some(wire::LARGEST_OF_KEEPER));
    let shaken = tokio_tungstenite::client_async_with_config(address, carrier, Some(limits)).await;
    let fingerprint = pin.and_then(|pin| pin.seen()).map(|seen| seen.fingerprint.to_string());
    Ok((shaken.map_err(speech)?.0, fingerprint.unwrap_or_default()))
}

fn speech(error: tokio_tungstenite::tungstenite::Error) -> LinkError {
    LinkError::Speech(Box::new(error))
}

async fn send(socket: &mut WebSocketStream<Box<dyn Carrier>>, message: Message) -> Result<(), LinkError> {
    timeout(PATIENCE, socket.send(message)).await.map_err(|_| LinkError::Silent)?.map_err(speech)
}

/// The next message of the beginning.
async fn said<T: serde::de::DeserializeOwned>(socket: &mut WebSocketStream<Box<dyn Carrier>>) -> Result<T, LinkError> {
    loop {
        let heard = timeout(PATIENCE, socket.next()).await.map_err(|_| LinkError::Silent)?;
        match heard.ok_or(LinkError::Ended)?.map_err(speech)? {
            Message::Text(text) => {
                return serde_json::from_str(&text).map_err(|error| LinkError::Nonsense(error.to_string()));
            }
            Message::Close(_) => return Err(LinkError::Ended),
            _ => {}
        }
    }
}

impl Line {
    /// Says something.
    pub(crate) async fn say(&mut self, message: Message) -> Result<(), LinkError> {
        send(&mut self.socket, message).await
    }

    /// The next text; `None` for what is no text. Any message shows that the server is there.
    pub(crate) async fn hear(&mut self) -> Result<Option<String>, LinkError> {
        match self.socket.next().await.ok_or(LinkError::Ended)?.map_err(speech)? {
            Message::Text(text) => Ok(Some(text.as_str().to_owned())),
            Message::Close(_) => Err(LinkError::Ended),
            _ => Ok(None),
        }
    }
}

/// Waits between calls: each is about twice as long as the one before, and no two keepers wait alike.
#[derive(Debug)]
pub(crate) struct Waits(Duration);

impl Waits {
    pub(crate) fn new() -> Waits {
        Waits(FIRST_WAIT)
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.0.mul_f64(rand::rng().random_range(0.5..1.5));
        self.0 = (self.0 * 2).min(LONGEST_WAIT);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_understood_as_people_write_it_and_plain_http_stays_on_this_machine() {
        let known = |text: &str| Dial::to(text, None).unwrap();
        assert_eq!(known("backup.example").server, "https://backup.example:8443/");
        assert_eq!(known("backup.example:443").server, "https://backup.example/");
        assert_eq!(known("https://backup.example").server, "https://backup.example/");
        assert_eq!(known("http://127.0.0.1:8080").known, Known::Loopback);
        assert_eq!(known("http://[::1]:8080").known, Known::Loopback);
        let wrong =
            ["http://backup.example", "ftp://backup.example", "", "https://", "https://me:secret@host", "https://a/b"];
        for text in wrong {
            assert!(matches!(Dial::to(text, None), Err(LinkError::Address(_))), "{text}");
        }
    }

    #[test]
    fn waits_grow_to_a_minute_and_no_further() {
        let mut waits = Waits::new();
        let all: Vec<Duration> = (0..20).map(|_| waits.next()).collect();
        assert!(all[0] < Duration::from_secs(2));
        assert!(all.iter().all(|wait| *wait <= LONGEST_WAIT.mul_f64(1.5)));
        assert!(all[19] >= LONGEST_WAIT.mul_f64(0.5));
    }
}
