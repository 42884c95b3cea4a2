//! Identity: the machine's Ed25519 key, made on it once and never sent; only what it signs is.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use zeroize::Zeroizing;

use crate::place::{self, Place, PlaceError};

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// Its file could not be read or written.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Its file holds something else.
    #[error("{0} holds no key of an agent; `stead agent remove` makes room for a new one")]
    Damaged(String),
    /// The system has no random bytes.
    #[error("cannot make a key: the system gives no random bytes")]
    Random,
    /// There is none, where there should be.
    #[error("{0} is missing: this machine's key is lost; `stead agent remove`, then enrol it again")]
    Lost(String),
}

/// The key of a machine.
pub struct Identity {
    pair: Ed25519KeyPair,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// So many random bytes.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, IdentityError> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(&mut bytes[..]).map_err(|_| IdentityError::Random)?;
    Ok(bytes)
}

impl Identity {
    /// The machine's key, made now if it has none.
    pub fn made(place: &Place) -> Result<Identity, IdentityError> {
        let seed = Zeroizing::new(hex::encode(random::<32>()?.as_slice()));
        let kept = Zeroizing::new(place::keep_first(&place.identity(), &format!("{}\n", *seed))?);
        Identity::parsed(&kept, place)
    }

    /// The machine's key.
    pub fn read(place: &Place) -> Result<Identity, IdentityError> {
        let file = place.identity();
        let text = place::read(&file)?.ok_or_else(|| IdentityError::Lost(file.display().to_string()))?;
        Identity::parsed(&Zeroizing::new(text), place)
    }

    fn parsed(text: &str, place: &Place) -> Result<Identity, IdentityError> {
        let damaged = || IdentityError::Damaged(place.identity().display().to_string());
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), &mut seed[..]).map_err(|_| damaged())?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).map_err(|_| damaged())?;
        Ok(Identity { pair })
    }

    /// Its public half, 64 hexadecimal digits.
    pub fn public(&self) -> String {
        hex::encode(self.pair.public_key().as_ref())
    }

    /// The signature of a text, 128 hexadecimal digits.
    pub fn sign(&self, text: &str) -> String {
        hex::encode(self.pair.sign(text.as_bytes()))
    }
}

/// What this machine's hardware looks like: the hash of the system's own names for it; empty if it has none.
pub(crate) fn hardware(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let text = format!("stead hardware 1\n{}\n", names.join("\n"));
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_machine_has_one_key_and_others_can_check_what_it_signs() {
        let room = tempfile::tempdir().unwrap();
        let place = Place::made(room.path()).unwrap();
        let (made, again) = (Identity::made(&place).unwrap(), Identity::made(&place).unwrap());
        assert_eq!(made.public(), again.public());
        assert_eq!(Identity::read(&place).unwrap().public(), made.public());
        let key = UnparsedPublicKey::new(&ED25519, hex::decode(made.public()).unwrap());
        key.verify(b"words", &hex::decode(made.sign("words")).unwrap()).unwrap();
        assert!(key.verify(b"other words", &hex::decode(made.sign("words")).unwrap()).is_err());
    }

    #[test]
    fn a_key_that_is_damaged_or_lost_is_said_and_not_replaced() {
        let room = tempfile::tempdir().unwrap();
        let place = Place::made(room.path()).unwrap();
        assert!(matches!(Identity::read(&place), Err(IdentityError::Lost(_))));
        std::fs::write(place.identity(), "rubbish").unwrap();
        assert!(matches!(Identity::made(&place), Err(IdentityError::Damaged(_))));
    }

    #[test]
    fn hardware_is_the_same_as_long_as_its_names_are() {
        let names = |text: &str| vec![text.to_owned()];
        assert_eq!(hardware(&names("a")), hardware(&names("a")));
        assert_ne!(hardware(&names("a")), hardware(&names("b")));
        assert_eq!(hardware(&[]), "");
    }
}
