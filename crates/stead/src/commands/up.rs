//! `stead up`: server, gateway, keeper and an agent on this machine, and the link by which its owner comes in.

mod demo;
mod first_backup;
mod local_agent;
pub(crate) mod local_keeper;
mod own_backups;
pub(crate) mod place;
mod protect;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use gateway::{Meter, Viewer};
use jiff::Timestamp;
use serde::Serialize;

use server::certificate::Resolver;
use server::first::{self, Owner};
use server::listen::{Door, Protection};
use server::observer::Event;
use server::seal::Seal;
use server::{Facade, Setup};
use store::Store;

use crate::commands::front::{self, AcmeArgs, FrontArgs, Near, near};
use crate::commands::gateway::gate::{self, Gate};
use crate::commands::server::{database, file_beside};
use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;
use crate::output::Output;
use first_backup::FirstBackup;
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
/// `stead backup` works without any server.
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
    /// Use this database instead of a file: postgres://USER@HOST/NAME or sqlite:PATH [env: STEAD_DATABASE_URL]
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
    /// Start the server alone: no gateway and nothing that is protected here
    #[arg(long)]
    only_server: bool,
    #[command(flatten)]
    front: FrontArgs,
    #[command(flatten)]
    acme: AcmeArgs,
    #[command(flatten)]
    begin: BeginArgs,
    /// Fill a database of its own with invented clients, machines and a year of history, to look around in
    #[arg(long, conflicts_with_all = ["database_url"])]
    demo: bool,
}

/// What a new server begins with, and how it keeps itself safe.
#[derive(clap::Args)]
pub(crate) struct BeginArgs {
    /// Seal secrets in the database with the key in this file; made if it is not there, and the same for all servers of a
    /// database [default: server.key beside the database]
    #[arg(long, value_name = "FILE")]
    server_key: Option<PathBuf>,
    /// What the owner of a new server signs in with
    #[arg(long, value_name = "ADDRESS", default_value = "owner@localhost")]
    owner: String,
    /// What the firm that a new server is for is called
    #[arg(long, value_name = "NAME", default_value = "My firm")]
    firm: String,
    /// Back up the server itself there, every day: a place that survives this machine [default: below its data]
    #[arg(long, value_name = "LOCATION")]
    safety: Option<String>,
}

/// A server without the other parts.
pub(crate) struct Alone {
    /// Where it keeps its things.
    pub(crate) data: Option<PathBuf>,
    /// Its database, if it is no file there.
    pub(crate) database_url: Option<String>,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// How it is reached.
    pub(crate) front: FrontArgs,
    /// Where it gets a certificate.
    pub(crate) acme: AcmeArgs,
    /// What it begins with.
    pub(crate) begin: BeginArgs,
}

impl From<Alone> for Args {
    fn from(alone: Alone) -> Args {
        let Alone { data, database_url, listen, front, acme, begin } = alone;
        let (paths, storage, gateway_listen) = (Vec::new(), None, None);
        Args {
            paths,
            data,
            database_url,
            storage,
            listen,
            gateway_listen,
            only_server: true,
            front,
            acme,
            begin,
            demo: false,
        }
    }
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
        front::expect_many();
        let place = Place::made(self.data.clone(), self.demo)?;
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(self.serve(&place, context))
    }

    async fn serve(self, place: &Place, context: &Context) -> Outcome {
        let output = context.output();
        let store = Store::open(&self.database(place)).await?;
        let link = self.prepare(&store, output).await?;
        let protection = self.front.protection(|| place.tls(), self.listen)?;
        let public = self.acme.public(&self.front, || place.tls())?;
        let door = Door::open(self.listen, &protection).await?;
        let facade =
            Facade { demo: self.demo, own_authority: public.is_none(), ..self.front.facade(&door, &protection) };
        let (address, fingerprint) = (facade.address.clone(), facade.fingerprint.clone());
        let clock = Arc::new(Timestamp::now);
        let observer = Arc::new(move |event| tell(output, event));
        let alive = self.demo.then(|| tokio::spawn(demo::alive::go_on(store.clone())));
        let gate = match self.only_server || self.demo {
            true => None,
            false => Some(self.open_gate(place, context, &store, &protection, &facade).await?),
        };
        let near = near(&facade, door.address());
        let key = self.begin.server_key.clone().unwrap_or_else(|| place.key());
        let seal = Seal::at(&key).doing(|| "cannot open secrets of the database".into())?;
        let setup = Setup { store: store.clone(), door, protection, public, facade, seal, clock, observer };
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

    /// A demonstration has a file of its own, whatever the surroundings say.
    fn database(&self, place: &Place) -> String {
        match self.demo {
            true => file_beside(place.root()),
            false => database(place.root(), self.database_url.as_deref()),
        }
    }

    fn own_backups(&self, place: &Place, context: &Context, store: &Store) -> OwnBackups {
        let (root, location) = (place.root().to_owned(), self.begin.safety.clone());
        OwnBackups { root, location, store: store.clone(), context: context.clone() }
    }

    /// Lets the keeper and this machine's agent begin, and the first backup.
    async fn protect(&self, place: &Place, context: &Context, store: &Store, near: &Near) -> Outcome<Protected> {
        let keeper = LocalKeeper::begin(place, context, store, near).await?;
        let wish = protect::Wish { owner: &self.begin.owner, paths: &self.paths, place, near, store };
        let machine = protect::this_machine(&wish).await?;
        let agent = LocalAgent::begin(place, context)?;
        let first = FirstBackup { store: store.clone(), owner: self.begin.owner.clone(), machine };
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
            certificate: own(protection),
            storage,
            state: place.gateway()?,
            store: store.clone(),
            context: context.clone(),
            // Figures for Prometheus, for programs of this machine.
            meter: Meter::install().map(|meter| (meter, Viewer::Loopback)),
        });
        let gate = gate.await?;
        let (scheme, rest) =
            facade.address.split_once("://").ok_or_else(|| Failure::new("the server has no address"))?;
        let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
        let address = format!("{scheme}://{host}:{}", gate.address().port());
        // The gateway shows what our own authority signed, whatever browsers are shown.
        let authority = match protection {
            Protection::Tls(_) => Some(front::authority(&place.tls()?)?),
            Protection::Plain => None,
        };
        server::gateway::tell(store, address, authority).await?;
        Ok(gate)
    }

    /// Founds the firm of a new server; the path of a one-time link as long as its owner has no password.
    async fn prepare(&self, store: &Store, output: Output) -> Outcome<Option<String>> {
        let (now, name) = (Timestamp::now(), self.begin.owner.split('@').next().unwrap_or("owner"));
        if self.demo {
            demo::fill(store, now, output).await?;
        }
        let owner = Owner { firm: self.begin.firm.clone(), name: name.to_owned(), email: self.begin.owner.clone() };
        first::found(store, &owner, now, rand::random()).await?;
        let email = if self.demo { demo::OWNER } else { &self.begin.owner };
        match store.system().sign_in(email).await? {
            Some(known) if known.password.is_none() => Ok(Some(first::link(store, email, now).await?)),
            _ => Ok(None),
        }
    }
}

/// What is shown to those who know our own authority.
fn own(protection: &Protection) -> Option<Resolver> {
    match protection {
        Protection::Tls(certificate) => Some(certificate.alone()),
        Protection::Plain => None,
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
