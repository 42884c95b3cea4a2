//! A keeper's keys: Ed25519 to say who it is, X25519 that keys of repositories are sealed to, and one for its own files.
//!
//! On disk they are sealed as one text, once for each way to open it; what opens it is given at every start ([`Opener`]).

use std::path::Path;

use agent::sealed;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::vault::{KEY, Vault};
use crate::{Error, Result, home};

mod opener;
mod tpm;

use opener::How;
pub use opener::{Opener, Way};
pub use tpm::{Tpm, TpmError};

/// The keys, open. Overwritten when dropped.
pub struct Keys {
    secrets: Secrets,
    signing: Ed25519KeyPair,
    vault: Vault,
}

/// What is sealed at rest, as hexadecimal digits.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Secrets {
    identity: String,
    sealing: String,
    #[zeroize(skip)]
    sealing_public: String,
    own: String,
}

/// The file. What is public stands beside what is sealed, and is bound to it.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    identity: String,
    public: String,
    /// Beside the others because there was one way alone at first.
    #[serde(flatten)]
    first: Sealed,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    others: Vec<Sealed>,
}

/// The keys, as one way opens them.
#[derive(Serialize, Deserialize)]
struct Sealed {
    opens_with: How,
    sealed: String,
}

/// What a server must know of a keeper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Public {
    /// Ed25519, 64 hexadecimal digits: who it is.
    pub identity: String,
    /// X25519, 64 hexadecimal digits: what keys of repositories are sealed to.
    pub public: String,
}

impl Keys {
    /// New keys, sealed into a file that must not exist.
    pub fn init(path: &Path, opener: &Opener) -> Result<Keys> {
        if path.exists() {
            let path = path.display();
            return Err(Error::Refused(format!("{path} exists already: the keys in it open repositories, they stay")));
        }
        let keys = Keys::random()?;
        let Public { identity, public } = keys.public();
        let first = keys.sealed_for(opener)?;
        Stored { version: 1, identity, public, first, others: Vec::new() }.write(path)?;
        // Keys that cannot be opened again would lose every repository that is sealed to them.
        Keys::open(path, opener)
    }

    /// Opens the keys in a file.
    pub fn open(path: &Path, opener: &Opener) -> Result<Keys> {
        Stored::read(path)?.open(path, opener)
    }

    /// Lets these keys, which lie in a file, be opened in another way too; the same way as before is replaced.
    pub fn add_way(&self, path: &Path, opener: &Opener) -> Result<()> {
        let stored = self.stored(path)?;
        let sealed = self.sealed_for(opener)?;
        let mut ways = stored.without(opener.way());
        ways.push(sealed);
        let stored = self.in_ways(ways).ok_or_else(|| damaged(path))?;
        // What cannot be opened again is not written.
        stored.open(path, opener)?;
        stored.write(path)
    }

    /// Takes a way to open these keys, which lie in a file, away. The last one stays.
    pub fn remove_way(&self, path: &Path, way: Way) -> Result<()> {
        let stored = self.stored(path)?;
        let word = way.word();
        if !stored.ways().contains(&way) {
            return Err(Error::Refused(format!("no {word} opens these keys")));
        }
        let last = || Error::Refused(format!("the {word} is the only way to open these keys: add another one before"));
        self.in_ways(stored.without(way)).ok_or_else(last)?.write(path)
    }

    /// What lies in the file, which must be these keys.
    fn stored(&self, path: &Path) -> Result<Stored> {
        let stored = Stored::read(path)?;
        let is_ours = stored.identity == self.public().identity && stored.public == self.public().public;
        let other = || Error::Keys(format!("there are other keys in {} now", path.display()));
        is_ours.then_some(stored).ok_or_else(other)
    }

    fn in_ways(&self, ways: Vec<Sealed>) -> Option<Stored> {
        let Public { identity, public } = self.public();
        let mut ways = ways.into_iter();
        Some(Stored { version: 1, identity, public, first: ways.next()?, others: ways.collect() })
    }

    fn sealed_for(&self, opener: &Opener) -> Result<Sealed> {
        let (opens_with, vault) = opener.prepare()?;
        let Public { identity, public } = self.public();
        let plain = Zeroizing::new(serde_json::to_vec(&self.secrets).expect("keys are JSON"));
        let sealed = hex::encode(vault.seal(about(&identity, &public).as_bytes(), &plain));
        Ok(Sealed { opens_with, sealed })
    }

    fn random() -> Result<Keys> {
        let seed = Zeroizing::new(rand::random::<[u8; 32]>());
        let own = Zeroizing::new(rand::random::<[u8; KEY]>());
        let pair = sealed::generate()?;
        let secrets = Secrets {
            identity: hex::encode(*seed),
            sealing: hex::encode(&*pair.private),
            sealing_public: pair.public.clone(),
            own: hex::encode(*own),
        };
        Keys::of(secrets).ok_or_else(|| Error::Keys("cannot make keys".into()))
    }

    fn of(secrets: Secrets) -> Option<Keys> {
        let bytes = |digits: &str| Some(Zeroizing::new(<[u8; 32]>::try_from(hex::decode(digits).ok()?).ok()?));
        let signing = Ed25519KeyPair::from_seed_unchecked(&*bytes(&secrets.identity)?).ok()?;
        bytes(&secrets.sealing)?;
        let vault = Vault::new(&*bytes(&secrets.own)?);
        Some(Keys { secrets, signing, vault })
    }

    /// What may be told.
    pub fn public(&self) -> Public {
        let identity = hex::encode(self.signing.public_key().as_ref());
        Public { identity, public: self.secrets.sealing_public.clone() }
    }

    /// Signs as this keeper; 128 hexadecimal digits.
    pub fn sign(&self, text: &[u8]) -> String {
        hex::encode(self.signing.sign(text).as_ref())
    }

    /// The password of a machine's repository that was sealed to this keeper.
    pub fn open_sealed(&self, machine: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>> {
        let private = Zeroizing::new(hex::decode(&self.secrets.sealing).expect("digits that were read before"));
        Ok(sealed::open(&private, &sealed::about(machine), sealed)?)
    }

    /// The vault for the keeper's own files.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }
}

impl Stored {
    fn read(path: &Path) -> Result<Stored> {
        let text = std::fs::read(path).map_err(Error::file("read the keys in", path))?;
        let stored: Stored = serde_json::from_slice(&text).map_err(|_| damaged(path))?;
        match stored.version {
            1 => Ok(stored),
            version => Err(Error::Keys(format!(
                "the keys in {} are of version {version}; this program knows 1",
                path.display()
            ))),
        }
    }

    fn write(&self, path: &Path) -> Result<()> {
        home::write_private(path, &serde_json::to_vec_pretty(self).expect("keys are JSON"))
    }

    fn all(&self) -> impl Iterator<Item = &Sealed> {
        std::iter::once(&self.first).chain(&self.others)
    }

    fn ways(&self) -> Vec<Way> {
        self.all().map(|sealed| sealed.opens_with.way()).collect()
    }

    fn without(self, way: Way) -> Vec<Sealed> {
        let all = std::iter::once(self.first).chain(self.others);
        all.filter(|sealed| sealed.opens_with.way() != way).collect()
    }

    fn open(&self, path: &Path, opener: &Opener) -> Result<Keys> {
        let way = self.all().find(|sealed| sealed.opens_with.way() == opener.way()).unwrap_or(&self.first);
        let vault = opener.open(&way.opens_with)?;
        let sealed = hex::decode(&way.sealed).map_err(|_| damaged(path))?;
        let plain = vault.open(about(&self.identity, &self.public).as_bytes(), &sealed).map_err(|_| {
            let word = opener.way().word();
            Error::Keys(format!("cannot open the keys in {}: wrong {word}, or they were changed", path.display()))
        })?;
        let secrets = serde_json::from_slice(&plain).map_err(|_| damaged(path))?;
        Keys::of(secrets).ok_or_else(|| damaged(path))
    }
}

/// The ways in which the keys in a file can be opened.
pub fn ways_of(path: &Path) -> Result<Vec<Way>> {
    Ok(Stored::read(path)?.ways())
}

/// What may be told of the keys in a file, without opening them.
pub fn public_of(path: &Path) -> Result<Public> {
    let Stored { identity, public, .. } = Stored::read(path)?;
    Ok(Public { identity, public })
}

fn about(identity: &str, public: &str) -> String {
    format!("stead keeper keys 1\n{identity}\n{public}")
}

fn damaged(path: &Path) -> Error {
    Error::Keys(format!("{} holds no keeper's keys, or is damaged", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_opener(room: &Path) -> Opener {
        Opener::File(room.join("key"))
    }

    #[test]
    fn keys_come_back_as_they_were_with_the_file_that_opens_them_alone() {
        let room = tempfile::tempdir().unwrap();
        let (path, opener) = (room.path().join("keys.json"), file_opener(room.path()));
        let made = Keys::init(&path, &opener).unwrap();
        let read = Keys::open(&path, &opener).unwrap();
        assert_eq!(made.public(), read.public());
        assert_eq!(public_of(&path).unwrap(), read.public());
        let sealed = sealed::seal(&read.public().public, &sealed::about("m1"), b"password").unwrap();
        assert_eq!(*read.open_sealed("m1", &sealed).unwrap(), b"password");
        assert!(read.open_sealed("m2", &sealed).is_err());
        std::fs::write(room.path().join("key"), "00".repeat(32)).unwrap();
        let refused = Keys::open(&path, &opener).err().unwrap().to_string();
        assert!(refused.contains("wrong key file"), "{refused}");
    }

    #[test]
    fn a_passphrase_opens_what_it_sealed_and_nothing_secret_lies_in_the_file() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("keys.json");
        let phrase = |text: &str| Opener::Passphrase(text.to_owned().into());
        let made = Keys::init(&path, &phrase("correct horse")).unwrap();
        assert_eq!(Keys::open(&path, &phrase("correct horse")).unwrap().public(), made.public());
        assert!(Keys::open(&path, &phrase("battery staple")).is_err());
        let text = std::fs::read_to_string(&path).unwrap();
        for secret in [&made.secrets.identity, &made.secrets.sealing, &made.secrets.own] {
            assert!(!text.contains(secret.as_str()));
        }
    }

    #[test]
    fn keys_are_never_made_over_others() {
        let room = tempfile::tempdir().unwrap();
        let (path, opener) = (room.path().join("keys.json"), file_opener(room.path()));
        let first = Keys::init(&path, &opener).unwrap().public();
        assert!(Keys::init(&path, &opener).is_err());
        assert_eq!(Keys::open(&path, &opener).unwrap().public(), first);
    }

    #[test]
    fn keys_are_opened_in_several_ways_and_the_last_one_stays() {
        let room = tempfile::tempdir().unwrap();
        let (path, file) = (room.path().join("keys.json"), file_opener(room.path()));
        let phrase = |text: &str| Opener::Passphrase(text.to_owned().into());
        let keys = Keys::init(&path, &file).unwrap();
        keys.add_way(&path, &phrase("correct horse")).unwrap();
        for opener in [&file, &phrase("correct horse")] {
            assert_eq!(Keys::open(&path, opener).unwrap().public(), keys.public());
        }
        keys.add_way(&path, &phrase("battery staple")).unwrap();
        assert!(Keys::open(&path, &phrase("correct horse")).is_err(), "a way is there once");
        assert_eq!(ways_of(&path).unwrap(), [Way::KeyFile, Way::Passphrase]);

        keys.remove_way(&path, Way::KeyFile).unwrap();
        let refused = Keys::open(&path, &file).err().unwrap().to_string();
        assert!(refused.contains("sealed with a passphrase, not with a key file"), "{refused}");
        assert!(keys.remove_way(&path, Way::KeyFile).is_err());
        let refused = keys.remove_way(&path, Way::Passphrase).unwrap_err().to_string();
        assert!(refused.contains("the only way"), "{refused}");
        assert_eq!(Keys::open(&path, &phrase("battery staple")).unwrap().public(), keys.public());
        let other = Keys::random().unwrap();
        assert!(other.add_way(&path, &file).is_err(), "other keys are not put in their place");
    }

    #[test]
    fn a_changed_byte_of_what_is_public_is_noticed() {
        let room = tempfile::tempdir().unwrap();
        let (path, opener) = (room.path().join("keys.json"), file_opener(room.path()));
        let public = Keys::init(&path, &opener).unwrap().public().public;
        let text = std::fs::read_to_string(&path).unwrap();
        let other = sealed::generate().unwrap().public;
        std::fs::write(&path, text.replace(&format!("\"public\": \"{public}\""), &format!("\"public\": \"{other}\"")))
            .unwrap();
        assert!(Keys::open(&path, &opener).is_err());
    }
}
