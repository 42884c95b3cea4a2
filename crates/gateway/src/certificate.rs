//! The certificate that the gateway shows, from files that may be renewed while it runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The files are looked at so often.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// A certificate with its chain, and its private key, in PEM files.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate, and those between it and the authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The certificate that a gateway shows.
#[derive(Clone, Debug)]
pub enum Certificate {
    /// From files, which may be renewed while it runs.
    Files(CertificateFiles),
    /// Whatever this shows at the moment.
    Shown(Arc<dyn ResolvesServerCert>),
}

impl From<CertificateFiles> for Certificate {
    fn from(files: CertificateFiles) -> Certificate {
        Certificate::Files(files)
    }
}

impl Certificate {
    /// How TLS is spoken with this certificate: versions 1.2 and 1.3, HTTP/2 and HTTP/1.1.
    pub(crate) fn configuration(&self) -> Result<rustls::ServerConfig, CertificateError> {
        match self {
            Certificate::Files(files) => files.configuration(),
            Certificate::Shown(shown) => {
                let fail = |source| CertificateError { certificate: PathBuf::from("of the server"), source };
                speaks(Arc::new(aws_lc_rs::default_provider()), Arc::clone(shown)).map_err(fail)
            }
        }
    }
}

fn speaks(
    provider: Arc<CryptoProvider>,
    shows: Arc<dyn ResolvesServerCert>,
) -> Result<rustls::ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut configuration = builder.with_no_client_auth().with_cert_resolver(shows);
    configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(configuration)
}

/// A certificate that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the certificate {}", certificate.display())]
pub struct CertificateError {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// Why not.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Reads the files again when they change; keeps what it had where they cannot be used.
#[derive(Debug)]
struct Renewed {
    files: CertificateFiles,
    provider: Arc<CryptoProvider>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    changed: Option<SystemTime>,
    looked: Instant,
}

impl CertificateFiles {
    fn configuration(&self) -> Result<rustls::ServerConfig, CertificateError> {
        let fail = |source| CertificateError { certificate: self.certificate.clone(), source };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = self.read(&provider).map_err(fail)?;
        let current = Mutex::new(Current { key, changed: self.changed(), looked: Instant::now() });
        let renewed = Renewed { files: self.clone(), provider: Arc::clone(&provider), current };
        speaks(provider, Arc::new(renewed)).map_err(fail)
    }

    fn read(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, Box<dyn std::error::Error + Send + Sync>> {
        let chain: Vec<_> = CertificateDer::pem_file_iter(&self.certificate)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        let certified = CertifiedKey::from_der(chain, key, provider)?;
        Ok(Arc::new(certified))
    }

    fn changed(&self) -> Option<SystemTime> {
        let changed = |file| std::fs::metadata(file).and_then(|metadata| metadata.modified()).ok();
        changed(&self.certificate).max(changed(&self.key))
    }
}

impl ResolvesServerCert for Renewed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut current = self.current.lock();
        if current.looked.elapsed() >= LOOK_AGAIN {
            current.looked = Instant::now();
            let changed = self.files.changed();
            if changed != current.changed
                && let Ok(key) = self.files.read(&self.provider)
            {
                (current.key, current.changed) = (key, changed);
            }
        }
        Some(Arc::clone(&current.key))
    }
}
