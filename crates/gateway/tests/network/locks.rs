//! Locks: own ones come and go, others' stay, and time ends them by the gateway's clock.

use backend::{FileKind, Id};

use crate::house::{House, path};

#[test]
fn a_machine_removes_its_own_locks_but_not_a_keepers() {
    let house = House::new();
    let (machine, keeper) = (house.machine("pc"), house.keeper());
    house.store(&machine, FileKind::Lock, b"own");
    house.store(&keeper, FileKind::Lock, b"a prune is at work");
    assert_eq!(house.ask(&machine, "DELETE", &path(FileKind::Lock, b"own"), b"").status, 200);
    assert_eq!(house.ask(&machine, "DELETE", &path(FileKind::Lock, b"own"), b"").status, 200, "gone is gone");
    let refused = house.ask(&machine, "DELETE", &path(FileKind::Lock, b"a prune is at work"), b"");
    assert_eq!(refused.status, 403);
    assert_eq!(house.ask(&keeper, "DELETE", &path(FileKind::Lock, b"a prune is at work"), b"").status, 200);
}

#[test]
fn taking_over_a_lock_by_sending_it_again_does_not_work() {
    let house = House::new();
    let (machine, keeper) = (house.machine("pc"), house.keeper());
    house.store(&keeper, FileKind::Lock, b"a keeper's");
    assert_eq!(house.store(&machine, FileKind::Lock, b"a keeper's").status, 200);
    assert_eq!(house.ask(&machine, "DELETE", &path(FileKind::Lock, b"a keeper's"), b"").status, 403);
}

#[test]
fn a_lock_that_is_not_renewed_ends() {
    let house = House::new();
    let machine = house.machine("pc");
    house.store(&machine, FileKind::Lock, b"first");
    house.clock.jump(3600);
    house.store(&machine, FileKind::Lock, b"second");
    assert_eq!(house.ask(&machine, "GET", "locks/", b"").words().matches('"').count(), 4, "both are young");
    house.clock.jump(3700);
    let left = house.ask(&machine, "GET", "locks/", b"").words();
    assert_eq!(left, format!("[\"{}\"]", Id::of(b"second")));
    assert!(!house.data("pc").join(path(FileKind::Lock, b"first")).exists());
}

#[test]
fn a_lock_that_the_ledger_does_not_know_ends_too() {
    let house = House::new();
    let machine = house.machine("pc");
    let planted = house.data("pc").join(path(FileKind::Lock, b"planted"));
    std::fs::write(&planted, b"planted").unwrap();
    assert_ne!(house.ask(&machine, "GET", "locks/", b"").words(), "[]");
    house.clock.jump(3 * 3600);
    assert_eq!(house.ask(&machine, "GET", "locks/", b"").words(), "[]");
    assert!(!planted.exists());
}
