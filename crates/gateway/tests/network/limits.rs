//! Quotas: what is stored counts, also what was there before, and what a keeper removes is free again.

use backend::FileKind;
use stead_gateway::Limits;

use crate::house::{House, noise, path};

fn quota(bytes: u64) -> Limits {
    Limits { stored_bytes: Some(bytes), ..Limits::default() }
}

#[test]
fn a_quota_counts_what_was_there_and_what_is_removed() {
    let house = House::new();
    let machine = house.limited_machine("pc", quota(100_000));
    let before = noise(1, 40_000);
    let planted = house.data("pc").join(backend::FileName::new(FileKind::Pack, backend::Id::of(&before)).path());
    std::fs::write(planted, &before).unwrap();
    assert_eq!(house.store(&machine, FileKind::Pack, &noise(2, 50_000)).status, 200);
    let full = house.store(&machine, FileKind::Pack, &noise(3, 20_000));
    assert_eq!(full.status, 507);
    assert!(full.words().contains("quota"), "{}", full.words());
    for (kind, content) in [(FileKind::Index, 20_000), (FileKind::Snapshot, 300), (FileKind::Lock, 200)] {
        assert_eq!(house.store(&machine, kind, &noise(9, content)).status, 200, "a backup can end: {kind}");
    }
    let keeper = house.keeper();
    assert_eq!(house.ask(&keeper, "DELETE", &path(FileKind::Pack, &before), b"").status, 200);
    assert_eq!(house.store(&machine, FileKind::Pack, &noise(3, 20_000)).status, 200, "there is room again");
    assert_eq!(house.store(&machine, FileKind::Pack, &noise(4, 20_000)).status, 507, "index and others count, too");
}

#[test]
fn uploads_at_the_same_time_do_not_pass_a_quota_together() {
    let house = House::new();
    let machine = house.limited_machine("pc", quota(5 << 20));
    let stored = std::thread::scope(|scope| {
        let (house, machine) = (&house, &machine);
        let threads: Vec<_> = (0..8)
            .map(|seed| scope.spawn(move || house.store(machine, FileKind::Pack, &noise(seed + 10, 2 << 20)).status))
            .collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|status| *status == 200).count()
    });
    assert!((1..=2).contains(&stored), "{stored} packs of 2 MiB in 5 MiB");
}

#[test]
fn what_failed_does_not_count() {
    let house = House::new();
    let machine = house.limited_machine("pc", quota(100_000));
    for _ in 0..5 {
        let content = noise(1, 90_000);
        assert_eq!(house.ask(&machine, "POST", &path(FileKind::Pack, b"another"), &content).status, 400);
    }
    assert_eq!(house.store(&machine, FileKind::Pack, &noise(1, 90_000)).status, 200);
}
