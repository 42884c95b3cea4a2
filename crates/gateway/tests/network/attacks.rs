//! What whoever stole a machine's credential tries, and does not get (reliability.md 2.1).

use std::io::Write;

use backend::{FileKind, FileName, Id, Part};
use jiff::SignedDuration;
use stead_gateway::{Act, Holder, Ledger, Limits};

use crate::house::{House, hear, name, noise, path};

const KINDS: [FileKind; 5] = FileKind::NAMED;

/// A machine with a file of each kind, and a config.
fn furnished(house: &House) -> crate::house::Credential {
    let machine = house.machine("pc");
    for kind in KINDS {
        assert_eq!(house.store(&machine, kind, kind.directory().as_bytes()).status, 200, "{kind}");
    }
    assert_eq!(house.ask(&machine, "POST", "config", b"the config").status, 200);
    machine
}

#[test]
fn a_stolen_credential_deletes_nothing() {
    let house = House::new();
    let machine = furnished(&house);
    for kind in [FileKind::Pack, FileKind::Index, FileKind::Snapshot, FileKind::Key] {
        let answer = house.ask(&machine, "DELETE", &path(kind, kind.directory().as_bytes()), b"");
        assert_eq!(answer.status, 403, "{kind}");
        assert!(answer.words().contains("append-only"), "{}", answer.words());
        assert_eq!(house.ask(&machine, "HEAD", &path(kind, kind.directory().as_bytes()), b"").status, 200);
    }
    assert_eq!(house.ask(&machine, "DELETE", "config", b"").status, 403);
    assert_eq!(house.ask(&machine, "DELETE", "", b"").status, 403, "nor the repository as a whole");
    let method = "X-HTTP-Method-Override: DELETE\r\n";
    house.ask_with(&machine, "POST", &format!("/pc/{}", path(FileKind::Pack, b"data")), method, b"data");
    assert_eq!(house.ask(&machine, "HEAD", &path(FileKind::Pack, b"data"), b"").status, 200);
}

#[test]
fn a_stolen_credential_overwrites_nothing() {
    let house = House::new();
    let machine = furnished(&house);
    for kind in KINDS {
        for other in [&b"other bytes"[..], b"", &noise(1, 2 << 20)] {
            if other.len() > 1000 && matches!(kind, FileKind::Key | FileKind::Lock) {
                continue; // too long for the kind, which is another answer
            }
            let answer = house.ask(&machine, "POST", &path(kind, kind.directory().as_bytes()), other);
            assert_eq!(answer.status, 403, "{kind}: {}", answer.words());
        }
        let stored = house.ask(&machine, "GET", &path(kind, kind.directory().as_bytes()), b"");
        assert_eq!(stored.body, kind.directory().as_bytes());
        assert_eq!(house.store(&machine, kind, kind.directory().as_bytes()).status, 200, "the same bytes are success");
    }
    assert_eq!(house.ask(&machine, "POST", "config", b"another config").status, 403);
    assert_eq!(house.ask(&machine, "POST", "config", b"the config").status, 200);
    for method in ["PUT", "PATCH", "MOVE", "COPY", "MKCOL", "OPTIONS", "TRACE"] {
        assert_eq!(house.ask(&machine, method, "config", b"x").status, 405, "{method}");
    }
}

#[test]
fn bytes_that_are_not_what_their_name_says_are_not_stored() {
    let house = House::new();
    let machine = house.machine("pc");
    for content in [&b"small"[..], &noise(2, 3 << 20)] {
        for kind in [FileKind::Pack, FileKind::Index, FileKind::Snapshot] {
            let answer = house.ask(&machine, "POST", &path(kind, b"another name"), content);
            assert_eq!(answer.status, 400, "{kind}");
            assert_eq!(house.ask(&machine, "HEAD", &path(kind, b"another name"), b"").status, 404);
        }
    }
    assert_eq!(crate::house::files_below(&house.data("pc")), 0);
}

#[test]
fn a_stolen_credential_sees_no_other_repository() {
    let house = House::new();
    let (machine, other) = (house.machine("pc"), house.machine("victim"));
    house.store(&other, FileKind::Snapshot, b"secret");
    let secret = path(FileKind::Snapshot, b"secret");
    for (method, below) in
        [("GET", "snapshots/"), ("GET", &secret), ("HEAD", &secret), ("POST", &secret), ("DELETE", &secret)]
    {
        let there = house.ask_at(&machine, method, &format!("/victim/{below}"), b"");
        let nowhere = house.ask_at(&machine, method, &format!("/nobody/{below}"), b"");
        assert_eq!((there.status, nowhere.status), (403, 403), "{method} {below}");
        assert_eq!(there.body, nowhere.body, "whether there is such a repository is not told");
    }
    for path in [
        "/pc/../victim/snapshots/",
        "/pc/%2e%2e/victim/config",
        "//victim/config",
        "/pc//victim/config",
        "/victim%2fconfig",
        "/pc/snapshots/../../victim/config",
        "/./victim/config",
        "/pc/..%2fvictim%2fconfig",
        "/PC/config",
        "/",
        "/pc/.hidden",
        "/pc/data/../config",
        "/pc/data/ab/cd",
        "/etc/passwd",
        "/pc/keys/..",
        "/pc\\..\\victim/config",
    ] {
        let status = house.ask_at(&machine, "GET", path, b"").status;
        assert!(matches!(status, 400 | 403 | 404), "{path}: {status}");
    }
    for path in ["http://x/victim/snapshots/", "/victim/snapshots/?x=/pc/", "/victim/snapshots/#/pc/"] {
        let status = house.ask_at(&machine, "GET", path, b"").status;
        assert!(matches!(status, 400 | 403), "{path}: {status}");
    }
}

#[test]
fn after_sealing_config_and_keys_are_a_keepers() {
    let house = House::new();
    let machine = house.machine("pc");
    assert_eq!(house.store(&machine, FileKind::Key, b"its own key").status, 200);
    house.access.seal(&name("pc")).unwrap();
    for answer in [
        house.store(&machine, FileKind::Key, b"another key"),
        house.ask(&machine, "POST", "config", b"config"),
        house.ask(&machine, "POST", "?create=true", b""),
    ] {
        assert_eq!(answer.status, 403);
        assert!(answer.words().contains("sealed"), "{}", answer.words());
    }
    let keeper = house.keeper();
    assert_eq!(house.store(&keeper, FileKind::Key, b"another key").status, 200);
    assert_eq!(house.ask(&keeper, "DELETE", &path(FileKind::Key, b"its own key"), b"").status, 200);
}

#[test]
fn a_stolen_credential_does_not_lock_its_machine_out() {
    let house = House::new();
    let machine = house.machine("pc");
    // Not by more keys than restic looks at,
    let keys =
        (0..30).filter(|number| house.store(&machine, FileKind::Key, format!("key {number}").as_bytes()).status == 200);
    assert!(keys.count() < 20);
    // nor by locks that claim to be of the future: they end by the gateway's clock,
    house.store(&machine, FileKind::Lock, b"an exclusive lock of the year 2999");
    house.clock.jump(3 * 3600);
    assert_eq!(house.ask(&machine, "GET", "locks/", b"").words(), "[]");
    // nor by more locks than anybody can list,
    let mut last = 0;
    for number in 0..200 {
        last = house.store(&machine, FileKind::Lock, format!("lock {number}").as_bytes()).status;
    }
    assert_eq!(last, 429);
    house.clock.jump(3 * 3600);
    assert_eq!(house.store(&machine, FileKind::Lock, b"an honest lock").status, 429, "they count until they are seen");
    assert_eq!(house.ask(&machine, "GET", "locks/", b"").words(), "[]");
    assert_eq!(house.store(&machine, FileKind::Lock, b"an honest lock").status, 200);
    // nor by wrong passwords from elsewhere (`attempts.rs` has it with many addresses).
    let wrong = crate::house::Credential { password: "wrong".into(), ..machine.clone() };
    for _ in 0..100 {
        assert_eq!(house.ask(&wrong, "GET", "config", b"").status, 401);
    }
    assert_eq!(house.ask(&machine, "GET", "keys/", b"").status, 200);
}

#[test]
fn whoever_guesses_is_told_to_wait() {
    let house = House::new();
    let guess = crate::house::Credential { user: "pc".into(), password: "x".into(), repository: "pc".into() };
    let answers: Vec<_> = (0..60).map(|_| house.ask(&guess, "GET", "config", b"")).collect();
    assert_eq!(answers[0].status, 401);
    assert!(answers[0].header("www-authenticate").unwrap().starts_with("Basic"));
    let refused = answers.last().unwrap();
    assert_eq!(refused.status, 429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
}

#[test]
fn receipt_times_are_the_gateways() {
    let house = House::new();
    let machine = house.machine("pc");
    let file = FileName::new(FileKind::Snapshot, Id::of(b"forged"));
    let lines =
        "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\nLast-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nX-Time: 2000\r\n";
    let answer =
        house.ask_with(&machine, "POST", &format!("/pc/{}", path(FileKind::Snapshot, b"forged")), lines, b"forged");
    assert_eq!(answer.status, 200);
    let receipt = || house.ledger.receipt(&name("pc"), &file).unwrap().unwrap();
    let first = receipt();
    let age = jiff::Timestamp::now().duration_since(first.at);
    assert!(age.abs() < SignedDuration::from_mins(5), "{age}");
    assert_eq!((first.act, first.by.as_str(), first.sha256, first.size), (Act::Received, "pc", file.id, 6));
    // Sent again later, it was still received then.
    house.clock.jump(86_400);
    assert_eq!(house.store(&machine, FileKind::Snapshot, b"forged").status, 200);
    assert_eq!(receipt().at, first.at);
    // A gateway's clock that goes back takes no receipt with it.
    house.clock.jump(-10 * 86_400);
    house.store(&machine, FileKind::Snapshot, b"later");
    let later = FileName::new(FileKind::Snapshot, Id::of(b"later"));
    assert!(house.ledger.receipt(&name("pc"), &later).unwrap().unwrap().at >= first.at);
}

#[test]
fn every_file_is_in_the_ledger_before_it_is_told_as_stored() {
    let house = House::new();
    furnished(&house);
    for kind in KINDS {
        let file = FileName::new(kind, Id::of(kind.directory().as_bytes()));
        assert!(house.ledger.receipt(&name("pc"), &file).unwrap().is_some(), "{kind}");
    }
    let config = house.ledger.receipt(&name("pc"), &FileName::CONFIG).unwrap().unwrap();
    assert_eq!(config.sha256, Id::of(b"the config"));
}

#[test]
fn a_flood_is_stopped_by_the_days_budget_and_reading_goes_on() {
    let house = House::new();
    let limits = Limits { daily_bytes: Some(10_000), daily_snapshots: Some(3), ..Limits::default() };
    let machine = house.limited_machine("pc", limits);
    for number in 0..3 {
        assert_eq!(house.store(&machine, FileKind::Snapshot, format!("snapshot {number}").as_bytes()).status, 200);
    }
    let fourth = house.store(&machine, FileKind::Snapshot, b"snapshot 4");
    assert_eq!(fourth.status, 429, "bogus snapshots cannot push good ones out");
    assert!(fourth.header("retry-after").unwrap().parse::<u64>().unwrap() <= 86_400);
    assert_eq!(house.store(&machine, FileKind::Pack, &noise(1, 9_000)).status, 200);
    assert_eq!(house.store(&machine, FileKind::Pack, &noise(2, 9_000)).status, 429);
    assert_eq!(house.store(&machine, FileKind::Lock, b"a lock").status, 200);
    let mut content = Vec::new();
    let pack = FileName::new(FileKind::Pack, Id::of(&noise(1, 9_000)));
    house.client(&machine).read(&pack, Part::Whole, &mut content).unwrap();
    assert_eq!(content, noise(1, 9_000));
    house.clock.jump(86_400);
    assert_eq!(house.store(&machine, FileKind::Pack, &noise(2, 9_000)).status, 200, "another day");
}

#[test]
fn a_leaked_credential_ends_when_its_account_does() {
    let house = House::new();
    let machine = furnished(&house);
    std::fs::write(house.room.path().join("access.json"), "{}").unwrap();
    assert_eq!(house.ask(&machine, "GET", "config", b"").status, 401);
}

#[test]
fn machines_that_share_a_repository_keep_off_each_others_locks() {
    let house = House::new();
    let machine = house.machine("pc");
    let second = house.add("second", Holder::Machine(name("pc")), None);
    house.store(&machine, FileKind::Lock, b"held");
    assert_eq!(house.ask(&second, "DELETE", &path(FileKind::Lock, b"held"), b"").status, 403);
    assert_eq!(house.ask(&machine, "DELETE", &path(FileKind::Lock, b"held"), b"").status, 200);
}

#[test]
fn garbage_is_answered_or_hung_up_on_and_the_next_is_served() {
    let house = House::new();
    let machine = house.machine("pc");
    let auth = "Authorization: Basic";
    let garbage: [Vec<u8>; 10] = [
        b"\0\0\0\0".to_vec(),
        b"GET\r\n\r\n".to_vec(),
        b"GET /pc/config HTTP/9.9\r\n\r\n".to_vec(),
        noise(1, 5000),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense that is no frame at all".to_vec(),
        format!("GET /pc/config HTTP/1.1\r\nHost: x\r\n{auth} !!!\r\n\r\n").into_bytes(),
        format!("GET /pc/config HTTP/1.1\r\nHost: x\r\n{auth} {}\r\n\r\n", "A".repeat(100_000)).into_bytes(),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a/".repeat(50_000)).into_bytes(),
        format!("POST /pc/config HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(5000)).into_bytes(),
    ];
    for bytes in garbage {
        let mut stream = house.connect();
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let status = hear(stream).status;
        assert!(status == 0 || (400..=505).contains(&status), "{status}");
        assert_eq!(house.ask(&machine, "GET", "keys/", b"").status, 200);
    }
}
