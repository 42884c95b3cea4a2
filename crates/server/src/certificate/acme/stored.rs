//! The certificate that is kept: its key and its chain in one file, so that there is never one without the other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::authority::CertificateError;

/// A certificate as it is kept.
pub(super) struct Stored {
    pub(super) key: CertifiedKey,
    names: Vec<String>,
    from: i64,
    until: i64,
}

impl Stored {
    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join("certificate.pem")
    }

    /// What is there.
    pub(super) fn read(folder: &Path) -> Result<Option<Stored>, CertificateError> {
        let path = Stored::path(folder);
        match path.exists() {
            true => Stored::parse(&path, &text(&path)?).map(Some),
            false => Ok(None),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Stored, CertificateError> {
        let pem = |error| CertificateError::Pem(path.to_path_buf(), error);
        let nothing = || pem(rustls::pki_types::pem::Error::NoItemsFound);
        let private = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(pem)?;
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<_, _>>().map_err(pem)?;
        let leaf = chain.first().ok_or_else(nothing)?.clone();
        let (_, parsed) = X509Certificate::from_der(&leaf).map_err(|_| nothing())?;
        let validity = parsed.validity();
        Ok(Stored {
            names: names(&parsed),
            from: validity.not_before.timestamp(),
            until: validity.not_after.timestamp(),
            key: CertifiedKey::from_der(chain, private, &aws_lc_rs::default_provider())?,
        })
    }

    /// Whether it is good for all these names.
    pub(super) fn is_for(&self, names: &[String]) -> bool {
        names.iter().all(|name| self.names.iter().any(|known| known.eq_ignore_ascii_case(name)))
    }

    /// When two thirds of its time are over.
    pub(super) fn renewal(&self) -> Timestamp {
        let moment = self.from + (self.until - self.from) / 3 * 2;
        Timestamp::from_second(moment).unwrap_or(Timestamp::MIN)
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(found)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = found.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    dns.collect()
}

/// A file's text.
pub(super) fn text(path: &Path) -> Result<String, CertificateError> {
    fs::read_to_string(path).map_err(failed("read", path))
}

/// Makes the folder that only we may read.
pub(super) fn make_folder(folder: &Path) -> Result<(), CertificateError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(failed("make", folder))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CertificateError {
    let path = path.to_path_buf();
    move |source| CertificateError::File { doing, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn kept(folder: &Path, names: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2026, 9, 1);
        params.not_after = date_time_ymd(2026, 11, 30);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(Stored::path(folder), format!("{}{}", key.serialize_pem(), certificate.pem())).unwrap();
    }

    #[test]
    fn of_ninety_days_sixty_pass_before_it_is_renewed() {
        let folder = tempfile::tempdir().unwrap();
        kept(folder.path(), &["backup.example"]);
        let stored = Stored::read(folder.path()).unwrap().unwrap();
        assert_eq!(stored.renewal().to_string(), "2026-10-31T00:00:00Z");
    }

    #[test]
    fn a_certificate_is_used_only_if_it_has_all_names() {
        let folder = tempfile::tempdir().unwrap();
        kept(folder.path(), &["backup.example", "Vault.Example"]);
        let stored = Stored::read(folder.path()).unwrap().unwrap();
        assert!(stored.is_for(&["vault.example".into(), "backup.example".into()]));
        assert!(!stored.is_for(&["backup.example".into(), "other.example".into()]));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_no_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Stored::read(folder.path()).unwrap().is_none());
        fs::write(Stored::path(folder.path()), "-----BEGIN CERTIFICATE-----\nnonsense").unwrap();
        assert!(Stored::read(folder.path()).is_err());
    }
}
