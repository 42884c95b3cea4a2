//! `stead gateway run`: a server's gateway, as a process of its own on the server's database.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use server::certificate::{Certificate, Public, Resolver};
use server::listen::Protection;
use server::observer::Event;
use store::Store;

use super::gate::{Gate, Wish};
use super::serve::meter;
use crate::commands::agent::is_root;
use crate::commands::front::{self, FrontArgs};
use crate::commands::up::place::make;
use crate::environment;
use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;
use crate::output::Output;

/// Be the gateway of a server, until it is stopped
///
/// Accounts, limits and receipts are in the server's database; there is no file of accounts as `stead gateway serve` has.
/// The servers on that database tell agents and keepers where it is, and by which authority it is known. Several gateways
/// may run on one database and one storage: machines are told of the one that started last, so give those behind one name
/// the same --address and the same certificate.
///
/// Example: stead gateway run --database-url postgres://stead@db/stead --storage s3:https://s3.example.org/backups --name backup.example
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The server's database: postgres://USER@HOST/NAME or sqlite:PATH [env: STEAD_DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// Keep repositories there, as restic writes it: a directory, s3:… [env: STEAD_STORAGE]
    #[arg(long, value_name = "LOCATION")]
    storage: Option<String>,
    /// Keep the authority, and files on their way, there [default: /var/lib/stead/gateway for root, else stead/gateway in
    /// your state directory]
    #[arg(long, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
    /// Listen here
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8444")]
    listen: SocketAddr,
    /// How machines reach it, if a name and the port of --listen do not say that
    #[arg(long, value_name = "URL")]
    address: Option<String>,
    /// Tell machines that the certificate comes from this authority (PEM), which their system does not trust
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    authority: Option<PathBuf>,
    #[command(flatten)]
    front: FrontArgs,
    /// Show figures for Prometheus at /metrics to whoever has the token in this file [default: to programs of this machine]
    #[arg(long, value_name = "FILE")]
    metrics_token_file: Option<PathBuf>,
}

/// What `--json` tells when the gateway answers.
#[derive(Serialize)]
struct Listening<'a> {
    message_type: &'static str,
    /// Where it listens.
    listens: SocketAddr,
    /// What machines are told.
    address: &'a str,
}

/// How often we look whether we shall end, and how old a certificate of our own gets.
const LOOK: Duration = Duration::from_millis(100);
const RENEWAL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        front::expect_many();
        let runtime = tokio::runtime::Runtime::new()?;
        runtime.block_on(self.serve(context))
    }

    async fn serve(self, context: &Context) -> Outcome {
        let (state, storage) = (self.state()?, self.storage()?);
        let tls = state.join("tls");
        let made = || make(&tls).map(|()| tls.clone());
        let protection = self.front.protection(made, self.listen)?;
        let store = Store::open(&self.database()?).await?;
        let given = self.front.given()?;
        let has_given = given.is_some();
        let shown = shown(&protection, given, context.output());
        let gate = Gate::open(Wish {
            listen: self.listen,
            certificate: shown,
            storage: storage.clone(),
            state: state.clone(),
            store: store.clone(),
            context: context.clone(),
            meter: meter(self.metrics_token_file.as_deref())?,
        });
        let gate = gate.await?;
        let address = self.address.clone().unwrap_or_else(|| self.front.address(gate.address(), &protection));
        server::gateway::tell(&store, address.clone(), self.authority(&tls, has_given)?).await?;
        let output = context.output();
        output.message(&Listening { message_type: "listening", listens: gate.address(), address: &address })?;
        output.remark(format_args!(
            "machines bring their backups to {address}; repositories are in {}",
            crate::open::shown(&storage)
        ))?;
        let stop = context.cancel.clone();
        wait(&protection, output, || stop.is_cancelled()).await;
        gate.close().await;
        store.close().await.doing(|| "cannot let go of the database".into())
    }

    fn database(&self) -> Outcome<String> {
        let given = self.database_url.clone().or_else(|| environment::text("DATABASE_URL"));
        given.ok_or_else(|| Failure::new("which database is the server's?").hint("name it with `--database-url`"))
    }

    fn storage(&self) -> Outcome<String> {
        let given = self.storage.clone().or_else(|| environment::text("STORAGE"));
        given.ok_or_else(|| Failure::new("where are repositories to be?").hint("say it with `--storage`"))
    }

    fn state(&self) -> Outcome<PathBuf> {
        let usual = || match is_root() {
            true => Some(PathBuf::from("/var/lib/stead/gateway")),
            false => environment::state_directory().map(|state| state.join("gateway")),
        };
        let nowhere = || {
            Failure::new("there is no home directory to keep the gateway's state in").hint("name one with `--state`")
        };
        let state = self.state.clone().or_else(usual).ok_or_else(nowhere)?;
        make(&state)?;
        Ok(state)
    }

    /// The authority that machines are told; none: one that their system trusts.
    fn authority(&self, tls: &Path, has_given: bool) -> Outcome<Option<String>> {
        match &self.authority {
            Some(file) => std::fs::read_to_string(file).map(Some).map_err(|error| Failure::io("read", file, error)),
            None if has_given || self.front.is_plain() => Ok(None),
            None => front::authority(tls).map(Some),
        }
    }
}

/// What machines are shown: what was given, and is kept up to date from here on; else what our own authority signed.
fn shown(protection: &Protection, given: Option<Public>, output: Output) -> Option<Resolver> {
    let Protection::Tls(certificate) = protection else { return None };
    if let Some(given) = given {
        let observer = Arc::new(move |event| {
            if let Event::Problem(words) = event {
                output.warn(words);
            }
        });
        tokio::spawn(given.keep(Arc::clone(certificate), Arc::new(Timestamp::now), observer));
    }
    Some(Arc::<Certificate>::clone(certificate))
}

/// Waits for the end; a certificate of our own authority is made anew long before it ends.
async fn wait(protection: &Protection, output: Output, is_over: impl Fn() -> bool) {
    let own: Option<&Arc<Certificate>> = match protection {
        Protection::Tls(certificate) => Some(certificate),
        Protection::Plain => None,
    };
    let mut made = Instant::now();
    while !is_over() {
        tokio::time::sleep(LOOK).await;
        if let Some(own) = own.filter(|_| made.elapsed() >= RENEWAL) {
            made = Instant::now();
            if let Err(error) = own.renew(Timestamp::now()) {
                output.warn(format_args!("cannot renew the gateway's certificate: {error}"));
            }
        }
    }
}
