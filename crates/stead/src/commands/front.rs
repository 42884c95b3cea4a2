//! Front: by which name and certificate a part that listens is reached, from outside and from this process.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleet::Zone;
use jiff::Timestamp;
use server::Facade;
use server::authority;
use server::certificate::acme::Wish;
use server::certificate::given::Files;
use server::certificate::{Certificate, Public};
use server::listen::{Door, Protection};

use crate::failure::{Failure, Outcome};

/// Lets as many connections be open as the system allows: each takes a file, and the usual limit is 1,024, which is for
/// programs that use `select`. Where it cannot be raised it stays, and connections wait.
pub(crate) fn expect_many() {
    _ = platform::raise_open_files_limit();
}

/// How it is reached.
#[derive(clap::Args)]
pub(crate) struct FrontArgs {
    /// The name by which browsers and machines reach it [default: this host's name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Show this certificate (a chain, PEM; read again when it changes) instead of one of our own authority
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Speak HTTP without TLS: only on the loopback, for trying out
    #[arg(long, conflicts_with_all = ["tls_cert", "name"])]
    plain: bool,
}

impl FrontArgs {
    /// A certificate of our own authority (in the folder `tls`) for every name that we may be reached by.
    pub(crate) fn protection(&self, tls: impl FnOnce() -> Outcome<PathBuf>, listen: SocketAddr) -> Outcome<Protection> {
        if self.plain {
            return Ok(Protection::Plain);
        }
        let own = outward().map(|ip| ip.to_string());
        let given: Vec<String> = self.name.iter().cloned().chain(own).collect();
        let names = authority::names(&given, &platform::hostname(), listen.ip());
        let certificate = Certificate::own(&tls()?, names, Timestamp::now())?;
        Ok(Protection::Tls(Arc::new(certificate)))
    }

    /// Whether it speaks without TLS.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// The certificate that was given.
    pub(crate) fn given(&self) -> Outcome<Option<Public>> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(chain), Some(key)) => Ok(Some(Public::Given(Files::read(chain.clone(), key.clone())?))),
            _ => Ok(None),
        }
    }

    /// The address by which others reach what listens there.
    pub(crate) fn address(&self, listens: SocketAddr, protection: &Protection) -> String {
        let host = match &self.name {
            Some(name) => name.clone(),
            None if listens.ip().is_unspecified() => own_name(),
            None if listens.ip().is_loopback() => this_machine(listens.ip()),
            None => in_address(listens.ip()),
        };
        let scheme = if matches!(protection, Protection::Tls(_)) { "https" } else { "http" };
        format!("{scheme}://{host}:{}", listens.port())
    }

    /// How the server is known to those who use it.
    pub(crate) fn facade(&self, door: &Door, protection: &Protection) -> Facade {
        let (fingerprint, own_authority) = match protection {
            Protection::Tls(certificate) => (certificate.fingerprint(), true),
            Protection::Plain => (String::new(), false),
        };
        let zone = jiff::tz::TimeZone::system();
        let zone = zone.iana_name().and_then(|name| Zone::named(name).ok()).unwrap_or_else(Zone::utc);
        let address = self.address(door.address(), protection);
        Facade { address, fingerprint, own_authority, zone, demo: false }
    }
}

/// Where a certificate comes from that browsers know.
#[derive(clap::Args)]
pub(crate) struct AcmeArgs {
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
}

impl AcmeArgs {
    /// What browsers are shown instead of our own authority's certificate, if one is given or to be got.
    pub(crate) fn public(&self, front: &FrontArgs, tls: impl FnOnce() -> Outcome<PathBuf>) -> Outcome<Option<Public>> {
        if !self.acme {
            return front.given();
        }
        let name = front.name.clone().unwrap_or_default();
        if name.parse::<IpAddr>().is_ok() || !name.contains('.') {
            let words = format!("{name:?} is no name that an authority vouches for");
            return Err(Failure::new(words).hint("it has to be one like backup.example.com"));
        }
        Ok(Some(Public::Acme(Wish {
            names: vec![name],
            directory: self.acme_directory.clone(),
            root: self.acme_root.clone(),
            contact: self.acme_contact.clone(),
            folder: tls()?.join("acme"),
        })))
    }
}

/// Our authority's certificate (PEM) in the folder `tls`, as machines are told it.
pub(crate) fn authority(tls: &Path) -> Outcome<String> {
    let path = tls.join("authority.pem");
    fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, error))
}

/// This host's name if it can be looked up; else the address that it has towards others, if it has one.
fn own_name() -> String {
    let name = platform::hostname();
    match outward() {
        _ if is_known(&name) => name,
        Some(ip) => in_address(ip),
        None => this_machine(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    }
}

/// Whether a name can be looked up.
fn is_known(name: &str) -> bool {
    (name, 0).to_socket_addrs().is_ok_and(|mut found| found.next().is_some())
}

/// This machine to itself: by name, as browsers allow more there; a system without `/etc/hosts` knows only the address.
fn this_machine(ip: IpAddr) -> String {
    let loopback = match ip {
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(ip) if ip.is_loopback() => IpAddr::V4(ip),
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    if is_known("localhost") { "localhost".into() } else { in_address(loopback) }
}

/// The address from which this machine would send to others. Nothing is sent: the address is one of those for examples.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

fn in_address(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// How parts of this process reach the server.
pub(crate) struct Near {
    /// Its address on this machine.
    pub(crate) address: String,
    /// What it is known by; empty without TLS.
    pub(crate) fingerprint: String,
}

/// Over the loopback where the server listens there; else at its own address.
pub(crate) fn near(facade: &Facade, address: SocketAddr) -> Near {
    let scheme = if facade.fingerprint.is_empty() { "http" } else { "https" };
    let ip = address.ip();
    let host = if ip.is_unspecified() || ip.is_loopback() { this_machine(ip) } else { in_address(ip) };
    Near { address: format!("{scheme}://{host}:{}", address.port()), fingerprint: facade.fingerprint.clone() }
}
