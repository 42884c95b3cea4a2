//! Enrolment: a machine shows a code and its public key, and is looked after from then on.
//!
//! Nothing is sent before the server is believed. The identity is made before the code is shown and the answer is durable
//! before anything else happens, so that an interruption leaves either a machine that has not joined or one that has.

use std::sync::Arc;
use std::time::Duration;

use api::answer::{Enrolled, Enrolment, Problem};
use jiff::Timestamp;
use reqwest::StatusCode;
use url::Url;

use crate::identity::{self, Identity, IdentityError};
use crate::membership::{Membership, Trust};
use crate::memory::{Memory, MemoryError};
use crate::pin::{Fingerprint, Pin, PinError};
use crate::place::{Place, PlaceError};
use crate::refusal;

/// How long the server may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What somebody wants.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The server: a name, with or without port and scheme.
    pub server: String,
    /// The code, as it was typed.
    pub code: String,
    /// What to pin the server by; none: what the system believes.
    pub fingerprint: Option<Fingerprint>,
    /// What the machine is called; none: this host's name.
    pub name: String,
    /// Names of this machine's hardware, as far as they can be read.
    pub hardware: Vec<String>,
}

/// A machine that has joined.
#[derive(Clone, Debug)]
pub struct Joined {
    /// What it became.
    pub membership: Membership,
    /// The fingerprint of what its server is known by; none without TLS.
    pub fingerprint: Option<Fingerprint>,
}

/// Why a machine has not joined.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// It has joined before.
    #[error("this machine has joined {server} already; `stead agent remove` ends that first")]
    Already {
        /// Which server.
        server: String,
    },
    /// The address makes no sense.
    #[error("{address:?} is no address of a server: {why}")]
    Address {
        /// What was given.
        address: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server was not believed: nothing was sent.
    #[error("the server at {server} was not believed, and nothing was sent: {why}")]
    Unbelieved {
        /// Which.
        server: String,
        /// Why not.
        why: String,
        /// Whether a fingerprint was given.
        pinned: bool,
    },
    /// The server cannot be reached, or does not answer.
    #[error("cannot reach {server}: {why}")]
    Unreachable {
        /// Which.
        server: String,
        /// Why not.
        why: String,
    },
    /// The server says no.
    #[error("{sentence}")]
    Refused {
        /// In its words.
        sentence: String,
        /// What it advises.
        advice: String,
    },
    /// The server knows this machine's key though the machine knows nothing of having joined.
    #[error(
        "the server has this machine's key from an earlier attempt whose answer was lost, or the key is a copy of \
         another machine's; a new key was made"
    )]
    Known,
    /// The answer is none of a stead server.
    #[error("{server} answers, but not as a stead server does: {why}")]
    Stranger {
        /// Which.
        server: String,
        /// What is strange.
        why: String,
    },
    /// The directory failed.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The identity failed.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The memory failed.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// TLS failed.
    #[error(transparent)]
    Pin(#[from] PinError),
}

/// Joins a server. The directory is made if it is not there.
pub fn enrol(place: &Place, wish: &Wish, now: Timestamp) -> Result<Joined, EnrolError> {
    let server = address(&wish.server)?;
    let memory = Memory::open(place)?;
    if let Some(known) = memory.membership()? {
        return Err(EnrolError::Already { server: known.server });
    }
    let identity = Identity::made(place)?;
    let asked = Asked { server: &server, wish, identity: &identity };
    let (enrolled, trust, fingerprint) = asked.ask().inspect_err(|error| forget_key(place, error))?;
    let machine = enrolled.machine.parse().map_err(|_| asked.stranger("it names no machine"))?;
    let Enrolled { client, credential, .. } = enrolled;
    let server = server.to_string();
    let membership = Membership { server, trust, machine, client, credential, joined: now };
    memory.join(&membership)?;
    Ok(Joined { membership, fingerprint })
}

/// A key that a server knows, and whose answer is lost, is of no use any more.
fn forget_key(place: &Place, error: &EnrolError) {
    if matches!(error, EnrolError::Known) {
        // If it stays, the next attempt says the same again.
        _ = std::fs::rename(place.identity(), place.identity().with_extension("key.lost"));
        _ = Identity::made(place);
    }
}

/// A request to join.
struct Asked<'a> {
    server: &'a Url,
    wish: &'a Wish,
    identity: &'a Identity,
}

type Answer = (Enrolled, Trust, Option<Fingerprint>);

impl Asked<'_> {
    fn ask(&self) -> Result<Answer, EnrolError> {
        let pin = match self.server.scheme() {
            "http" => None,
            _ => Some(self.wish.fingerprint.map_or_else(Pin::system, |wanted| Ok(Pin::fingerprint(wanted)))?),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| self.unreachable(&error))?;
        let enrolled = runtime.block_on(self.post(pin.as_ref()))?;
        let seen = pin.and_then(|pin| pin.seen());
        let fingerprint = seen.as_ref().map(|seen| seen.fingerprint);
        Ok((enrolled, seen.map_or(Trust::Loopback, |seen| seen.trust), fingerprint))
    }

    async fn post(&self, pin: Option<&Arc<Pin>>) -> Result<Enrolled, EnrolError> {
        let mut client = reqwest::Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        if let Some(pin) = pin {
            client = client.tls_backend_preconfigured(pin.config(&["h2", "http/1.1"])?);
        }
        let client = client.build().map_err(|error| self.unreachable(&error))?;
        let at = self.server.join("/api/v1/enrol").map_err(|error| self.stranger(&error.to_string()))?;
        let answer = client.post(at).json(&self.words()).send().await.map_err(|error| self.lost(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| self.lost(&error))?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map_err(|error| self.stranger(&error.to_string())),
            StatusCode::CONFLICT => Err(EnrolError::Known),
            _ => Err(self.refused(status, &body)),
        }
    }

    fn words(&self) -> Enrolment {
        let hardware = identity::hardware(&self.wish.hardware);
        Enrolment {
            code: self.wish.code.clone(),
            name: self.wish.name.clone(),
            identity: self.identity.public(),
            hardware: (!hardware.is_empty()).then_some(hardware),
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> EnrolError {
        match serde_json::from_slice::<Problem>(body) {
            Ok(Problem { sentence, advice, .. }) => EnrolError::Refused { sentence, advice },
            Err(_) => self.stranger(&format!("its answer is {status}")),
        }
    }

    fn lost(&self, error: &reqwest::Error) -> EnrolError {
        match refusal::is_unbelieved(error) {
            true => EnrolError::Unbelieved {
                server: self.server.to_string(),
                why: refusal::words(error),
                pinned: self.wish.fingerprint.is_some(),
            },
            false => self.unreachable(error),
        }
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> EnrolError {
        EnrolError::Unreachable { server: self.server.to_string(), why: refusal::words(error) }
    }

    fn stranger(&self, why: &str) -> EnrolError {
        EnrolError::Stranger { server: self.server.to_string(), why: why.to_owned() }
    }
}

/// The address that somebody means: `https` unless they say otherwise, port 8443 unless they name one. Without TLS only
/// this machine is spoken to.
fn address(text: &str) -> Result<Url, EnrolError> {
    let wrong = |why: &str| EnrolError::Address { address: text.to_owned(), why: why.to_owned() };
    let text = text.trim();
    let bare = !text.contains("://");
    let full = if bare { format!("https://{text}") } else { text.to_owned() };
    let mut url = Url::parse(&full).map_err(|error| wrong(&error.to_string()))?;
    if url.username() != "" || url.password().is_some() || url.query().is_some() {
        return Err(wrong("only a name and a port are needed"));
    }
    if bare && !names_port(text) {
        _ = url.set_port(Some(8443));
    }
    url.set_path("/");
    url.set_fragment(None);
    match (url.scheme(), url.host()) {
        ("https", Some(_)) => Ok(url),
        ("http", Some(host)) if is_loopback(&host) => Ok(url),
        ("http", Some(_)) => Err(wrong("http is for this machine alone; use https")),
        _ => Err(wrong("it is not of the form https://name:port")),
    }
}

fn names_port(text: &str) -> bool {
    let authority = text.split('/').next().unwrap_or(text);
    let after_address = authority.rsplit(']').next().unwrap_or(authority);
    after_address.contains(':')
}

fn is_loopback(host: &url::Host<&str>) -> bool {
    match host {
        url::Host::Domain(name) => *name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_understood_as_people_write_it() {
        let meant = |text: &str| address(text).unwrap().to_string();
        assert_eq!(meant("backup.example"), "https://backup.example:8443/");
        assert_eq!(meant("backup.example:443"), "https://backup.example/");
        assert_eq!(meant("https://backup.example"), "https://backup.example/");
        assert_eq!(meant("https://10.0.0.7:8443/enrol#ABCD"), "https://10.0.0.7:8443/");
        assert_eq!(meant("[2001:db8::1]"), "https://[2001:db8::1]:8443/");
        assert_eq!(meant("http://127.0.0.1:8080"), "http://127.0.0.1:8080/");
    }

    #[test]
    fn what_would_go_over_a_network_unprotected_is_refused() {
        for text in ["http://backup.example", "ftp://backup.example", "", "https://me:secret@host", "https://"] {
            assert!(matches!(address(text), Err(EnrolError::Address { .. })), "{text}");
        }
    }
}
