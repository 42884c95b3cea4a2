//! Gate: the gateway of `stead up`, on a port of its own with the server's certificate. It has threads of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use backend::SystemClock;
use gateway::{Certificate, ConnectionLimits, Gateway, Meter, Options, RepositoryName, Server, ServerOptions, Viewer};
use server::listen::Protection;
use store::Store;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::books::Books;
use super::scrubs::{self, Scrubs};
use crate::commands::gateway::place::{self, Below};
use crate::failure::{Failure, Outcome};
use crate::open::Context;

/// What a gate is to be.
pub(super) struct Wish {
    /// Where it listens.
    pub(super) listen: SocketAddr,
    /// How it is protected: as the server is.
    pub(super) protection: Protection,
    /// Below which repositories are.
    pub(super) storage: String,
    /// Where files on their way are.
    pub(super) state: PathBuf,
    /// Who may come in, and what came.
    pub(super) store: Store,
    /// What opens storage.
    pub(super) context: Context,
}

/// A gateway that listens. It is closed, never dropped, inside a runtime.
pub(super) struct Gate {
    server: Server,
    scrubs: Scrubs,
}

impl Gate {
    /// Opens it.
    pub(super) async fn open(wish: Wish) -> Outcome<Gate> {
        let runtime = Handle::current();
        let opened = spawn_blocking(move || start(wish, runtime)).await;
        opened.map_err(|_| Failure::new("the gateway could not be started"))?
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Takes nothing more, and waits a while for what is on its way.
    pub(super) async fn close(self) {
        let closed = move || {
            self.scrubs.end();
            self.server.stop();
        };
        _ = spawn_blocking(closed).await;
    }
}

fn start(wish: Wish, runtime: Handle) -> Outcome<Gate> {
    let Wish { listen, protection, storage, state, store, context } = wish;
    if matches!(protection, Protection::Plain) && !listen.ip().is_loopback() {
        let words = format!("{listen} is not on the loopback: without TLS only this machine may bring backups");
        return Err(Failure::new(words));
    }
    // A wrong location is told now and not to the first machine.
    let example: RepositoryName = "a".parse()?;
    place::storage(&context, &storage, &example)?;
    let books = Arc::new(Books::new(store.clone(), runtime.clone()));
    let scrubs = scrubs::Wish {
        books: Arc::clone(&books),
        store,
        runtime,
        context: context.clone(),
        storage: storage.clone(),
        journals: state.join("scrub"),
    };
    let (output, access, ledger) = (context.output(), Arc::clone(&books), books);
    let below = Arc::new(Below { context, data: storage });
    let mut options = Options::new(access, below, ledger, Arc::new(SystemClock), state.join("incoming"));
    options.trouble = Arc::new(move |words| output.warn(format_args!("gateway: {words}")));
    let certificate = match protection {
        Protection::Tls(certificate) => Some(Certificate::Shown(certificate)),
        Protection::Plain => None,
    };
    let limits = ConnectionLimits::default();
    // Figures for Prometheus, for programs of this machine.
    let meter = Meter::install().map(|meter| (meter, Viewer::Loopback));
    let server = Server::start(Gateway::new(options), ServerOptions { listen, certificate, meter, limits })?;
    Ok(Gate { server, scrubs: Scrubs::begin(scrubs)? })
}
