//! What the server shows of itself: to agents that pin it a certificate of its own authority, and to others a public one
//! where there is one. Both are replaced while it runs.

pub mod acme;
pub mod given;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use api::wire;
use jiff::Timestamp;
use parking_lot::RwLock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::app::Clock;
use crate::authority::{CertificateError, Own, fingerprint};
use crate::observer::Observer;

/// Public certificates that may have been seen by somebody who is just connecting: this one and the one before.
const LATEST: usize = 2;

/// Protocol of those who look whether a name is ours (RFC 8737).
const CHALLENGE: &[u8] = b"acme-tls/1";

/// Chooses what is shown to somebody who connects.
pub type Resolver = Arc<dyn ResolvesServerCert>;

/// What the server shows of itself.
#[derive(Debug)]
pub struct Certificate {
    own: Own,
    signed: RwLock<Arc<CertifiedKey>>,
    public: RwLock<Option<Arc<CertifiedKey>>>,
    latest: RwLock<Vec<String>>,
    answers: RwLock<BTreeMap<String, Arc<CertifiedKey>>>,
}

/// Where a public certificate comes from.
#[derive(Debug)]
pub enum Public {
    /// Files that somebody else keeps up to date.
    Given(given::Files),
    /// An authority that speaks ACME.
    Acme(acme::Wish),
}

impl Certificate {
    /// One of our own authority, which is read from `folder` or made there. The names are host names and addresses.
    pub fn own(folder: &Path, names: Vec<String>, now: Timestamp) -> Result<Certificate, CertificateError> {
        let own = Own::read(folder, names, now)?;
        let signed = RwLock::new(Arc::new(own.sign(now)?));
        let (public, latest, answers) = Default::default();
        Ok(Certificate { own, signed, public, latest, answers })
    }

    /// SHA-256 of what agents pin: our authority's certificate. In groups, for people.
    pub fn fingerprint(&self) -> String {
        self.own.fingerprint()
    }

    /// Whether somebody who signed for this fingerprint saw us.
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        let latest = self.latest.read();
        std::iter::once(self.fingerprint()).chain(latest.iter().cloned()).collect()
    }

    /// Signs a new certificate of our own authority.
    pub fn renew(&self, now: Timestamp) -> Result<(), CertificateError> {
        *self.signed.write() = Arc::new(self.own.sign(now)?);
        Ok(())
    }

    /// Shows this one to whoever does not pin us.
    pub(crate) fn show(&self, public: CertifiedKey) {
        let mut latest = self.latest.write();
        if let Some(leaf) = public.cert.first() {
            let leaf = fingerprint(leaf);
            latest.retain(|known| *known != leaf);
            latest.insert(0, leaf);
            latest.truncate(LATEST);
        }
        *self.public.write() = Some(Arc::new(public));
    }

    /// What those see who look whether a name is ours.
    pub(crate) fn answer(&self, name: &str, answer: CertifiedKey) {
        self.answers.write().insert(name.to_owned(), Arc::new(answer));
    }

    /// They have looked.
    pub(crate) fn answered(&self) {
        self.answers.write().clear();
    }

    /// For a door at which everybody pins us, or knows our authority.
    pub fn alone(self: &Arc<Self>) -> Resolver {
        Arc::new(Alone(Arc::clone(self)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let speaks = |wanted: &[u8]| hello.alpn().is_some_and(|mut protocols| protocols.any(|one| one == wanted));
        if speaks(CHALLENGE) {
            return self.answers.read().get(hello.server_name()?).cloned();
        }
        let public = self.public.read().clone().filter(|_| !speaks(wire::PINNED.as_bytes()));
        Some(public.unwrap_or_else(|| Arc::clone(&self.signed.read())))
    }
}

/// Our own authority's certificate, whoever asks.
#[derive(Debug)]
struct Alone(Arc<Certificate>);

impl ResolvesServerCert for Alone {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.signed.read()))
    }
}

impl Public {
    /// Shows what there is, and goes on to keep it up to date.
    pub async fn keep(self, certificate: Arc<Certificate>, clock: Clock, observer: Observer) {
        match self {
            Public::Given(files) => files.keep(&certificate, &observer).await,
            Public::Acme(wish) => wish.keep(&certificate, &clock, &observer).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn certificate() -> Certificate {
        let folder = tempfile::tempdir().unwrap();
        Certificate::own(folder.path(), vec!["localhost".into()], now()).unwrap()
    }

    #[test]
    fn a_renewed_certificate_is_another_one_of_the_same_authority() {
        let certificate = certificate();
        let (before, known) = (certificate.signed.read().cert[0].clone(), certificate.fingerprint());
        certificate.renew(now()).unwrap();
        assert_ne!(before, certificate.signed.read().cert[0]);
        assert_eq!(certificate.fingerprint(), known);
    }

    #[test]
    fn who_saw_the_public_certificate_before_the_last_is_still_believed_but_nobody_older() {
        let (ours, others) = (certificate(), [certificate(), certificate(), certificate()]);
        for other in &others {
            ours.show(other.own.sign(now()).unwrap());
        }
        let leaf = fingerprint(&ours.public.read().as_ref().unwrap().cert[0]);
        let known = ours.fingerprints();
        assert_eq!((known.len(), &known[0], &known[1]), (3, &ours.fingerprint(), &leaf));
    }
}
