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

use fleet::{ClientId, MachineId};
use repo::key::{self, KdfParams, KeyOrigin};
use repo::{Id, Repository};
use zeroize::Zeroizing;

use crate::memory::Memory;
use crate::vault::Vault;
use crate::{Error, Result};

/// Groups on a sheet.
pub const GROUPS: usize = 24;

/// Characters in a group.
pub const GROUP: usize = 4;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Where sealed passwords are noted, by client.
const SHEETS: &str = "recovery sheet";

/// Where it is noted which key file opens a machine's repository by a sheet: machine, then client.
const OPENED: &str = "recovery key";

/// The password of a client, made if there is none.
pub fn password(memory: &Memory, vault: &Vault, client: ClientId) -> Result<Zeroizing<String>> {
    let name = client.to_string();
    let vault = vault.of("recovery sheets");
    if let Some(sealed) = memory.get(SHEETS, name.as_bytes())? {
        let plain = vault.open(name.as_bytes(), &sealed)?;
        let text = std::str::from_utf8(&plain).map_err(|_| Error::Keys("a recovery sheet is damaged".into()))?;
        return Ok(Zeroizing::new(text.to_owned()));
    }
    let password = random();
    memory.put(SHEETS, name.as_bytes(), &vault.seal(name.as_bytes(), password.as_bytes()))?;
    Ok(password)
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
    let letters = typed.chars().filter(|letter| !letter.is_whitespace() && *letter != '-');
    let letters = letters.map(|letter| match letter.to_ascii_lowercase() {
        'o' => '0',
        'i' | 'l' => '1',
        letter => letter,
    });
    let letters: Zeroizing<String> = Zeroizing::new(letters.collect());
    let is_whole = letters.chars().count() == GROUPS * GROUP;
    let is_known = letters.bytes().all(|letter| ALPHABET.contains(&letter));
    (is_whole && is_known).then(|| grouped(&letters))
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

    #[test]
    fn a_password_is_24_groups_stays_the_same_and_is_sealed_where_it_lies() {
        let room = tempfile::tempdir().unwrap();
        let memory = Memory::open(&room.path().join("memory.redb")).unwrap();
        let vault = Vault::new(&[3; 32]);
        let [one, two] = [1, 2].map(|number| ClientId::new(Uuid::from_u128(number)));
        let first = password(&memory, &vault, one).unwrap();
        assert_eq!(first.split(' ').count(), GROUPS);
        assert!(first.split(' ').all(|group| group.len() == GROUP));
        assert_eq!(first, password(&memory, &vault, one).unwrap());
        assert_ne!(first, password(&memory, &vault, two).unwrap());
        assert!(password(&memory, &Vault::new(&[4; 32]), one).is_err(), "another keeper's key opens it");
        let stored = memory.all(SHEETS, b"").unwrap();
        assert!(stored.iter().all(|(_, sealed)| !sealed.windows(9).any(|piece| piece == first[..9].as_bytes())));
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
