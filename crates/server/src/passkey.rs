//! Passkeys: keys in phones, computers and security keys, that sign in without a password. What is begun with a browser
//! waits here for five minutes, and is good once; another server of the same database does not know of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use continuity::{Person, PersonId};
use parking_lot::Mutex;
use reqwest::Url;
use serde::Serialize;
use serde_json::Value;
use store::Passkey;
use webauthn_rs::prelude::{
    DiscoverableAuthentication, Passkey as Credential, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use crate::problem::Problem;
use crate::token;

/// How long what was begun may wait, and how much of it: more push the oldest out.
const PATIENCE: Duration = Duration::from_secs(300);
const MOST: usize = 1_000;

/// Why passkeys are not offered.
pub(crate) const IMPOSSIBLE: &str = "This server has no name that browsers take passkeys for: it needs one, such as \
                                     backup.example, or localhost.";

/// What is said to who shows one that was removed.
const GONE: &str = "This passkey opens nothing here: it was removed, or is for another server.";

/// Passkeys at this server's address.
pub(crate) struct Passkeys {
    webauthn: Option<Webauthn>,
    begun: Mutex<VecDeque<Begun>>,
}

/// What a browser must answer.
struct Begun {
    word: String,
    at: Instant,
    state: State,
}

enum State {
    Adding(PersonId, PasskeyRegistration),
    SigningIn(DiscoverableAuthentication),
}

/// What a page hands to its browser.
#[derive(Serialize)]
pub(crate) struct Asked {
    /// What the answer names it by.
    ceremony: String,
    /// As the browser's own interface takes it.
    options: Value,
}

/// A passkey that was made.
pub(crate) struct Fresh {
    pub(crate) credential: Vec<u8>,
    pub(crate) document: String,
}

/// Who signed in, by which passkey, and what it is compared with from now on.
pub(crate) struct Proven {
    pub(crate) passkey: store::PasskeyId,
    pub(crate) document: String,
}

/// Why an answer of a browser is not taken.
fn refused(error: WebauthnError) -> Problem {
    Problem::Invalid(format!("The passkey was not taken: {error}."))
}

fn broken(error: serde_json::Error) -> Problem {
    Problem::internal("read or write a passkey", error)
}

impl Passkeys {
    /// For a server that browsers reach there.
    pub(crate) fn at(address: &str) -> Passkeys {
        let webauthn = Url::parse(address).ok().and_then(|url| {
            let name = url.domain()?.to_owned();
            WebauthnBuilder::new(&name, &url).ok()?.rp_name("stead").build().ok()
        });
        Passkeys { webauthn, begun: Mutex::default() }
    }

    /// Whether browsers take passkeys for this server's address.
    pub(crate) fn are_possible(&self) -> bool {
        self.webauthn.is_some()
    }

    fn webauthn(&self) -> Result<&Webauthn, Problem> {
        self.webauthn.as_ref().ok_or_else(|| Problem::Conflict(IMPOSSIBLE.into()))
    }

    /// Begins to add one, other than those that the person has.
    pub(crate) fn begin_adding(&self, person: &Person, has: &[Passkey]) -> Result<Asked, Problem> {
        let has = has.iter().map(|passkey| credential(passkey).map(|found| found.cred_id().clone()));
        let has = has.collect::<Result<Vec<_>, _>>()?;
        let begun =
            self.webauthn()?.start_passkey_registration(person.id.uuid(), &person.email, &person.name, Some(has));
        let (asked, state) = begun.map_err(|error| Problem::internal("begin with a passkey", error))?;
        let mut options = serde_json::to_value(asked.public_key).map_err(broken)?;
        // Without it, nobody could sign in without typing who they are.
        options["authenticatorSelection"]["residentKey"] = "required".into();
        options["authenticatorSelection"]["requireResidentKey"] = true.into();
        Ok(Asked { ceremony: self.keep(State::Adding(person.id, state))?, options })
    }

    /// The browser made one.
    pub(crate) fn add(&self, person: PersonId, ceremony: &str, answer: &str) -> Result<Fresh, Problem> {
        let Some(State::Adding(whose, state)) = self.take(ceremony) else { return Err(over()) };
        if whose != person {
            return Err(over());
        }
        let answer: RegisterPublicKeyCredential = serde_json::from_str(answer).map_err(unreadable)?;
        let made = self.webauthn()?.finish_passkey_registration(&answer, &state).map_err(refused)?;
        Ok(Fresh { credential: made.cred_id().to_vec(), document: serde_json::to_string(&made).map_err(broken)? })
    }

    /// Begins to sign somebody in; who it is, the browser says.
    pub(crate) fn begin_signing_in(&self) -> Result<Asked, Problem> {
        let begun = self.webauthn()?.start_discoverable_authentication();
        let (asked, state) = begun.map_err(|error| Problem::internal("begin with a passkey", error))?;
        let options = serde_json::to_value(asked.public_key).map_err(broken)?;
        Ok(Asked { ceremony: self.keep(State::SigningIn(state))?, options })
    }

    /// What the browser answered, and whose passkey it says that it used.
    pub(crate) fn answered(&self, answer: &str) -> Result<(PersonId, PublicKeyCredential), Problem> {
        let answer: PublicKeyCredential = serde_json::from_str(answer).map_err(unreadable)?;
        let (person, _) = self.webauthn()?.identify_discoverable_authentication(&answer).map_err(refused)?;
        Ok((PersonId::new(person), answer))
    }

    /// Whether it proves that they have one of these.
    pub(crate) fn prove(
        &self,
        ceremony: &str,
        answer: &PublicKeyCredential,
        has: &[Passkey],
    ) -> Result<Proven, Problem> {
        let Some(State::SigningIn(state)) = self.take(ceremony) else { return Err(over()) };
        let known = has.iter().map(|passkey| Ok((passkey.id, credential(passkey)?)));
        let known: Vec<_> = known.collect::<Result<_, Problem>>()?;
        let named = known.into_iter().find(|(_, known)| known.cred_id().as_slice() == answer.get_credential_id());
        let (passkey, mut used) = named.ok_or_else(|| Problem::Invalid(GONE.into()))?;
        let proof = self.webauthn()?.finish_discoverable_authentication_v2(answer, state, &used).map_err(refused)?;
        used.update_credential(&proof).ok_or_else(|| Problem::Invalid(GONE.into()))?;
        Ok(Proven { passkey, document: serde_json::to_string(&used).map_err(broken)? })
    }

    fn keep(&self, state: State) -> Result<String, Problem> {
        let mut bits = [0; 16];
        aws_lc_rs::rand::fill(&mut bits).map_err(|error| Problem::internal("draw random bytes", error))?;
        let word = hex::encode(bits);
        let mut begun = self.begun.lock();
        begun.retain(|begun| begun.at.elapsed() < PATIENCE);
        if begun.len() >= MOST {
            begun.pop_front();
        }
        begun.push_back(Begun { word: word.clone(), at: Instant::now(), state });
        Ok(word)
    }

    /// What was begun, once.
    fn take(&self, ceremony: &str) -> Option<State> {
        let mut begun = self.begun.lock();
        let at = begun.iter().position(|begun| token::same(&begun.word, ceremony) && begun.at.elapsed() < PATIENCE)?;
        begun.remove(at).map(|begun| begun.state)
    }
}

fn credential(passkey: &Passkey) -> Result<Credential, Problem> {
    serde_json::from_str(&passkey.document).map_err(broken)
}

fn unreadable(error: serde_json::Error) -> Problem {
    Problem::Invalid(format!("The browser's answer cannot be read: {error}."))
}

fn over() -> Problem {
    Problem::Invalid("That took too long, or was done before. Begin again.".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passkeys_need_a_name() {
        for address in ["https://backup.example:8443", "http://localhost:8080", "https://localhost"] {
            assert!(Passkeys::at(address).are_possible(), "{address}");
        }
        for address in ["https://192.0.2.1:8443", "https://[::1]:8443", "", "nonsense"] {
            let none = Passkeys::at(address);
            assert!(!none.are_possible() && none.begin_signing_in().is_err(), "{address}");
        }
    }

    #[test]
    fn what_was_begun_is_good_once_and_strangers_fill_no_memory() {
        let passkeys = Passkeys::at("https://backup.example");
        let words: Vec<_> = (0..MOST + 5).map(|_| passkeys.begin_signing_in().unwrap().ceremony).collect();
        assert_eq!(passkeys.begun.lock().len(), MOST);
        assert!(passkeys.take(&words[0]).is_none(), "the oldest are gone");
        assert!(passkeys.take(&words[MOST]).is_some() && passkeys.take(&words[MOST]).is_none());
        assert!(passkeys.answered("{}").is_err() && passkeys.answered("").is_err());
    }
}
