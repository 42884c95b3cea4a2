//! `stead gateway serve`: the gateway itself.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backend::SystemClock;
use gateway::{
    CertificateFiles, ConnectionLimits, Gateway, Meter, Options, RepositoryName, SecretHash, Server, ServerOptions,
    Viewer,
};
use serde::Serialize;

use super::place::{self, Below, PlaceArgs};
use crate::commands::front;
use crate::failure::{Failure, Outcome};
use crate::open::Context;

/// Let machines in
///
/// Example: stead gateway serve --listen 0.0.0.0:8000 --data /srv/backups --access gateway.json --tls-cert cert.pem --tls-key key.pem
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen; port 0 is a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// Directory or storage (such as s3:host/bucket/prefix) that has a repository below it for each name
    #[arg(long, value_name = "LOCATION")]
    data: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// Speak TLS with this certificate (PEM, with its chain); it is read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Show figures for Prometheus at /metrics to whoever has the token in this file (default: to programs of this machine)
    #[arg(long, value_name = "FILE")]
    metrics_token_file: Option<PathBuf>,
    /// Files that are received and sent at the same time
    #[arg(long, value_name = "NUMBER", default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..))]
    transfers: u16,
    /// Failed attempts per minute and address that are judged
    #[arg(long, value_name = "NUMBER", default_value = "30")]
    failed_attempts: NonZeroU32,
    /// A lock that came longer ago than this is removed
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = crate::render::time::parse_duration)]
    locks_last: Duration,
}

#[derive(Serialize)]
struct Listening {
    message_type: &'static str,
    address: SocketAddr,
    tls: bool,
}

/// How often we look whether we shall end.
const LOOK: Duration = Duration::from_millis(100);

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        front::expect_many();
        let output = context.output();
        let tls = self.certificate();
        if tls.is_none() && !self.listen.ip().is_loopback() {
            output.warn(
                "without TLS everybody on the way can read the machines' passwords: give --tls-cert and --tls-key",
            );
        }
        let options = ServerOptions {
            listen: self.listen,
            certificate: tls.clone().map(Into::into),
            meter: meter(self.metrics_token_file.as_deref())?,
            limits: ConnectionLimits { transfers: self.transfers.into(), ..ConnectionLimits::default() },
        };
        let server = Server::start(Gateway::new(self.options(context)?), options)?;
        let address = server.address();
        output.message(&Listening { message_type: "listening", address, tls: tls.is_some() })?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        output.remark(format_args!("listening on {scheme}://{address}/, repositories are in {}", self.data))?;
        while !context.cancel.is_cancelled() {
            std::thread::sleep(LOOK);
        }
        server.stop();
        Ok(())
    }

    fn options(&self, context: &Context) -> Outcome<Options> {
        let below = Below { context: context.clone(), data: self.data.clone() };
        let (access, ledger) = (Arc::new(self.place.access()), Arc::new(self.place.ledger()?));
        // A wrong location is told now and not to the first machine.
        let example: RepositoryName = "a".parse()?;
        place::storage(context, &self.data, &example)?;
        let mut options = Options::new(access, Arc::new(below), ledger, Arc::new(SystemClock), self.place.spool());
        options.locks_last = self.locks_last;
        options.attempts.per_address = self.failed_attempts;
        options.room = place::room(&self.data)?;
        let output = context.output();
        options.trouble = Arc::new(move |words| output.warn(words));
        Ok(options)
    }

    fn certificate(&self) -> Option<CertificateFiles> {
        let (certificate, key) = (self.tls_cert.clone()?, self.tls_key.clone()?);
        Some(CertificateFiles { certificate, key })
    }
}

/// What counts, and who may see it: whoever has the token in the file, or programs of this machine.
pub(super) fn meter(token_file: Option<&Path>) -> Outcome<Option<(Meter, Viewer)>> {
    let viewer = match token_file {
        None => Viewer::Loopback,
        Some(file) => {
            let token = std::fs::read_to_string(file).map_err(|error| Failure::io("read", file, error))?;
            match token.trim() {
                short if short.len() < 20 => return Err(Failure::new("a token has at least 20 characters")),
                token => Viewer::Token(SecretHash::of(token)),
            }
        }
    };
    Ok(Meter::install().map(|meter| (meter, viewer)))
}
