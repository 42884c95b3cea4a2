//! A certificate that was given as files. Whoever renews it writes the files anew: they are read again when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::Certificate;
use crate::authority::CertificateError;
use crate::observer::{Event, Observer};

/// How often it is looked whether they changed.
const LOOK: Duration = Duration::from_secs(10);

/// A chain and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Files {
    chain: PathBuf,
    key: PathBuf,
}

impl Files {
    /// Reads them, so that what is wrong is told at once.
    pub fn read(chain: PathBuf, key: PathBuf) -> Result<Files, CertificateError> {
        let files = Files { chain, key };
        files.load().map(|_| files)
    }

    fn load(&self) -> Result<CertifiedKey, CertificateError> {
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(pem(&self.key))?;
        Ok(CertifiedKey::from_der(chain(&self.chain)?, key, &aws_lc_rs::default_provider())?)
    }

    fn written(&self) -> Option<[SystemTime; 2]> {
        let of = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
        Some([of(&self.chain)?, of(&self.key)?])
    }

    /// A chain without its key is half of a renewal: the next look finds the other half.
    pub(super) async fn keep(self, certificate: &Certificate, observer: &Observer) {
        let mut shown = None;
        loop {
            let written = self.written();
            if written.is_some() && written != shown {
                match self.load() {
                    Ok(new) => {
                        certificate.show(new);
                        shown = written;
                    }
                    Err(error) => observer(Event::Problem(format!("the certificate stays the old one: {error}"))),
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn pem(path: &Path) -> impl FnOnce(rustls::pki_types::pem::Error) -> CertificateError {
    let path = path.to_path_buf();
    move |error| CertificateError::Pem(path, error)
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(pem(path))?;
    match found.is_empty() {
        true => Err(pem(path)(rustls::pki_types::pem::Error::NoItemsFound)),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_told_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chain.pem");
        fs::write(&file, "nothing").unwrap();
        let error = Files::read(file.clone(), file).unwrap_err().to_string();
        assert!(error.contains("chain.pem"), "{error}");
    }
}
