//! What agents and keepers say to a server and it to them: JSON in text messages of a WebSocket, at [`PATH`].
//!
//! The server begins with a [`Challenge`]; whoever called signs it ([`Introduction`]) and is welcomed or refused
//! ([`Verdict`]). After that, agents say [`agent::FromAgent`] and hear [`agent::ToAgent`], keepers
//! [`keeper::FromKeeper`] and [`keeper::ToKeeper`]. What must not be lost is an event with a number: it is said again, on
//! every connection, until it was [`agent::ToAgent::Heard`]; the server hears it once. Progress is said and forgotten.
//!
//! Who does not know a message leaves it out ([`read`]), so that programs of different age understand each other as far as
//! they can; who knows too little to go on says so with [`Verdict::Refused`].

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub mod agent;
pub mod duties;
pub mod keeper;

/// Where agents and keepers call.
pub const PATH: &str = "/api/v1/agent";

/// Whoever knows the server by its own authority's fingerprint offers this as a protocol of TLS (ALPN), which is never chosen:
/// the server shows a certificate of that authority then, and not the one that browsers know.
pub const PINNED: &str = "stead-pinned";

/// The newest protocol that this program speaks.
pub const NEWEST: u32 = 1;

/// The oldest protocol that this program speaks.
pub const OLDEST: u32 = 1;

/// Bytes of a message of an agent, or to one.
pub const LARGEST: usize = 1 << 20;

/// Bytes of a message of a keeper, or to one.
pub const LARGEST_OF_KEEPER: usize = 16 << 20;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caller {
    /// A protected machine.
    Agent,
    /// Whoever tends repositories.
    Keeper,
}

/// The server's first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// The oldest protocol that it speaks.
    pub oldest: u32,
    /// The newest protocol that it speaks.
    pub newest: u32,
    /// Its version, for people.
    pub version: String,
    /// 32 random bytes as hexadecimal digits; never used twice.
    pub nonce: String,
}

/// The answer to a challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Introduction {
    /// What it is.
    pub caller: Caller,
    /// The protocol that it will speak: the newest that both do.
    pub protocol: u32,
    /// Its version, for people.
    pub version: String,
    /// Its public key (Ed25519), 64 hexadecimal digits.
    pub identity: String,
    /// How often this key was used for an introduction, this one counted; durable before it is sent. A number that was
    /// there before means that the key is at two places.
    pub counter: u64,
    /// What the hardware looks like: a hash that is the same as long as the machine is. Empty for keepers.
    pub hardware: String,
    /// The signature of [`signed`], 128 hexadecimal digits.
    pub signature: String,
}

/// What is signed: the challenge, the server's fingerprint as it is pinned (so that nobody can pass a challenge on), and
/// all that is claimed. Ends of fields cannot be moved: none of them contains a line feed, or the introduction is refused.
pub fn signed(nonce: &str, fingerprint: &str, caller: Caller, counter: u64, hardware: &str) -> String {
    let caller = match caller {
        Caller::Agent => "agent",
        Caller::Keeper => "keeper",
    };
    format!("stead introduction 1\n{nonce}\n{fingerprint}\n{caller}\n{counter}\n{hardware}\n")
}

/// Whether a caller comes in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It does.
    Welcome(Welcome),
    /// It does not; the connection ends.
    Refused {
        /// Why, as a word.
        cause: Refusal,
        /// Why, and what to do, as a sentence.
        sentence: String,
    },
}

/// What a caller is told first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Which machine or keeper the server knows it as, a UUID.
    pub you: String,
    /// The server's time.
    pub at: Timestamp,
    /// Seconds between two heartbeats.
    pub beat: u32,
}

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Nobody has this key, or the signature is not right.
    Unknown,
    /// The key seems to be at two places; a person must say which one is right.
    Quarantined,
    /// The machine is not looked after any more.
    Retired,
    /// Too old or too new to understand each other.
    Version,
    /// The server is busy or has lost its database; come again later.
    Later,
    /// A cause that this program does not know.
    #[serde(other)]
    Other,
}

/// The newest protocol that we speak and whoever speaks these does; else what to do, as a clause.
pub fn common_protocol(oldest: u32, newest: u32) -> Result<u32, String> {
    let protocol = NEWEST.min(newest);
    if protocol >= OLDEST.max(oldest) {
        return Ok(protocol);
    }
    let older = if newest < OLDEST { "the server" } else { "this program" };
    Err(format!("the server speaks protocols {oldest} to {newest}, this program {OLDEST} to {NEWEST}: update {older}"))
}

/// Reads a message. `Ok(None)` is one that this program does not know; `Err` one that makes no sense.
pub fn read<T: DeserializeOwned>(text: &str) -> Result<Option<T>, serde_json::Error> {
    match serde_json::from_str::<T>(text) {
        Ok(message) => Ok(Some(message)),
        // A JSON object or word of another name is a message of another age.
        Err(error) if error.is_data() && error.to_string().starts_with("unknown variant") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a message.
pub fn written<T: Serialize>(message: &T) -> Result<String, serde_json::Error> {
    serde_json::to_string(message)
}

#[cfg(test)]
mod tests {
    use super::agent::{FromAgent, ToAgent};
    use super::*;

    #[test]
    fn a_message_of_a_later_version_is_left_out_and_nonsense_is_an_error() {
        assert!(matches!(read::<ToAgent>(r#"{"dance":{"how":"wildly"}}"#), Ok(None)));
        assert!(matches!(read::<ToAgent>(r#""dance""#), Ok(None)));
        assert!(matches!(
            read::<ToAgent>(r#"{"heard":{"number":7,"more":true}}"#),
            Ok(Some(ToAgent::Heard { number: 7 }))
        ));
        assert!(read::<ToAgent>(r#"{"heard":{"number":"seven"}}"#).is_err());
        assert!(read::<FromAgent>("{").is_err());
    }

    #[test]
    fn programs_of_different_age_speak_the_newest_protocol_that_both_know() {
        assert_eq!((common_protocol(OLDEST, NEWEST), common_protocol(OLDEST, NEWEST + 2)), (Ok(NEWEST), Ok(NEWEST)));
        let newer = common_protocol(NEWEST + 1, NEWEST + 2).unwrap_err();
        assert!(newer.contains("update this program"), "{newer}");
        let older = common_protocol(0, OLDEST - 1).unwrap_err();
        assert!(older.contains("update the server"), "{older}");
    }

    #[test]
    fn an_introduction_cannot_be_passed_on_to_another_server_or_role() {
        let text = |fingerprint, caller| signed("00", fingerprint, caller, 1, "x");
        assert_ne!(text("aa", Caller::Agent), text("bb", Caller::Agent));
        assert_ne!(text("aa", Caller::Agent), text("aa", Caller::Keeper));
    }

    #[test]
    fn a_cause_that_is_not_known_is_read_as_another() {
        let verdict = read::<Verdict>(r#"{"refused":{"cause":"moon","sentence":"Wait for the moon."}}"#);
        assert!(matches!(verdict, Ok(Some(Verdict::Refused { cause: Refusal::Other, .. }))));
    }
}
