//! Gate: a gateway on a server's database, beside the server in `stead up` or a process of its own. It has threads of its own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use backend::SystemClock;
use gateway::{Certificate, ConnectionLimits, Gateway, Meter, Options, RepositoryName, Server, ServerOptions, Viewer};
use server::certificate::Resolver;
use store::Store;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::books::Books;
use super::place::{self, Below};
use super::scrubs::{self, Scrubs};
use crate::failure::{Failure, Outcome};
use crate::open::Context;

/// What a gate is to be.
pub(crate) struct Wish {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// What it shows of itself; none: it speaks without TLS, on the loopback.
    pub(crate) certificate: Option<Resolver>,
    /// Below which repositories are.
    pub(crate) storage: String,
    /// Where files on their way are.
    pub(crate) state: PathBuf,
    /// Who may come in, and what came.
    pub(crate) store: Store,
    /// What opens storage.
    pub(crate) context: Context,
    /// Where figures go, and who may see them.
    pub(crate) meter: Option<(Meter, Viewer)>,
}

/// A gateway that listens. It is closed, never dropped, inside a runtime.
pub(crate) struct Gate {
    server: Server,
    scrubs: Scrubs,
}

impl Gate {
    /// Opens it.
    pub(crate) async fn open(wish: Wish) -> Outcome<Gate> {
        let runtime = Handle::current();
        let opened = spawn_blocking(move || start(wish, runtime)).await;
        opened.map_err(|_| Failure::new("the gateway could not be started"))?
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Takes nothing more, and waits a while for what is on its way.
    pub(crate) async fn close(self) {
        let closed = move || {
            self.scrubs.end();
            self.server.stop();
        };
        _ = spawn_blocking(closed).await;
    }
}

fn start(wish: Wish, runtime: Handle) -> Outcome<Gate> {
    let Wish { listen, certificate, storage, state, store, context, meter } = wish;
    if certificate.is_none() && !listen.ip().is_loopback() {
        let words = format!("{listen} is not on the loopback: without TLS only this machine may bring backups");
        return Err(Failure::new(words));
    }
    // A wrong location is told now and not to the first machine.
    let example: RepositoryName = "a".parse()?;
    place::storage(&context, &storage, &example)?;
    let room = place::room(&storage)?;
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
    options.room = room;
    options.trouble = Arc::new(move |words| output.warn(format_args!("gateway: {words}")));
    let certificate = certificate.map(Certificate::Shown);
    let limits = ConnectionLimits::default();
    let server = Server::start(Gateway::new(options), ServerOptions { listen, certificate, meter, limits })?;
    Ok(Gate { server, scrubs: Scrubs::begin(scrubs)? })
}
