//! Pinning: the server's certificate is checked against a fingerprint before anything is sent, and known again from then on.
//!
//! A fingerprint is the SHA-256 of a certificate: the authority's that signed the server's, which the server shows along, or
//! of the very one that it shows.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use crate::membership::Trust;

/// SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

/// A text that is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hexadecimal digits, with or without colons, as the server's enrol page shows it")]
pub struct NotAFingerprint;

/// Why a server cannot be spoken to safely.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// What is kept of the server makes no sense.
    #[error("what is kept of the server's certificate is damaged; `stead agent remove`, then enrol again")]
    Damaged,
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The certificates cannot be checked.
    #[error("cannot set up the check of certificates")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// None of the certificates that a server shows is the one that was named.
#[derive(Debug, thiserror::Error)]
#[error("the server shows another certificate than the one whose fingerprint was given: its fingerprints are {shown}")]
pub(crate) struct Unpinned {
    shown: String,
}

impl Fingerprint {
    /// Of this certificate.
    pub fn of(certificate: &[u8]) -> Fingerprint {
        let hash = aws_lc_rs_sha256(certificate);
        Fingerprint(hash)
    }
}

fn aws_lc_rs_sha256(bytes: &[u8]) -> [u8; 32] {
    let hash = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(hash.as_ref());
    out
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Fingerprint, NotAFingerprint> {
        let text = text.trim();
        let text = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("SHA256:")).unwrap_or(text);
        let digits: String = text.chars().filter(|c| !matches!(c, ':' | ' ' | '-')).collect();
        let mut hash = [0; 32];
        hex::decode_to_slice(&digits, &mut hash).map_err(|_| NotAFingerprint)?;
        Ok(Fingerprint(hash))
    }
}

/// In pairs of capital digits, as servers show it.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Which servers are believed.
#[derive(Clone, Debug)]
enum Rule {
    /// The one whose certificate, or whose authority's, has this fingerprint.
    Fingerprint(Fingerprint),
    /// Those that another check lets through.
    Other(Arc<dyn ServerCertVerifier>),
}

/// TLS for a line to a server that is known by its fingerprint; none: by what the system believes. It asks for HTTP/1.1.
pub fn pinned(fingerprint: Option<Fingerprint>) -> Result<Arc<ClientConfig>, PinError> {
    let pin = match fingerprint {
        Some(fingerprint) => Pin::fingerprint(fingerprint),
        None => Pin::system()?,
    };
    Ok(Arc::new(pin.config(&["http/1.1"])?))
}

/// Checks a server, and keeps in mind what it showed.
#[derive(Debug)]
pub struct Pin {
    rule: Rule,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Seen>>,
}

/// What a server showed that was believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How it is known again.
    pub trust: Trust,
    /// The fingerprint of that.
    pub fingerprint: Fingerprint,
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn authority(certificate: &CertificateDer<'_>) -> Result<Arc<dyn ServerCertVerifier>, PinError> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned())?;
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build()?)
}

impl Pin {
    fn new(rule: Rule) -> Arc<Pin> {
        Arc::new(Pin { rule, provider: provider(), seen: Mutex::new(None) })
    }

    /// Believes what has this fingerprint.
    pub fn fingerprint(fingerprint: Fingerprint) -> Arc<Pin> {
        Pin::new(Rule::Fingerprint(fingerprint))
    }

    /// Believes what the system believes.
    pub fn system() -> Result<Arc<Pin>, PinError> {
        Ok(Pin::new(Rule::Other(Arc::new(rustls_platform_verifier::Verifier::new(provider())?))))
    }

    /// Believes what was believed before.
    pub(crate) fn known(trust: &Trust) -> Result<Option<Arc<Pin>>, PinError> {
        let der = |digits: &str| hex::decode(digits).map_err(|_| PinError::Damaged);
        Ok(match trust {
            Trust::Loopback => None,
            Trust::System => Some(Pin::system()?),
            Trust::Certificate(digits) => Some(Pin::fingerprint(Fingerprint::of(&der(digits)?))),
            Trust::Authority(digits) => Some(Pin::fingerprint(Fingerprint::of(&der(digits)?))),
        })
    }

    /// What the server showed, once it was believed.
    pub fn seen(&self) -> Option<Seen> {
        self.seen.lock().clone()
    }

    /// TLS with this check.
    pub fn config(self: &Arc<Self>, protocols: &[&str]) -> Result<ClientConfig, PinError> {
        let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let check = Arc::clone(self) as Arc<dyn ServerCertVerifier>;
        let mut config = builder.dangerous().with_custom_certificate_verifier(check).with_no_client_auth();
        let pinned = matches!(self.rule, Rule::Fingerprint(_)).then_some(api::wire::PINNED);
        let protocols = protocols.iter().copied().chain(pinned);
        config.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
        Ok(config)
    }

    fn judge(&self, shown: &Shown<'_>) -> Result<Seen, rustls::Error> {
        let certificate = |trust: fn(String) -> Trust, der: &CertificateDer<'_>| Seen {
            trust: trust(hex::encode(der)),
            fingerprint: Fingerprint::of(der),
        };
        let wanted = match &self.rule {
            Rule::Fingerprint(wanted) => *wanted,
            Rule::Other(check) => {
                shown.to(&**check)?;
                return Ok(Seen { trust: Trust::System, fingerprint: Fingerprint::of(shown.certificate) });
            }
        };
        if Fingerprint::of(shown.certificate) == wanted {
            return Ok(certificate(Trust::Certificate, shown.certificate));
        }
        let signer = shown.chain.iter().find(|signer| Fingerprint::of(signer) == wanted);
        let signer = signer.ok_or_else(|| shown.refused())?;
        let check = authority(signer).map_err(|error| rustls::Error::General(error.to_string()))?;
        shown.to(&*check)?;
        Ok(certificate(Trust::Authority, signer))
    }
}

/// What a server shows.
struct Shown<'s> {
    certificate: &'s CertificateDer<'s>,
    chain: &'s [CertificateDer<'s>],
    name: &'s ServerName<'s>,
    ocsp: &'s [u8],
    now: UnixTime,
}

impl Shown<'_> {
    fn to(&self, check: &dyn ServerCertVerifier) -> Result<(), rustls::Error> {
        check.verify_server_cert(self.certificate, self.chain, self.name, self.ocsp, self.now).map(drop)
    }

    fn refused(&self) -> rustls::Error {
        let all = std::iter::once(self.certificate).chain(self.chain).take(4);
        let shown: Vec<String> = all.map(|certificate| Fingerprint::of(certificate).to_string()).collect();
        let why = Unpinned { shown: shown.join(", ") };
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = self.judge(&Shown { certificate, chain, name, ocsp, now })?;
        *self.seen.lock() = Some(seen);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_however_it_is_written() {
        let shown = Fingerprint::of(b"certificate").to_string();
        assert_eq!(shown.len(), 95);
        let plain = shown.replace(':', "").to_lowercase();
        for text in [&shown, &plain, &format!(" sha256:{plain}\n"), &shown.replace(':', " ")] {
            assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), shown, "{text}");
        }
        for text in ["", "AA:BB", &format!("{plain}00"), &"zz".repeat(32)] {
            assert_eq!(text.parse::<Fingerprint>(), Err(NotAFingerprint), "{text}");
        }
    }
}
