//! Drills.

use api::wire::keeper::{Found, Work};
use fleet::Drill;
use testkit::sample;

use crate::house::{House, flip, packs, why};

fn evidence(found: Option<Found>) -> String {
    match found {
        Some(Found::Drilled { evidence, .. }) => evidence,
        other => panic!("no evidence: {other:?}"),
    }
}

#[test]
fn a_sample_comes_back_and_the_evidence_says_what_was_compared() {
    let Some(house) = House::open() else { return };
    sample::office(&house.files(), 7, 60);
    std::fs::write(house.files().join("nothing"), b"").unwrap();
    sample::awkward(&house.files().join("odd"));
    let id = house.backup(&[]);
    let done = house.works(&Work::Drill(Drill::FileSample));
    let evidence = evidence(done.found);
    assert!(evidence.contains(&id.short()) && evidence.contains("same in every byte"), "{evidence}");
    let room = house.room.path().join("keeper/drills");
    assert_eq!(std::fs::read_dir(room).unwrap().count(), 0, "nothing stays of what was restored");
}

#[test]
fn a_changed_pack_is_found_and_the_file_is_named() {
    let Some(house) = House::open() else { return };
    std::fs::write(house.files().join("ledger.db"), sample::random_bytes(8, 2 << 20)).unwrap();
    house.backup(&[]);
    house.works(&Work::Drill(Drill::FileSample));
    let largest = packs(&house.repository()).into_iter().max_by_key(|pack| pack.metadata().unwrap().len()).unwrap();
    flip(&largest);
    let done = house.work(&Work::Drill(Drill::FileSample));
    assert!(why(&done).contains("ledger.db"), "{}", why(&done));
    assert!(evidence(done.found).contains("not as they were"));
}

#[test]
fn without_a_snapshot_nothing_is_proven_and_a_boot_test_is_refused_in_words() {
    let Some(house) = House::open() else { return };
    assert!(why(&house.work(&Work::Drill(Drill::FileSample))).contains("no complete snapshot of files"));
    assert!(why(&house.work(&Work::Drill(Drill::ImageCheck))).contains("no complete snapshot of disks"));
}
