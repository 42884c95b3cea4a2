//! Scrubs: rot is found without keys, told until it is gone, and an interrupted scrub goes on.

use std::cell::Cell;
use std::time::Duration;

use backend::{FileKind, FileName, Id, Local};
use stead_gateway::{Scrub, ScrubOptions, Tally, Verdict};

use crate::house::{House, name, noise};

fn scrub(house: &House, go_on: &dyn Fn() -> bool) -> Tally {
    let options = ScrubOptions { rate: None, again_after: Duration::from_secs(30 * 86_400) };
    let scrub = Scrub::new(house.room.path().join("scrubs"), options).unwrap();
    let storage = Local::new(house.data("pc"), 1);
    scrub.run(&name("pc"), &storage, &*house.ledger, &*house.clock, &mut |_, _| (), go_on).unwrap()
}

fn furnished() -> House {
    let house = House::new();
    let machine = house.machine("pc");
    house.ask(&machine, "POST", "config", b"the config");
    for number in 0..5 {
        house.store(&machine, FileKind::Pack, &noise(number, 50_000));
        house.store(&machine, FileKind::Index, &noise(100 + number, 500));
    }
    house
}

fn damage(house: &House, file: &FileName) {
    let path = house.data("pc").join(file.path());
    let mut content = std::fs::read(&path).unwrap();
    content[3] ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, content).unwrap();
}

#[test]
fn rot_is_found_and_told_until_the_file_is_gone() {
    let house = furnished();
    let good = scrub(&house, &|| true);
    assert_eq!((good.read, good.passed_over, good.bad.len(), good.is_complete), (11, 0, 0, true));
    assert_eq!(scrub(&house, &|| true).passed_over, 11, "all of it was good lately");
    let pack = FileName::new(FileKind::Pack, Id::of(&noise(2, 50_000)));
    damage(&house, &pack);
    damage(&house, &FileName::CONFIG);
    house.clock.jump(31 * 86_400);
    let found = scrub(&house, &|| true);
    let bad: Vec<_> = found.bad.iter().map(|finding| (finding.file, finding.verdict)).collect();
    assert_eq!(bad, [(FileName::CONFIG, Verdict::Bad), (pack, Verdict::Bad)]);
    assert_eq!(scrub(&house, &|| true).bad.len(), 2, "bad files are looked at every time");
    std::fs::remove_file(house.data("pc").join(pack.path())).unwrap();
    assert_eq!(scrub(&house, &|| true).bad.len(), 1);
}

#[test]
fn a_scrub_that_was_stopped_goes_on_where_it_was() {
    let house = furnished();
    let left = Cell::new(4);
    let first = scrub(&house, &|| {
        left.set(left.get() - 1);
        left.get() >= 0
    });
    assert_eq!((first.read, first.is_complete), (4, false));
    let second = scrub(&house, &|| true);
    assert_eq!((second.read, second.passed_over, second.is_complete), (7, 4, true));
}

#[test]
fn a_rate_is_kept() {
    let house = furnished();
    let options = ScrubOptions { rate: Some(500_000), again_after: Duration::ZERO };
    let scrub = Scrub::new(house.room.path().join("scrubs"), options).unwrap();
    let storage = Local::new(house.data("pc"), 1);
    let begin = std::time::Instant::now();
    let tally = scrub.run(&name("pc"), &storage, &*house.ledger, &*house.clock, &mut |_, _| (), &|| true).unwrap();
    let least = Duration::from_secs_f64(tally.bytes as f64 / 500_000.0 * 0.9);
    assert!(begin.elapsed() >= least, "{:?}", begin.elapsed());
}
