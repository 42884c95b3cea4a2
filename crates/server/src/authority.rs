//! Our own authority: made at first start, kept beside the database, its fingerprint shown and pinned by agents. It signs
//! a certificate for the server's names at every start and every 30 days.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use crate::token;

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file could not be read or written.
    #[error("cannot {doing} {path}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A given file holds no certificate or no key.
    #[error("{0} holds no PEM that can be read")]
    Pem(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
    /// A certificate and its key do not fit, or the key is of a kind that is not known.
    #[error("the certificate cannot be used")]
    Use(#[from] rustls::Error),
}

/// An authority of our own, and the names that it vouches for.
pub(crate) struct Own {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    names: Vec<String>,
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Own {
    /// Read from `folder`, or made there. The names are host names and addresses.
    pub(crate) fn read(folder: &Path, names: Vec<String>, now: Timestamp) -> Result<Own, CertificateError> {
        let (key, certificate) = read_or_make(folder, now)?;
        Ok(Own { issuer: Issuer::new(authority(now), key), certificate, names })
    }

    /// Of the authority's certificate.
    pub(crate) fn fingerprint(&self) -> String {
        fingerprint(&self.certificate)
    }

    /// A fresh key and a certificate for it. 397 days are what browsers take at most.
    pub(crate) fn sign(&self, now: Timestamp) -> Result<CertifiedKey, CertificateError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(self.names.clone())?;
        params.distinguished_name = name(self.names.first().map_or("stead", String::as_str));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, now, 396);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate.der().clone(), self.certificate.clone()];
        Ok(CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider())?)
    }
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "stead");
    name.push(DnType::CommonName, common);
    name
}

/// From yesterday's midnight, because clocks differ, to that of so many days after `now`.
fn valid(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let midnight = |days: i64| {
        let date = TimeZone::UTC.to_datetime(now).date().saturating_add(days.days());
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = midnight(-1);
    params.not_after = midnight(days);
}

/// SHA-256 of a certificate, in groups, for people.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let hash = hex::encode_upper(token::sha256(certificate));
    let pairs: Vec<_> = hash.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
    pairs.join(":")
}

fn read_or_make(folder: &Path, now: Timestamp) -> Result<(KeyPair, CertificateDer<'static>), CertificateError> {
    let (key_file, certificate_file) = (folder.join("authority.key"), folder.join("authority.pem"));
    if !certificate_file.exists() {
        make(&key_file, &certificate_file, now)?;
    }
    let read = |path: &Path| {
        let file = |source| CertificateError::File { doing: "read", path: path.to_path_buf(), source };
        fs::read_to_string(path).map_err(file)
    };
    let key = KeyPair::from_pem(&read(&key_file)?)?;
    let pem = read(&certificate_file)?;
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes());
    Ok((key, certificate.map_err(|error| CertificateError::Pem(certificate_file, error))?))
}

/// What an authority's certificate says; its name is always the same, so that it is found again.
fn authority(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("authority of this stead server");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    valid(&mut params, now, 20 * 365);
    params
}

/// The key is written first: where there is a certificate, there is its key.
fn make(key_file: &Path, certificate_file: &Path, now: Timestamp) -> Result<(), CertificateError> {
    let key = KeyPair::generate()?;
    let certificate = authority(now).self_signed(&key)?;
    write_secret(key_file, &key.serialize_pem())?;
    write_secret(certificate_file, &certificate.pem())
}

/// Writes a file that only we may read, whole or not at all.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<(), CertificateError> {
    let part = path.with_extension("part");
    let write = || {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|source| CertificateError::File { doing: "write", path: path.to_path_buf(), source })
}

/// Names that a server with this address is reached by: what was given, this host's, and the loopback's.
pub fn names(given: &[String], host: &str, address: IpAddr) -> Vec<String> {
    let mut names = given.to_vec();
    let usual = [host.to_owned(), "localhost".into(), "127.0.0.1".into(), "::1".into()];
    let own = (!address.is_unspecified()).then(|| address.to_string());
    for name in usual.into_iter().chain(own) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_is_made_once_and_stays() {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let made = Own::read(folder.path(), vec!["localhost".into()], now).unwrap();
        let read = Own::read(folder.path(), vec!["backup.example".into()], now).unwrap();
        assert_eq!(made.fingerprint(), read.fingerprint());
        assert_eq!(made.fingerprint().len(), 95);
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        Own::read(folder.path(), vec!["localhost".into()], Timestamp::now()).unwrap();
        let mode = fs::metadata(folder.path().join("authority.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
