//! Listening: connections with TLS, or plain ones on the loopback only. Nobody keeps one without sending; at the end
//! those that are answered are waited for, and the others closed.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::allowance::{Allowance, Allowed};
use crate::certificate::Certificate;

/// Connections at once; others wait in the system's queue.
const MOST: usize = 4_096;
const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(15);
const GRACE: Duration = Duration::from_secs(10);

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// How connections are protected.
#[derive(Clone)]
pub enum Protection {
    /// By TLS with this certificate.
    Tls(Arc<Certificate>),
    /// Not at all: only on the loopback.
    Plain,
}

/// Why nothing is listened to.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error("cannot listen at {0}")]
    Bind(SocketAddr, #[source] io::Error),
    /// Without TLS everybody on the network could read passwords.
    #[error("{0} is not on the loopback: without TLS only this machine may connect")]
    PlainBeyondLoopback(SocketAddr),
    /// The certificate's kind of key is not known.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
}

/// A door that is open: connections are taken from here on.
pub struct Door {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl Door {
    /// Opens it. Port 0 takes any that is free.
    pub async fn open(address: SocketAddr, protection: &Protection) -> Result<Door, ListenError> {
        if matches!(protection, Protection::Plain) && !address.ip().is_loopback() {
            return Err(ListenError::PlainBeyondLoopback(address));
        }
        let tls = match protection {
            Protection::Tls(certificate) => Some(acceptor(Arc::clone(certificate))?),
            Protection::Plain => None,
        };
        let bind = |error| ListenError::Bind(address, error);
        let listener = TcpListener::bind(address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        Ok(Door { listener, address, tls })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop`, then lets those finish that are being answered, for ten seconds at most.
    pub(crate) async fn serve(self, app: Router, stop: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(MOST));
        let mut stop = std::pin::pin!(stop);
        loop {
            let next = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (place, self.listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                () = &mut stop => break,
                next = next => next,
            };
            match (place, accepted) {
                (Ok(place), Ok((stream, peer))) => {
                    let guest = Guest { app: app.clone(), peer: Peer(peer), watcher: graceful.watcher(), place };
                    tokio::spawn(guest.welcome(stream, self.tls.clone()));
                }
                // Out of file descriptors, most likely: others will be closed in a moment.
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        drop(self.listener);
        _ = timeout(GRACE, graceful.shutdown()).await;
    }
}

fn acceptor(certificate: Arc<Certificate>) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_no_client_auth().with_cert_resolver(certificate);
    // The last one is chosen by those alone who look whether a name is ours.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), b"acme-tls/1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// One connection.
struct Guest {
    app: Router,
    peer: Peer,
    watcher: Watcher,
    place: OwnedSemaphorePermit,
}

impl Guest {
    /// What goes wrong with a connection is its own trouble: a browser that left, a scanner that speaks no TLS.
    async fn welcome(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        _ = stream.set_nodelay(true);
        match tls {
            None => self.answer(stream).await,
            Some(tls) => {
                if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await {
                    self.answer(stream).await;
                }
            }
        }
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let Guest { app, peer, watcher, place } = self;
        let allowance = Allowance::default();
        let stream = Allowed::new(stream, allowance.clone());
        let service = app.map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(allowance.clone());
            request.map(axum::body::Body::new)
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(64 << 10);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(64)
            .max_header_list_size(64 << 10)
            .keep_alive_interval(Duration::from_secs(30));
        let connection = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service))
            .into_owned();
        _ = watcher.watch(connection).await;
        drop(place);
    }
}
