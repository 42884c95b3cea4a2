//! Front: by which name and certificate the server is reached, from outside and from this process.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;

use fleet::Zone;
use jiff::Timestamp;
use server::Facade;
use server::authority;
use server::certificate::{Certificate, Public, acme, given};
use server::listen::{Door, Protection};

use super::Args;
use super::place::Place;
use crate::failure::{Failure, Outcome};

impl Args {
    /// A certificate of our own authority for every name that we may be reached by.
    pub(super) fn protection(&self, place: &Place) -> Outcome<Protection> {
        if self.plain {
            return Ok(Protection::Plain);
        }
        let own = outward().map(|ip| ip.to_string());
        let given: Vec<String> = self.name.iter().cloned().chain(own).collect();
        let names = authority::names(&given, &platform::hostname(), self.listen.ip());
        let certificate = Certificate::own(&place.tls()?, names, Timestamp::now())?;
        Ok(Protection::Tls(Arc::new(certificate)))
    }

    /// What browsers are shown instead, if it is given or to be got.
    pub(super) fn public(&self, place: &Place) -> Outcome<Option<Public>> {
        match (&self.tls_cert, &self.tls_key, self.acme) {
            (Some(chain), Some(key), _) => Ok(Some(Public::Given(given::Files::read(chain.clone(), key.clone())?))),
            (_, _, true) => Ok(Some(Public::Acme(self.wish(place)?))),
            _ => Ok(None),
        }
    }

    fn wish(&self, place: &Place) -> Outcome<acme::Wish> {
        let name = self.name.clone().unwrap_or_default();
        if name.parse::<IpAddr>().is_ok() || !name.contains('.') {
            let words = format!("{name:?} is no name that an authority vouches for: it has to be one like backup.example.com");
            return Err(Failure::new(words));
        }
        Ok(acme::Wish {
            names: vec![name],
            directory: self.acme_directory.clone(),
            root: self.acme_root.clone(),
            contact: self.acme_contact.clone(),
            folder: place.tls()?.join("acme"),
        })
    }

    /// How the server is known to those who use it.
    pub(super) fn facade(&self, door: &Door, protection: &Protection) -> Facade {
        let address = door.address();
        let host = match &self.name {
            Some(name) => name.clone(),
            None if address.ip().is_unspecified() => own_name(),
            None if address.ip().is_loopback() => "localhost".into(),
            None => in_address(address.ip()),
        };
        let (scheme, fingerprint, own_authority) = match protection {
            Protection::Tls(certificate) => ("https", certificate.fingerprint(), self.tls_cert.is_none() && !self.acme),
            Protection::Plain => ("http", String::new(), false),
        };
        let zone = jiff::tz::TimeZone::system();
        let zone = zone.iana_name().and_then(|name| Zone::named(name).ok()).unwrap_or_else(Zone::utc);
        let address = format!("{scheme}://{host}:{}", address.port());
        Facade { address, fingerprint, own_authority, zone, demo: self.demo }
    }
}

/// This host's name if it can be looked up; else the address that it has towards others, if it has one.
fn own_name() -> String {
    let name = platform::hostname();
    let is_known = (name.as_str(), 0).to_socket_addrs().is_ok_and(|mut found| found.next().is_some());
    match outward() {
        _ if is_known => name,
        Some(ip) => in_address(ip),
        None => "localhost".into(),
    }
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
pub(super) struct Near {
    /// Its address on this machine.
    pub(super) address: String,
    /// What it is known by; empty without TLS.
    pub(super) fingerprint: String,
}

/// Over the loopback where the server listens there; else at its own address.
pub(super) fn near(facade: &Facade, address: SocketAddr) -> Near {
    let scheme = if facade.fingerprint.is_empty() { "http" } else { "https" };
    let ip = address.ip();
    let host = if ip.is_unspecified() || ip.is_loopback() { "localhost".into() } else { in_address(ip) };
    Near { address: format!("{scheme}://{host}:{}", address.port()), fingerprint: facade.fingerprint.clone() }
}
