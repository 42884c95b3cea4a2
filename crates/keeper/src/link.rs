//! The line to the server: dialled from here, over TLS with what was pinned, again and again with growing waits.

use std::sync::Arc;
use std::time::Duration;

use api::wire::{self, Caller, Challenge, Introduction, Verdict, Welcome};
use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use rustls::pki_types::ServerName;
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
#[derive(Clone)]
pub struct Dial {
    /// Scheme, host and port.
    pub server: Url,
    /// TLS that lets through the server that was pinned, and no other; none for a server on this machine without TLS.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The fingerprint that was pinned, as servers show it; empty without TLS. It is part of what is signed.
    pub fingerprint: String,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The address cannot be called.
    #[error("cannot call {0}: the address must be http or https, with a host")]
    Address(Url),
    /// The network, or TLS.
    #[error("cannot reach the server at {server}")]
    Reach {
        /// Where it was looked for.
        server: Url,
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
    let mut socket = timeout(PATIENCE, connect(dial)).await.map_err(|_| LinkError::Silent)??;
    let challenge: Challenge = said(&mut socket).await?;
    let protocol = challenge.newest.min(wire::NEWEST);
    let counter = memory.next_introduction()?;
    let signed = wire::signed(&challenge.nonce, &dial.fingerprint, Caller::Keeper, counter, "");
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

async fn connect(dial: &Dial) -> Result<WebSocketStream<Box<dyn Carrier>>, LinkError> {
    let server = &dial.server;
    let wrong = || LinkError::Address(server.clone());
    let host = server.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']);
    let port = server.port_or_known_default().ok_or_else(wrong)?;
    let reach = |source| LinkError::Reach { server: server.clone(), source };
    let stream = TcpStream::connect((host, port)).await.map_err(reach)?;
    stream.set_nodelay(true).map_err(reach)?;
    let (carrier, scheme): (Box<dyn Carrier>, &str) = match (&dial.tls, server.scheme()) {
        (Some(tls), "https") => {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
            let tls = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(reach)?;
            (Box::new(tls), "wss")
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
    Ok(shaken.map_err(speech)?.0)
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
