//! A client's recovery password: one sheet of paper that opens all of its repositories, with restic and nothing else.
//!
//! # How it is written
//! 24 groups of four characters and a space between, six groups to a line: 96 characters of Crockford's base 32 (digits and
//! lower-case letters without i, l, o and u), 480 random bits. **The password is all of it, spaces included, as one line.**
//! Capital letters, missing or further spaces, and o, i, l for 0, 1, 1 are mended by [`tidy`] wherever stead asks for it;
//! restic takes it exactly as it is printed. There are no check characters: a wrong one opens nothing.
//!
//! # The code on a sheet
//! A QR code holds `stead-recovery:1:<client's id>:<the password without spaces>`, in capital letters so that the code is
//! small ([`payload`]). Who scans it writes the groups again with [`tidy`].
//!
//! # Who learns it
//! The keeper, and whoever prints the sheet on the keeper's machine: it goes through no server. To prove that a sheet is at
//! hand, two of its groups are typed on a page; they are the same two whenever it is asked, so that a server never learns
//! more than 40 of 480 bits.

use std::path::PathBuf;

use fleet::{ClientId, MachineId};
use repo::key::{self, KdfParams, KeyOrigin};
use repo::{Id, Repository};
use zeroize::Zeroizing;

use crate::home::{self, Home};
use crate::keys::Keys;
use crate::memory::{Changes, Memory};
use crate::vault::Vault;
use crate::{Error, Result};

/// Groups on a sheet.
pub const GROUPS: usize = 24;

/// Characters in a group.
pub const GROUP: usize = 4;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Where earlier versions noted sealed passwords, by client.
const NOTED: &str = "recovery sheet";

/// Where it is noted which key file opens a machine's repository by a sheet: machine, then client.
const OPENED: &str = "recovery key";

/// Recovery passwords, each sealed in a file of its own: the keeper has them while it works, and a command beside it.
pub struct Sheets {
    folder: PathBuf,
    vault: Vault,
}

impl Sheets {
    /// Those of a keeper.
    pub fn of(home: &Home, keys: &Keys) -> Sheets {
        Sheets::at(home.sheets(), &keys.vault().of("files"))
    }

    /// Those in a folder, sealed by the vault of the keeper's files.
    pub fn at(folder: PathBuf, files: &Vault) -> Sheets {
        Sheets { folder, vault: files.of("recovery sheets") }
    }

    /// Takes over what an earlier version noted elsewhere.
    pub(crate) fn adopt(&self, memory: &Memory) -> Result<()> {
        for (client, sealed) in memory.all(NOTED, b"")? {
            let name = std::str::from_utf8(&client).ok().and_then(|name| name.parse::<ClientId>().ok());
            let name = name.ok_or_else(|| Error::Keys("a recovery sheet is noted for no client".into()))?;
            home::write_once(&self.folder.join(name.to_string()), &sealed)?;
            memory.apply(Changes { remove: vec![(NOTED, client)], ..Changes::default() })?;
        }
        Ok(())
    }

    /// The password of a client, if there is one.
    pub fn known(&self, client: ClientId) -> Result<Option<Zeroizing<String>>> {
        let (name, path) = (client.to_string(), self.folder.join(client.to_string()));
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::file("read", &path)(error)),
        };
        let plain = self.vault.open(name.as_bytes(), &sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| Error::Keys("a recovery sheet is damaged".into()))?;
        Ok(Some(Zeroizing::new(text.to_owned())))
    }

    /// The password of a client, made if there is none.
    pub fn password(&self, client: ClientId) -> Result<Zeroizing<String>> {
        if let Some(known) = self.known(client)? {
            return Ok(known);
        }
        let (name, password) = (client.to_string(), random());
        let sealed = self.vault.seal(name.as_bytes(), password.as_bytes());
        match home::write_once(&self.folder.join(&name), &sealed)? {
            true => Ok(password),
            // Somebody else was quicker: theirs it is.
            false => self.known(client)?.ok_or_else(|| Error::Keys("a recovery sheet went away".into())),
        }
    }

    /// The two groups that prove that a client's sheet is at hand, counted from 1: always the same.
    pub fn asks(&self, client: ClientId) -> [u8; 2] {
        let drawn = self.vault.secret(&format!("groups of {client}"));
        let first = drawn[0] % GROUPS as u8;
        let other = (first + 1 + drawn[1] % (GROUPS as u8 - 1)) % GROUPS as u8;
        [first.min(other) + 1, first.max(other) + 1]
    }

    /// Whether these are the groups that [`Sheets::asks`] names.
    pub fn proves(&self, client: ClientId, typed: &[String; 2]) -> Result<bool> {
        let Some(password) = self.known(client)? else { return Ok(false) };
        let groups: Vec<_> = password.split(' ').collect();
        let right = self.asks(client).map(|group| groups.get(usize::from(group) - 1).copied().unwrap_or_default());
        Ok(right.iter().zip(typed).all(|(right, typed)| mended(typed).as_str() == *right))
    }
}

fn random() -> Zeroizing<String> {
    let bytes = Zeroizing::new(rand::random::<[[u8; 32]; 3]>());
    let letters = bytes.iter().flatten().map(|byte| ALPHABET[usize::from(byte % 32)] as char);
    let letters: Zeroizing<String> = Zeroizing::new(letters.take(GROUPS * GROUP).collect());
    grouped(&letters)
}

fn grouped(letters: &str) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(GROUPS * (GROUP + 1)));
    for (at, letter) in letters.chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push(' ');
        }
        text.push(letter);
    }
    text
}

/// A password as somebody typed or scanned it, as it must be: `None` if it cannot be one.
pub fn tidy(typed: &str) -> Option<Zeroizing<String>> {
    let letters = mended(typed);
    let is_whole = letters.chars().count() == GROUPS * GROUP;
    let is_known = letters.bytes().all(|letter| ALPHABET.contains(&letter));
    (is_whole && is_known).then(|| grouped(&letters))
}

/// Letters as they were printed.
fn mended(typed: &str) -> Zeroizing<String> {
    let letters = typed.chars().filter(|letter| !letter.is_whitespace() && *letter != '-');
    let letters = letters.map(|letter| match letter.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        letter => letter,
    });
    Zeroizing::new(letters.collect())
}

/// What the code on a sheet holds.
pub fn payload(client: ClientId, password: &str) -> Zeroizing<String> {
    let letters: Zeroizing<String> = Zeroizing::new(password.split_whitespace().collect());
    Zeroizing::new(format!("stead-recovery:1:{client}:{}", *letters).to_uppercase())
}

/// Makes sure that a client's password opens a machine's repository, by a key file of its own.
pub fn admit(
    memory: &Memory,
    repo: &Repository,
    machine: MachineId,
    client: ClientId,
    password: &str,
    origin: &KeyOrigin,
) -> Result<()> {
    let note = noted(machine, client);
    let noted_key = memory.get(OPENED, &note)?.and_then(|id| String::from_utf8(id).ok()?.parse::<Id>().ok());
    let keys = key::list(repo.backend())?;
    if noted_key.is_some_and(|id| keys.iter().any(|key| key.id == id)) {
        return Ok(());
    }
    // One that was added before a kill in between is found, not added again.
    let id = match key::open(repo.backend(), password.as_bytes(), None) {
        Ok(opened) => opened.id,
        Err(repo::Error::WrongPassword) => {
            key::add(repo.backend(), repo.key(), password.as_bytes(), KdfParams::RANDOM_PASSWORD, origin)?
        }
        Err(error) => return Err(error.into()),
    };
    memory.put(OPENED, &note, id.to_string().as_bytes())
}

/// The machines whose repositories a client's password opens.
pub fn opens(memory: &Memory, client: ClientId) -> Result<Vec<MachineId>> {
    let all = memory.all(OPENED, client.to_string().as_bytes())?;
    let machine = |key: &[u8]| std::str::from_utf8(key).ok()?.split(' ').nth(1)?.parse().ok();
    Ok(all.iter().filter_map(|(key, _)| machine(key)).collect())
}

fn noted(machine: MachineId, client: ClientId) -> Vec<u8> {
    format!("{client} {machine}").into_bytes()
}

#[cfg(test)]
mod tests {
    use fleet::Uuid;

    use super::*;

    /// Sheets in a folder, sealed with a key of these bytes.
    fn sheets(folder: &std::path::Path, key: u8) -> Sheets {
        Sheets { folder: folder.to_owned(), vault: Vault::new(&[key; 32]) }
    }

    #[test]
    fn a_password_is_24_groups_stays_the_same_and_is_sealed_where_it_lies() {
        let room = tempfile::tempdir().unwrap();
        let ours = sheets(room.path(), 3);
        let [one, two] = [1, 2].map(|number| ClientId::new(Uuid::from_u128(number)));
        assert_eq!(ours.known(one).unwrap(), None);
        let first = ours.password(one).unwrap();
        assert_eq!(first.split(' ').count(), GROUPS);
        assert!(first.split(' ').all(|group| group.len() == GROUP));
        assert_eq!(first, ours.password(one).unwrap());
        assert_ne!(first, ours.password(two).unwrap());
        assert!(sheets(room.path(), 4).password(one).is_err(), "another keeper's key opens it");
        let files: Vec<_> = std::fs::read_dir(room.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 2, "no draft stays: {files:?}");
        for file in files {
            let sealed = std::fs::read(file).unwrap();
            assert!(!sealed.windows(9).any(|piece| piece == &first.as_bytes()[..9]));
        }
    }

    #[test]
    fn who_makes_a_sheet_at_the_same_time_gets_the_same() {
        let room = tempfile::tempdir().unwrap();
        let client = ClientId::new(Uuid::from_u128(1));
        let make = || sheets(room.path(), 3).password(client).unwrap().to_string();
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(made.iter().all(|password| *password == made[0]), "{made:?}");
    }

    #[test]
    fn two_groups_prove_a_sheet_and_they_are_always_the_same_two() {
        let room = tempfile::tempdir().unwrap();
        let ours = sheets(room.path(), 3);
        for number in 0..200 {
            let [first, other] = ours.asks(ClientId::new(Uuid::from_u128(number)));
            assert!((1..=24).contains(&first) && first < other && other <= 24, "{first}, {other}");
        }
        let client = ClientId::new(Uuid::from_u128(1));
        let typed = |text: &str| [text.to_owned(), text.to_owned()];
        assert!(!ours.proves(client, &typed("")).unwrap(), "there is no sheet yet");
        let password = ours.password(client).unwrap();
        let groups: Vec<_> = password.split(' ').collect();
        let right = ours.asks(client).map(|group| groups[usize::from(group) - 1].to_owned());
        assert!(ours.proves(client, &right).unwrap());
        assert!(ours.proves(client, &right.clone().map(|group| format!(" {} ", group.to_uppercase()))).unwrap());
        let [first, other] = right.clone();
        for wrong in [typed(""), typed(&first), [other.clone(), first.clone()], [first, "zzzz".into()]] {
            assert!(wrong == right || !ours.proves(client, &wrong).unwrap(), "{wrong:?}");
        }
    }

    #[test]
    fn what_an_earlier_version_noted_is_taken_over() {
        let room = tempfile::tempdir().unwrap();
        let memory = Memory::open(&room.path().join("memory.redb")).unwrap();
        let (ours, client) = (sheets(room.path(), 3), ClientId::new(Uuid::from_u128(1)));
        let name = client.to_string();
        memory.put(NOTED, name.as_bytes(), &ours.vault.seal(name.as_bytes(), b"0a1b 2c3d")).unwrap();
        ours.adopt(&memory).unwrap();
        assert_eq!(*ours.password(client).unwrap(), "0a1b 2c3d");
        assert!(memory.all(NOTED, b"").unwrap().is_empty());
    }

    #[test]
    fn what_was_typed_by_hand_or_scanned_is_mended() {
        let password = random();
        let client = ClientId::new(Uuid::from_u128(1));
        let scanned = payload(client, &password);
        let letters = scanned.rsplit(':').next().unwrap();
        assert_eq!(tidy(letters).unwrap(), password);
        let typed = password.to_uppercase().replace('0', "O").replace('1', "l").replace(' ', " - ");
        assert_eq!(tidy(&typed).unwrap(), password);
        for wrong in ["", "abcd", &password[1..], &password.replacen(' ', "u", 1), &format!("{}x", *password)] {
            assert!(tidy(wrong).is_none(), "{wrong}");
        }
    }
}
