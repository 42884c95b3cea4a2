//! Passwords that open, passwords that do not, and key files that are damaged.

use backend::Memory;

use super::*;

/// The cheapest scrypt there is: these tests are about files.
const CHEAP: KdfParams = KdfParams { n: 2, r: 1, p: 1 };

fn origin() -> KeyOrigin {
    let created = "2026-11-22T01:02:03.5+01:00[Europe/Berlin]".parse().unwrap();
    KeyOrigin { created, username: "ann".into(), hostname: "desk".into() }
}

fn memory() -> Memory {
    let memory = Memory::default();
    memory.create().unwrap();
    memory
}

fn put(backend: &Memory, json: &[u8]) -> Id {
    let id = Id::of(json);
    backend.write(&FileName::new(FileKind::Key, id), json).unwrap();
    id
}

/// A good key file of another repository for this password, as JSON.
fn good(password: &[u8]) -> String {
    let file = KeyFile::seal(&MasterKey::random(), password, CHEAP, &origin()).unwrap();
    String::from_utf8(file.to_json()).unwrap()
}

#[test]
fn every_password_opens_the_same_master_key() {
    let (backend, master) = (memory(), MasterKey::random());
    let first = add(&backend, &master, b"one", CHEAP, &origin()).unwrap();
    let second = add(&backend, &master, "zwölf".as_bytes(), CHEAP, &origin()).unwrap();
    for (password, id) in [("one", first), ("zwölf", second)] {
        let opened = open(&backend, password.as_bytes(), None).unwrap();
        assert!(opened.id == id && opened.master.is_same(&master) && opened.skipped.is_empty());
    }
    assert!(matches!(open(&backend, b"two", None), Err(Error::WrongPassword)));
}

#[test]
fn a_key_file_is_laid_out_as_restics() {
    let json = good(b"right");
    let expected = r#"{"created":"2026-11-22T01:02:03.5+01:00","username":"ann","hostname":"desk","kdf":"scrypt","N":2,"r":1,"p":1,"salt":""#;
    assert!(json.starts_with(expected), "{json}");
    let salt = json.split("\"salt\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(base64::Engine::decode(&base64::engine::general_purpose::STANDARD, salt).unwrap().len(), 64);
}

#[test]
fn damaged_key_files_are_skipped_with_a_reason() {
    let (backend, master) = (memory(), MasterKey::random());
    let right = add(&backend, &master, b"right", CHEAP, &origin()).unwrap();
    let json = good(b"right");
    let change = |from: &str, to: &str| json.replacen(from, to, 1).into_bytes();
    let salt_start = json.find("\"salt\":\"").unwrap() + 8;
    let data_start = json.find("\"data\":\"").unwrap() + 8;
    let damaged = [
        vec![],
        json.as_bytes()[..json.len() / 2].to_vec(),
        change("scrypt", "argon2"),
        change("\"N\":2", "\"N\":3"),
        change("\"N\":2", "\"N\":4611686018427387904"),
        change("\"r\":1", "\"r\":4294967295"),
        change("\"p\":1", "\"p\":0"),
        format!("{}\"}}", &json[..data_start]).into_bytes(),
        format!("{}\",\"data\":\"AAAA\"}}", &json[..salt_start]).into_bytes(),
        b"[]".to_vec(),
        vec![0xff; 100],
    ];
    let mut ids: Vec<Id> = damaged.iter().map(|json| put(&backend, json)).collect();
    ids.sort();
    // None of them opens, so all are tried.
    assert!(matches!(open(&backend, b"wrong", None), Err(Error::WrongPassword)));
    let hinted = open(&backend, b"right", Some(&right.to_string()[..8])).unwrap();
    assert!(hinted.id == right && hinted.skipped.is_empty());
    for id in &ids {
        let opened = open(&backend, b"right", Some(&id.to_string())).unwrap();
        assert!(
            opened.id == right && opened.skipped.iter().any(|(skipped, reason)| skipped == id && !reason.is_empty())
        );
    }
    assert_eq!(list(&backend).unwrap().len(), damaged.len() + 1);
}

#[test]
fn a_repository_whose_only_key_file_is_cut_says_so() {
    let backend = memory();
    put(&backend, b"");
    let error = open(&backend, b"right", None).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("empty"), "{error}");
}

#[test]
fn content_that_is_not_what_its_name_says_is_not_used() {
    let backend = memory();
    let id = Id::of(b"something else");
    backend.write(&FileName::new(FileKind::Key, id), good(b"right").as_bytes()).unwrap();
    let error = open(&backend, b"right", None).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("hash"), "{error}");
}

#[test]
fn at_most_twenty_key_files_are_tried_and_the_hinted_one_is_among_them() {
    let (backend, master) = (memory(), MasterKey::random());
    for number in 0..3 * MOST_TRIED {
        put(&backend, good(b"wrong").replace("ann", &number.to_string()).as_bytes());
    }
    let is_late = |id: &Id| ids(&backend).unwrap().iter().position(|other| other == id).unwrap() >= MOST_TRIED;
    let mut tries = (0..).map(|_| add(&backend, &master, b"right", CHEAP, &origin()).unwrap());
    let right = loop {
        let id = tries.next().unwrap();
        if is_late(&id) {
            break id;
        }
        remove(&backend, id).unwrap();
    };
    assert!(matches!(open(&backend, b"right", None), Err(Error::WrongPassword)));
    let hint = right.to_string();
    assert!(open(&backend, b"right", Some(&hint[..6])).unwrap().master.is_same(&master));
}

#[test]
fn keys_are_listed_and_removed_but_not_the_last() {
    let (backend, master) = (memory(), MasterKey::random());
    let first = add(&backend, &master, b"one", CHEAP, &origin()).unwrap();
    let second = add(&backend, &master, b"two", CHEAP, &origin()).unwrap();
    let listed = list(&backend).unwrap();
    assert!(listed.iter().all(|key| (key.username.as_str(), key.hostname.as_str()) == ("ann", "desk")));
    assert_eq!(listed[0].created, "2026-11-22T01:02:03.5+01:00");
    remove(&backend, first).unwrap();
    assert!(matches!(open(&backend, b"one", None), Err(Error::WrongPassword)));
    assert!(matches!(remove(&backend, second), Err(Error::Invalid(_))));
    open(&backend, b"two", None).unwrap();
}

#[test]
fn a_key_that_could_not_be_read_again_is_not_written() {
    let backend = memory();
    let impossible = KdfParams { n: 3, r: 8, p: 1 };
    assert!(add(&backend, &MasterKey::random(), b"x", impossible, &origin()).is_err());
    assert!(list(&backend).unwrap().is_empty());
}
