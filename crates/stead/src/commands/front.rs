//! Front: by which name and certificate a part that listens is reached, from outside and from this process.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleet::Zone;
use jiff::Timestamp;
use server::Facade;
use server::authority::{self, Certificate};
use server::listen::{Door, Protection};

use crate::failure::{Failure, Outcome};

/// How it is reached.
#[derive(clap::Args)]
pub(crate) struct FrontArgs {
    /// The name by which browsers and machines reach it [default: this host's name]
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
}

impl FrontArgs {
    /// The certificate that was given, or one of our own authority (in the folder `tls`) for every name that we may be
    /// reached by.
    pub(crate) fn protection(&self, tls: impl FnOnce() -> Outcome<PathBuf>, listen: SocketAddr) -> Outcome<Protection> {
        let certificate = match (&self.tls_cert, &self.tls_key) {
            _ if self.plain => return Ok(Protection::Plain),
            (Some(chain), Some(key)) => Certificate::given(chain, key)?,
            _ => {
                let own = outward().map(|ip| ip.to_string());
                let given: Vec<String> = self.name.iter().cloned().chain(own).collect();
                let names = authority::names(&given, &platform::hostname(), listen.ip());
                Certificate::own(&tls()?, names, Timestamp::now())?
            }
        };
        Ok(Protection::Tls(Arc::new(certificate)))
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
            Protection::Tls(certificate) => (certificate.fingerprint().to_owned(), certificate.is_own()),
            Protection::Plain => (String::new(), false),
        };
        let zone = jiff::tz::TimeZone::system();
        let zone = zone.iana_name().and_then(|name| Zone::named(name).ok()).unwrap_or_else(Zone::utc);
        let address = self.address(door.address(), protection);
        Facade { address, fingerprint, own_authority, zone, demo: false }
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
    let address = match facade.own_authority || facade.fingerprint.is_empty() {
        true => format!("{scheme}://{host}:{}", address.port()),
        // A certificate that was given is good for its own names only.
        false => facade.address.clone(),
    };
    Near { address, fingerprint: facade.fingerprint.clone() }
}
