//! Visits: what a browser asks for, how long the answer takes, and how large it is as it travels.

use std::sync::Arc;
use std::time::Instant;

use fleet::MachineId;
use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::Value;
use store::{Secret, SessionId, Store};
use tokio_rustls::TlsConnector;

use crate::Outcome;
use crate::history::History;
use crate::servant::Servant;

/// Visits in a row.
const VISITS: usize = 40;

/// Somebody who is signed in.
pub(crate) struct Visitor {
    client: reqwest::Client,
    address: String,
    cookie: String,
    a_machine: MachineId,
}

/// What a page cost.
pub(crate) struct Cost {
    /// Milliseconds until the last byte, the middle one of all visits.
    pub(crate) median: f64,
    /// The same, of the slowest visit but two.
    pub(crate) slow: f64,
    /// Bytes as they travel.
    pub(crate) bytes: usize,
}

impl Cost {
    pub(crate) fn told(&self, when: &str) -> Value {
        serde_json::json!({ "when": when, "median": self.median, "slow": self.slow, "bytes": self.bytes })
    }
}

impl Visitor {
    pub(crate) async fn enter(store: &Store, servant: &Servant, history: &History) -> Outcome<Visitor> {
        let (secret, now) = (Secret::random(), Timestamp::now());
        let id = SessionId::made(now, rand::random());
        store.system().open_session(id, history.owner, &secret, "bench", now).await?;
        let client = reqwest::Client::builder().tls_backend_preconfigured(config(&[b"h2"])?).build()?;
        let cookie = format!("__Host-stead={}", secret.text());
        Ok(Visitor { client, address: servant.address.clone(), cookie, a_machine: history.a_machine })
    }

    /// The first page of the fleet.
    pub(crate) async fn visit(&self) -> Outcome<Cost> {
        self.cost_of("/").await
    }

    /// A machine with its year.
    pub(crate) async fn a_machine(&self) -> Outcome<Cost> {
        self.cost_of(&format!("/machines/{}", self.a_machine)).await
    }

    async fn cost_of(&self, path: &str) -> Outcome<Cost> {
        let (mut times, mut bytes) = (Vec::new(), 0);
        for _ in 0..VISITS {
            let begin = Instant::now();
            let request = self.client.get(format!("{}{path}", self.address)).header("cookie", &self.cookie);
            let answer = request.header("accept-encoding", "gzip, br, zstd").send().await?.error_for_status()?;
            if answer.url().path() != path {
                return Err(format!("{path} led to {}", answer.url()).into());
            }
            bytes = answer.bytes().await?.len();
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        Ok(Cost { median: times[VISITS / 2], slow: times[VISITS - 3], bytes })
    }
}

/// A connector for lines to a server that this process started itself: its certificate is not judged.
pub(crate) fn believing() -> Outcome<TlsConnector> {
    Ok(TlsConnector::from(Arc::new(config(&[b"http/1.1"])?)))
}

fn config(protocols: &[&[u8]]) -> Outcome<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.dangerous().with_custom_certificate_verifier(Arc::new(Believing)).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

#[derive(Debug)]
struct Believing;

impl ServerCertVerifier for Believing {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
