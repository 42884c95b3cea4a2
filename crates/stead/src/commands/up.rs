//! `stead up`: server, gateway, keeper and an agent on this machine, and the link by which its owner comes in.

mod books;
mod demo;
mod first_backup;
mod front;
mod gate;
mod local_agent;
pub(crate) mod local_keeper;
mod own_backups;
pub(crate) mod place;
mod protect;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use server::first::{self, Owner};
use server::listen::{Door, Protection};
use server::observer::Event;
use server::{Facade, Setup};
use store::Store;

use crate::commands::server::database;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output::Output;
use first_backup::FirstBackup;
use front::{Near, near};
use gate::Gate;
use local_agent::LocalAgent;
use local_keeper::LocalKeeper;
use own_backups::OwnBackups;
use place::Place;

/// Protect this machine, and show every machine and what it needs
///
/// Starts all parts here: the server with its pages, the gateway that machines bring their backups to, the keeper that
/// tends repositories, and an agent that protects this machine. The first start makes what they need below your data
/// directory, prints a one-time link to sign in with, and makes the first backup at once. Nothing is asked; the next
/// start goes on with what is there. As one process of one user the parts are separate in name only.
///
/// Not there yet: passkeys are not offered. `stead backup` works without any server.
///
/// Example: stead up
/// Example: stead up ~/Documents /srv/shared
/// Example: stead up --demo
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Protect these files and folders of this machine [default: your home directory without caches]
    #[arg(value_name = "PATH", conflicts_with_all = ["only_server", "demo"])]
    paths: Vec<PathBuf>,
    /// Keep database and keys here [default: stead/server in your data directory]
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<PathBuf>,
    /// Use this database instead of a file: postgres://USER@HOST/NAME or sqlite:PATH
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Keep repositories there, as restic writes it: a directory, s3:… [default: beside the database]
    #[arg(long, value_name = "LOCATION", conflicts_with = "only_server")]
    storage: Option<String>,
    /// Listen here
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// Let machines bring their backups here [default: the address of --listen, port 8444]
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "only_server")]
    gateway_listen: Option<SocketAddr>,
    /// Back up the server itself there, every day: a place that survives this machine [default: beside the database]
    #[arg(long, value_name = "LOCATION")]
    safety: Option<String>,
    /// Start the server alone: no gateway and nothing that is protected here
    #[arg(long)]
    only_server: bool,
    /// The name by which browsers and agents reach the server [default: this host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Get a certificate that browsers know for that name, and renew it, from Let's Encrypt or --acme-directory: you agree
    /// to its terms, and it must reach this server at port 443 of that name
    #[arg(long, requires = "name", conflicts_with_all = ["tls_cert", "plain"])]
    acme: bool,
    /// The directory of another authority that speaks ACME
    #[arg(long, value_name = "URL", requires = "acme")]
    acme_directory: Option<String>,
    /// What that authority's own server is known by (PEM), if not by what this system trusts
    #[arg(long, value_name = "FILE", requires = "acme_directory")]
    acme_root: Option<PathBuf>,
    /// The e-mail address that the authority may write to
    #[arg(long, value_name = "ADDRESS", requires = "acme")]
    acme_contact: Option<String>,
    /// Show browsers this certificate (a chain, PEM; read again when it changes) instead of one of our own authority
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Speak HTTP without TLS: only on the loopback, for trying out
    #[arg(long, conflicts_with_all = ["tls_cert", "name"])]
    plain: bool,
    /// What the owner of a new server signs in with
    #[arg(long, value_name = "ADDRESS", default_value = "owner@localhost")]
    owner: String,
    /// What the firm that a new server is for is called
    #[arg(long, value_name = "NAME", default_value = "My firm")]
    firm: String,
    /// Fill a database of its own with invented clients, machines and a year of history, to look around in
    #[arg(long, conflicts_with_all = ["database_url"])]
    demo: bool,
}

/// What `--json` tells when the server answers.
#[derive(Serialize)]
struct Listening<'a> {
    message_type: &'static str,
    address: &'a str,
    link: Option<&'a str>,
    fingerprint: &'a str,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let place = Place::made(self.data.clone(), self.demo)?;
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(self.serve(&place, context))
    }

    async fn serve(self, place: &Place, context: &Context) -> Outcome {
        let output = context.output();
        let store = Store::open(&database(place.root(), self.database_url.as_deref())).await?;
        let link = self.prepare(&store, output).await?;
        let protection = self.protection(place)?;
        let public = self.public(place)?;
        let door = Door::open(self.listen, &protection).await?;
        let facade = self.facade(&door, &protection);
        let (address, fingerprint) = (facade.address.clone(), facade.fingerprint.clone());
        let clock = Arc::new(Timestamp::now);
        let observer = Arc::new(move |event| tell(output, event));
        let alive = self.demo.then(|| tokio::spawn(demo::alive::go_on(store.clone())));
        let gate = match self.only_server || self.demo {
            true => None,
            false => Some(self.open_gate(place, context, &store, &protection, &facade).await?),
        };
        let near = near(&facade, door.address());
        let setup = Setup { store: store.clone(), door, protection, public, facade, clock, observer };
        let running = setup.start();
        let link = link.map(|path| format!("{address}{path}"));
        say(output, &address, link.as_deref(), &fingerprint)?;
        let protected = match gate.is_some() {
            true => self.protect(place, context, &store, &near).await.map(Some),
            false => Ok(None),
        };
        // What answers goes on; without protection here it says why.
        let protected = protected.unwrap_or_else(|failure| {
            output.failure(&failure.doing("cannot protect this machine"));
            None
        });
        let own = (!self.demo).then(|| tokio::spawn(self.own_backups(place, context, &store).go_on()));
        while !context.cancel.is_cancelled() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        for beside in alive.into_iter().chain(own) {
            beside.abort();
        }
        if let Some(protected) = protected {
            protected.stop().await;
        }
        running.stop().await;
        if let Some(gate) = gate {
            gate.close().await;
        }
        Ok(())
    }

    fn own_backups(&self, place: &Place, context: &Context, store: &Store) -> OwnBackups {
        let (root, location) = (place.root().to_owned(), self.safety.clone());
        OwnBackups { root, location, store: store.clone(), context: context.clone() }
    }

    /// Lets the keeper and this machine's agent begin, and the first backup.
    async fn protect(&self, place: &Place, context: &Context, store: &Store, near: &Near) -> Outcome<Protected> {
        let keeper = LocalKeeper::begin(place, context, store, near).await?;
        let wish = protect::Wish { owner: &self.owner, paths: &self.paths, place, near, store };
        let machine = protect::this_machine(&wish).await?;
        let agent = LocalAgent::begin(place, context)?;
        let first = FirstBackup { store: store.clone(), owner: self.owner.clone(), machine };
        let first = tokio::spawn(first.watch(context.clone()));
        Ok(Protected { keeper, agent, first })
    }

    /// Beside the server; where that takes any port, so does the gateway.
    fn gateway_listen(&self) -> SocketAddr {
        let port = if self.listen.port() == 0 { 0 } else { 8444 };
        self.gateway_listen.unwrap_or(SocketAddr::new(self.listen.ip(), port))
    }

    /// Opens the gateway, and tells every server on this database where it is.
    async fn open_gate(
        &self,
        place: &Place,
        context: &Context,
        store: &Store,
        protection: &Protection,
        facade: &Facade,
    ) -> Outcome<Gate> {
        let storage = match &self.storage {
            Some(storage) => storage.clone(),
            None => place.repositories()?.to_string_lossy().into_owned(),
        };
        let gate = Gate::open(gate::Wish {
            listen: self.gateway_listen(),
            protection: protection.clone(),
            storage,
            state: place.gateway()?,
            store: store.clone(),
            context: context.clone(),
        });
        let gate = gate.await?;
        let (scheme, rest) =
            facade.address.split_once("://").ok_or_else(|| Failure::new("the server has no address"))?;
        let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
        let address = format!("{scheme}://{host}:{}", gate.address().port());
        // The gateway shows what our own authority signed, whatever browsers are shown.
        let authority = if facade.fingerprint.is_empty() { None } else { Some(place.authority()?) };
        server::gateway::tell(store, address, authority).await?;
        Ok(gate)
    }

    /// Founds the firm of a new server; the path of a one-time link as long as its owner has no password.
    async fn prepare(&self, store: &Store, output: Output) -> Outcome<Option<String>> {
        let (now, name) = (Timestamp::now(), self.owner.split('@').next().unwrap_or("owner"));
        if self.demo {
            demo::fill(store, now, output).await?;
        }
        let owner = Owner { firm: self.firm.clone(), name: name.to_owned(), email: self.owner.clone() };
        first::found(store, &owner, now, rand::random()).await?;
        let email = if self.demo { demo::OWNER } else { &self.owner };
        match store.system().sign_in(email).await? {
            Some(known) if known.password.is_none() => Ok(Some(first::link(store, email, now).await?)),
            _ => Ok(None),
        }
    }
}

/// The parts that protect this machine.
struct Protected {
    keeper: LocalKeeper,
    agent: LocalAgent,
    first: tokio::task::JoinHandle<()>,
}

impl Protected {
    async fn stop(self) {
        self.first.abort();
        self.agent.stop().await;
        self.keeper.stop().await;
    }
}

fn say(output: Output, address: &str, link: Option<&str>, fingerprint: &str) -> Outcome {
    output.message(&Listening { message_type: "listening", address, link, fingerprint })?;
    output.result(format_args!("stead answers at {address}"))?;
    if !fingerprint.is_empty() {
        output.remark(format_args!("fingerprint (SHA-256) {fingerprint}"))?;
    }
    if let Some(link) = link {
        if let Some(code) = server::qr::terminal(link) {
            output.remark(format_args!("\n{code}"))?;
        }
        output.result(format_args!("sign in once, within a day, by {link}"))?;
    }
    output.remark("Ctrl-C stops it.")
}

fn tell(output: Output, event: Event) {
    match event {
        Event::Problem(words) => output.warn(words),
        Event::Refused { from } if output.is_verbose() => output.warn(format_args!("sign-in refused, from {from}")),
        _ => {}
    }
}
