//! `stead up`: server, gateway, keeper and an agent on this machine, and the link by which its owner comes in.

mod books;
mod demo;
mod gate;
pub(crate) mod place;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use fleet::Zone;
use jiff::Timestamp;
use serde::Serialize;
use server::authority::{self, Certificate};
use server::first::{self, Owner};
use server::listen::{Door, Protection};
use server::observer::Event;
use server::{Facade, Setup};
use store::Store;

use crate::commands::server::database;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output::Output;
use gate::Gate;
use place::Place;

/// Start a server: pages that show every machine and what it needs
///
/// The first start makes a database and an authority for certificates below your data directory, and prints a one-time
/// link to sign in with. Nothing is asked.
///
/// Not there yet: the gateway, the keeper and the agent, so this command makes no backup and restores nothing; no
/// messages are sent by mail or otherwise; no certificate is fetched by ACME; passkeys are not offered. `stead backup`
/// works without any server.
///
/// Example: stead up
/// Example: stead up --demo
#[derive(clap::Args)]
pub(crate) struct Args {
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
    /// Start the server alone: no gateway and nothing that is protected here
    #[arg(long)]
    only_server: bool,
    /// The name by which browsers and agents reach the server [default: this host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Show this certificate (a chain, PEM) instead of one of our own authority
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
        let running = Setup { store, door, protection, facade, clock, observer }.start();
        let link = link.map(|path| format!("{address}{path}"));
        say(output, &address, link.as_deref(), &fingerprint)?;
        while !context.cancel.is_cancelled() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        if let Some(alive) = alive {
            alive.abort();
        }
        running.stop().await;
        if let Some(gate) = gate {
            gate.close().await;
        }
        Ok(())
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
        let authority = if facade.own_authority { Some(place.authority()?) } else { None };
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

    fn protection(&self, place: &Place) -> Outcome<Protection> {
        let certificate = match (&self.tls_cert, &self.tls_key) {
            _ if self.plain => return Ok(Protection::Plain),
            (Some(chain), Some(key)) => Certificate::given(chain, key)?,
            _ => {
                let given: Vec<String> = self.name.iter().cloned().collect();
                let names = authority::names(&given, &platform::hostname(), self.listen.ip());
                Certificate::own(&place.tls()?, names, Timestamp::now())?
            }
        };
        Ok(Protection::Tls(Arc::new(certificate)))
    }

    fn facade(&self, door: &Door, protection: &Protection) -> Facade {
        let address = door.address();
        let host = match &self.name {
            Some(name) => name.clone(),
            None if address.ip().is_unspecified() => platform::hostname(),
            None if address.ip().is_loopback() => "localhost".into(),
            None => address.ip().to_string(),
        };
        let (scheme, fingerprint, own_authority) = match protection {
            Protection::Tls(certificate) => ("https", certificate.fingerprint().to_owned(), certificate.is_own()),
            Protection::Plain => ("http", String::new(), false),
        };
        let zone = jiff::tz::TimeZone::system();
        let zone = zone.iana_name().and_then(|name| Zone::named(name).ok()).unwrap_or_else(Zone::utc);
        let address = format!("{scheme}://{host}:{}", address.port());
        Facade { address, fingerprint, own_authority, zone, demo: self.demo }
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
