//! Dialling: from an address to a WebSocket with a server that is believed.

use std::sync::Arc;
use std::time::Duration;

use api::wire;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use url::Url;

use super::Lost;
use crate::membership::Membership;
use crate::pin::Pin;
use crate::refusal;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What bytes go through.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A WebSocket to the server.
pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

fn unreachable(error: impl std::error::Error + 'static) -> Lost {
    Lost::Unreachable(refusal::words(&error))
}

async fn in_time<T, E: std::error::Error + 'static>(step: impl Future<Output = Result<T, E>>) -> Result<T, Lost> {
    match tokio::time::timeout(PATIENCE, step).await {
        Ok(result) => result.map_err(unreachable),
        Err(_) => Err(Lost::Unreachable(format!("it did not answer within {} s", PATIENCE.as_secs()))),
    }
}

/// A socket, and the fingerprint of what the server is pinned by; empty without TLS.
pub(super) async fn dial(membership: &Membership) -> Result<(Socket, String), Lost> {
    let server = Url::parse(&membership.server).map_err(unreachable)?;
    let host = server.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = server.port_or_known_default().unwrap_or(443);
    let tcp = in_time(TcpStream::connect((host.as_str(), port))).await?;
    // What is said is short, and somebody waits for it.
    _ = tcp.set_nodelay(true);
    let (stream, fingerprint): (Box<dyn Stream>, String) = match Pin::known(&membership.trust)? {
        None => (Box::new(tcp), String::new()),
        Some(pin) => {
            let connector = TlsConnector::from(Arc::new(pin.config(&["http/1.1"])?));
            let name = host.try_into().map_err(unreachable)?;
            let tls = in_time(connector.connect(name, tcp)).await?;
            let fingerprint = pin.seen().map(|seen| seen.fingerprint.to_string());
            (Box::new(tls), fingerprint.unwrap_or_default())
        }
    };
    let mut address = server;
    address.set_path(wire::PATH);
    let address = address.as_str().replacen("http", "ws", 1);
    let request = address.into_client_request().map_err(unreachable)?;
    let limits = WebSocketConfig::default().max_message_size(Some(wire::LARGEST)).max_frame_size(Some(wire::LARGEST));
    let (socket, _) = in_time(tokio_tungstenite::client_async_with_config(request, stream, Some(limits))).await?;
    Ok((socket, fingerprint))
}
