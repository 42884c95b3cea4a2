//! The gateway on the network. It has threads of its own and ends when it is told to.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tower::Service as _;

use crate::body::Pace;
use crate::connection::{Count, Counted, protocol};
use crate::patience::Patient;
use crate::service::Service;
use crate::{Certificate, CertificateError, ConnectionLimits, Gateway, Meter, Viewer};

/// So long requests that are being answered may still take when the server ends.
const FAREWELL: Duration = Duration::from_secs(30);

/// So often the figures are tidied.
const UPKEEP: Duration = Duration::from_secs(5);

/// Where and how a gateway listens.
pub struct ServerOptions {
    /// The address; port 0 is a free one.
    pub listen: SocketAddr,
    /// Speaks TLS with this certificate; without one, plain HTTP, which is for this machine or behind something that does.
    pub certificate: Option<Certificate>,
    /// Shows figures at `/metrics` to whom they are for.
    pub meter: Option<(Meter, Viewer)>,
    /// What connections may cost.
    pub limits: ConnectionLimits,
}

/// A gateway that listens. Dropped, it ends at once.
pub struct Server {
    runtime: Runtime,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    accepting: JoinHandle<()>,
}

/// A gateway cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// No threads, no network.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why it cannot.
        source: io::Error,
    },
    /// The certificate is no good.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl Server {
    /// Listens from now on.
    pub fn start(gateway: Gateway, options: ServerOptions) -> Result<Server, ServerError> {
        let fail = |source| ServerError::Listen { address: options.listen, source };
        let tls = options.certificate.as_ref().map(Certificate::configuration).transpose()?;
        let tls = tls.map(|configuration| TlsAcceptor::from(Arc::new(configuration)));
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.thread_name("gateway").enable_all().build().map_err(fail)?;
        let listener = runtime.block_on(TcpListener::bind(options.listen)).map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let limits = options.limits;
        if let Some((meter, _)) = options.meter.clone() {
            runtime.spawn(upkeep(meter));
        }
        let service = Service {
            gateway: Arc::new(gateway),
            pace: Pace { standstill: limits.standstill, slowest: limits.slowest },
            transfers: Arc::new(Semaphore::new(limits.transfers)),
            meter: options.meter,
        };
        let (stop, stopped) = oneshot::channel();
        let hall = Hall { router: service.router(), tls, limits, count: Count::new(limits) };
        let accepting = runtime.spawn(hall.accept(listener, stopped));
        Ok(Server { runtime, address, stop, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends: accepts nobody any more, and waits a while for requests that are being answered.
    pub fn stop(self) {
        let _ = self.stop.send(());
        let _ = self.runtime.block_on(self.accepting);
        self.runtime.shutdown_timeout(FAREWELL);
    }
}

async fn upkeep(meter: Meter) {
    loop {
        tokio::time::sleep(UPKEEP).await;
        meter.upkeep();
    }
}

/// Where everybody comes in.
struct Hall {
    router: Router,
    tls: Option<TlsAcceptor>,
    limits: ConnectionLimits,
    count: Arc<Count>,
}

impl Hall {
    async fn accept(self, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
        let graceful = Arc::new(GracefulShutdown::new());
        let hall = Arc::new(self);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = &mut stopped => break,
            };
            match accepted {
                Ok((stream, from)) => hall.welcome(stream, from, &graceful),
                // No file descriptors, say: others have to go first.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        drop(listener);
        drop(hall);
        if let Some(graceful) = Arc::into_inner(graceful) {
            let _ = tokio::time::timeout(FAREWELL, graceful.shutdown()).await;
        }
    }

    fn welcome(self: &Arc<Hall>, stream: TcpStream, from: SocketAddr, graceful: &GracefulShutdown) {
        let Some(counted) = self.count.add(from) else { return };
        let _ = stream.set_nodelay(true);
        let (hall, watcher) = (Arc::clone(self), graceful.watcher());
        tokio::spawn(async move {
            let stream = Patient::new(stream, hall.limits.standstill);
            match &hall.tls {
                None => hall.serve(stream, from, watcher, counted).await,
                Some(tls) => {
                    let greeted = tokio::time::timeout(hall.limits.greeting, tls.accept(stream)).await;
                    if let Ok(Ok(stream)) = greeted {
                        hall.serve(stream, from, watcher, counted).await;
                    }
                }
            }
        });
    }

    async fn serve<C>(
        &self,
        stream: C,
        from: SocketAddr,
        watcher: hyper_util::server::graceful::Watcher,
        _counted: Counted,
    ) where
        C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router.clone();
        let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let mut router = router.clone();
            async move {
                let mut request: Request = request.map(Body::new);
                request.extensions_mut().insert(from);
                router.call(request).await.map_err(|error: Infallible| error)
            }
        });
        let builder = protocol(&self.limits);
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        // Whatever a connection ends with, there is nobody to tell.
        let _ = watcher.watch(connection).await;
    }
}
