//! A certificate that browsers know, by ACME (RFC 8555). That the name is ours is shown at our own door (`tls-alpn-01`, RFC
//! 8737), so that no other port is needed; who looks comes to port 443 of the name.
//!
//! What was got is kept in a file and renewed when two thirds of its time are over. Until there is one, and whenever there
//! is none, our own authority's is shown: nothing here keeps the server from answering.

mod stored;

use std::path::PathBuf;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Identifier, KeyAuthorization, LetsEncrypt, NewAccount, NewOrder,
    Order, OrderStatus, RetryPolicy,
};
use jiff::Timestamp;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::Certificate;
use crate::app::Clock;
use crate::authority::{CertificateError, write_secret};
use crate::observer::{Event, Observer};
use stored::Stored;

/// How long the authority may take to look, and to sign.
const PATIENCE: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(500)).timeout(Duration::from_secs(120));

/// The first pause after a failure, and the longest. Authorities count failures by the hour.
const PAUSES: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(12 * 3_600));

/// The longest sleep, so that a clock that was set is noticed.
const NAP: Duration = Duration::from_secs(3_600);

/// Who is asked for a certificate, and for what.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Names that browsers reach the server by; no addresses.
    pub names: Vec<String>,
    /// The authority's directory; none: Let's Encrypt.
    pub directory: Option<String>,
    /// What the authority's own server is known by, as PEM; none: what everybody knows.
    pub root: Option<PathBuf>,
    /// The e-mail address that the authority may write to.
    pub contact: Option<String>,
    /// Where account and certificate are kept; made if it is not there.
    pub folder: PathBuf,
}

/// Why there is no new certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcmeError {
    /// The authority refused, or could not be reached.
    #[error("{0}")]
    Authority(#[from] instant_acme::Error),
    /// It did not find us by our name.
    #[error("{name} could not be proven to be this server: {why}")]
    Unproven {
        /// Which name.
        name: String,
        /// What the authority found.
        why: String,
    },
    /// It proves names in other ways only.
    #[error("the authority offers no tls-alpn-01 for {0}")]
    NoWay(String),
    /// A certificate or a file.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// What is kept of the account makes no sense.
    #[error("cannot read the account in {0}")]
    Account(PathBuf, #[source] serde_json::Error),
}

impl From<rcgen::Error> for AcmeError {
    fn from(error: rcgen::Error) -> AcmeError {
        AcmeError::Certificate(error.into())
    }
}

impl Wish {
    /// Shows what is kept, and asks for a new one whenever it is time.
    pub(super) async fn keep(self, certificate: &Certificate, clock: &Clock, observer: &Observer) {
        let mut pause = PAUSES.0;
        loop {
            let due = self.shown(certificate, observer);
            let now = clock();
            if let Some(due) = due.filter(|due| *due > now) {
                let left = due.duration_since(now).unsigned_abs();
                tokio::time::sleep(left.min(NAP)).await;
                continue;
            }
            match self.obtain(certificate).await {
                Ok(()) => pause = PAUSES.0,
                Err(error) => {
                    observer(Event::Problem(self.failed(&error, pause)));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
            certificate.answered();
        }
    }

    fn failed(&self, error: &AcmeError, pause: Duration) -> String {
        format!(
            "no certificate for {} by ACME: {}; asked again in {} minutes. The authority must reach this server at \
             port 443 of that name",
            self.names.join(", "),
            causes(error),
            pause.as_secs() / 60
        )
    }

    /// When what is kept is to be renewed, once it is shown; none: there is nothing for these names.
    fn shown(&self, certificate: &Certificate, observer: &Observer) -> Option<Timestamp> {
        match Stored::read(&self.folder) {
            Ok(Some(stored)) if stored.is_for(&self.names) => {
                let renewal = stored.renewal();
                certificate.show(stored.key);
                Some(renewal)
            }
            Ok(_) => None,
            Err(error) => {
                observer(Event::Problem(format!("the certificate that was kept is asked for anew: {error}")));
                None
            }
        }
    }

    async fn obtain(&self, certificate: &Certificate) -> Result<(), AcmeError> {
        let account = self.account().await?;
        let names: Vec<Identifier> = self.names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await?;
        prepare(&mut order, certificate).await?;
        if order.poll_ready(&PATIENCE).await? != OrderStatus::Ready {
            return Err(unproven(&mut order).await?);
        }
        let key = KeyPair::generate()?;
        let request = CertificateParams::new(self.names.clone())?.serialize_request(&key)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        write_secret(&Stored::path(&self.folder), &format!("{}{chain}", key.serialize_pem()))?;
        Ok(())
    }

    /// The account that is kept, or a new one.
    async fn account(&self) -> Result<Account, AcmeError> {
        let builder = match &self.root {
            Some(root) => Account::builder_with_root(root)?,
            None => Account::builder()?,
        };
        let directory = self.directory.clone().unwrap_or_else(|| LetsEncrypt::Production.url().to_owned());
        let file = self.folder.join(account_name(&directory));
        if file.exists() {
            let text = stored::text(&file)?;
            let kept = serde_json::from_str(&text).map_err(|error| AcmeError::Account(file, error))?;
            return Ok(builder.from_credentials(kept).await?);
        }
        let contact: Vec<String> = self.contact.iter().map(|address| format!("mailto:{address}")).collect();
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&new, directory, None).await?;
        stored::make_folder(&self.folder)?;
        let text = serde_json::to_string(&credentials).map_err(|error| AcmeError::Account(file.clone(), error))?;
        write_secret(&file, &text)?;
        Ok(account)
    }
}

/// An error with what is behind it.
fn causes(error: &AcmeError) -> String {
    let mut words = vec![error.to_string()];
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        words.push(cause.to_string());
        source = cause.source();
    }
    words.dedup();
    words.join(": ")
}

/// An account is one authority's: each has a file of its own.
fn account_name(directory: &str) -> String {
    let hash = hex::encode(crate::token::sha256(directory.as_bytes()));
    format!("account-{}.json", &hash[..12])
}

/// Makes the answers to all challenges, and says that they may look.
async fn prepare(order: &mut Order, certificate: &Certificate) -> Result<(), AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        if authorization.status == AuthorizationStatus::Valid {
            continue;
        }
        let name = authorization.identifier().to_string();
        let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
        let mut challenge = challenge.ok_or_else(|| AcmeError::NoWay(name.clone()))?;
        certificate.answer(&name, answer(&name, &challenge.key_authorization())?);
        challenge.set_ready().await?;
    }
    Ok(())
}

/// The certificate that whoever looks wants to see, signed by itself.
fn answer(name: &str, authorization: &KeyAuthorization) -> Result<CertifiedKey, AcmeError> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(authorization.digest().as_ref())];
    let key = KeyPair::generate()?;
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let signs = aws_lc_rs::sign::any_supported_type(&private).map_err(CertificateError::from)?;
    // Not compared with its key, as others are: its one extension is critical, and nobody else knows it.
    Ok(CertifiedKey::new(chain, signs))
}

/// What the authority says it found.
async fn unproven(order: &mut Order) -> Result<AcmeError, AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let state = authorization.refresh().await?;
        let why = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(why) = why {
            let (name, why) = (state.identifier().to_string(), why.to_string());
            return Ok(AcmeError::Unproven { name, why });
        }
    }
    Ok(AcmeError::Unproven { name: "a name".into(), why: "the authority does not say why".into() })
}
