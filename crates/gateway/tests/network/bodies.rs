//! Bodies that lie about their length, stop, crawl or wait to be asked for; ranges and listings.

use std::io::{Read, Write};
use std::time::Duration;

use backend::FileKind;
use stead_gateway::ConnectionLimits;

use crate::house::{House, Plan, files_below, hear, noise, path};

#[test]
fn a_body_that_ends_early_leaves_nothing() {
    let house = House::new();
    let machine = house.machine("pc");
    for length in [1000, 5 << 20] {
        let content = noise(3, length);
        let target = format!("/pc/{}", path(FileKind::Pack, &content));
        let head = house.head(&machine, "POST", &target, &format!("Content-Length: {length}\r\n"));
        let mut stream = house.connect();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&content[..length - 10]).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_ne!(hear(stream).status, 200);
        assert_eq!(house.ask_at(&machine, "HEAD", &target, b"").status, 404);
    }
    assert_eq!(files_below(&house.data("pc")), 0);
}

#[test]
fn a_body_longer_than_announced_is_cut_there_and_judged() {
    let house = House::new();
    let machine = house.machine("pc");
    let content = noise(4, 1000);
    let target = format!("/pc/{}", path(FileKind::Pack, &content));
    let head = house.head(&machine, "POST", &target, "Content-Length: 900\r\n");
    let mut stream = house.connect();
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.write_all(&content);
    assert_eq!(hear(stream).status, 400);
    assert_eq!(house.ask_at(&machine, "HEAD", &target, b"").status, 404);
}

#[test]
fn a_body_of_unknown_length_is_taken_and_bounded() {
    let house = House::new();
    let machine = house.machine("pc");
    let post = |kind: FileKind, content: &[u8]| {
        let target = format!("/pc/{}", path(kind, content));
        let mut stream = house.connect();
        let head = house.head(&machine, "POST", &target, "Transfer-Encoding: chunked\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        for chunk in content.chunks(100_000) {
            let _ = write!(stream, "{:x}\r\n", chunk.len());
            let _ = stream.write_all(chunk);
            let _ = stream.write_all(b"\r\n");
        }
        let _ = stream.write_all(b"0\r\n\r\n");
        hear(stream).status
    };
    assert_eq!(post(FileKind::Pack, &noise(5, 3 << 20)), 200);
    assert_eq!(post(FileKind::Lock, b"a small lock"), 200);
    assert_eq!(post(FileKind::Lock, &noise(6, 1 << 20)), 413, "no lock is that long");
}

#[test]
fn what_is_too_long_for_its_kind_is_refused_before_it_is_sent() {
    let house = House::new();
    let machine = house.machine("pc");
    for (kind, length) in [(FileKind::Lock, 1_u64 << 20), (FileKind::Pack, 1 << 40), (FileKind::Pack, u64::MAX)] {
        let target = format!("/pc/{}", path(kind, b"x"));
        let lines = format!("Content-Length: {length}\r\nExpect: 100-continue\r\n");
        let mut stream = house.connect();
        stream.write_all(house.head(&machine, "POST", &target, &lines).as_bytes()).unwrap();
        let answer = hear(stream);
        assert!(matches!(answer.status, 400 | 413 | 431), "{length}: {}", answer.head);
    }
}

#[test]
fn whoever_asks_first_is_told_to_go_on_or_why_not() {
    let house = House::new();
    let machine = house.machine("pc");
    let content = noise(7, 2 << 20);
    let lines = format!("Content-Length: {}\r\nExpect: 100-continue\r\n", content.len());
    let mut stream = house.connect();
    let target = format!("/pc/{}", path(FileKind::Pack, &content));
    stream.write_all(house.head(&machine, "POST", &target, &lines).as_bytes()).unwrap();
    let mut told = [0; 25];
    stream.read_exact(&mut told).unwrap();
    assert_eq!(&told, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&content).unwrap();
    assert_eq!(hear(stream).status, 200);
    let wrong = crate::house::Credential { password: "wrong".into(), ..machine };
    let mut stream = house.connect();
    stream.write_all(house.head(&wrong, "POST", &target, &lines).as_bytes()).unwrap();
    assert_eq!(hear(stream).status, 401, "nothing needed to be sent");
}

#[test]
fn whoever_stands_still_is_given_up() {
    let limits = ConnectionLimits {
        standstill: Duration::from_millis(300),
        greeting: Duration::from_millis(300),
        ..ConnectionLimits::default()
    };
    let house = House::build(Plan { limits, ..Plan::default() });
    let machine = house.machine("pc");
    let target = format!("/pc/{}", path(FileKind::Pack, b"never"));
    let head = house.head(&machine, "POST", &target, "Content-Length: 5000000\r\n");
    // In the head, in the body, and after an answer.
    for sent in [&head.as_bytes()[..20], head.as_bytes(), b""] {
        let mut stream = house.connect();
        stream.write_all(sent).unwrap();
        let answer = hear(stream);
        assert!(matches!(answer.status, 0 | 408), "{}", answer.head);
    }
    assert_eq!(files_below(&house.data("pc")), 0);
}

#[test]
fn ranges_are_exact() {
    let house = House::new();
    let machine = house.machine("pc");
    let content = noise(8, 3_500_000);
    assert_eq!(house.store(&machine, FileKind::Pack, &content).status, 200);
    let target = format!("/pc/{}", path(FileKind::Pack, &content));
    let get = |range: &str| house.ask_with(&machine, "GET", &target, &format!("Range: {range}\r\n"), b"");
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=1000000-3000000", 1_000_000, 3_000_001),
        ("bytes=-5", 3_499_995, 3_500_000),
        ("bytes=3499999-9999999", 3_499_999, 3_500_000),
    ] {
        let answer = get(range);
        assert_eq!(answer.status, 206, "{range}");
        assert!(answer.body == content[start..end], "{range}");
        let told = format!("bytes {start}-{}/3500000", end - 1);
        assert_eq!(answer.header("content-range"), Some(told.as_str()));
    }
    let beyond = get("bytes=3500000-");
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */3500000")));
    assert!(get("bytes=0-1,5-6").body == content, "several ranges at once: all of it");
    let head = house.ask_at(&machine, "HEAD", &target, b"");
    assert_eq!((head.header("content-length"), head.body.len()), (Some("3500000"), 0));
}

#[test]
fn both_versions_of_listings_are_spoken() {
    let house = House::new();
    let machine = house.machine("pc");
    house.store(&machine, FileKind::Index, b"index");
    let id = backend::Id::of(b"index");
    let one = house.ask(&machine, "GET", "index/", b"");
    assert_eq!(one.words(), format!("[\"{id}\"]"));
    assert_eq!(one.header("content-type"), Some("application/vnd.x.restic.rest.v1"));
    let accept = "Accept: application/vnd.x.restic.rest.v2\r\n";
    let two = house.ask_with(&machine, "GET", "/pc/index/", accept, b"");
    assert_eq!(two.words(), format!("[{{\"name\":\"{id}\",\"size\":5}}]"));
    assert_eq!(two.header("content-type"), Some("application/vnd.x.restic.rest.v2"));
}
