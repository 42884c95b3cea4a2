//! Checks.

use api::wire::keeper::Work;
use testkit::sample;

use crate::house::{House, flip, packs, why};

#[test]
fn a_good_repository_is_good_in_every_slice_and_a_backup_may_run_meanwhile() {
    let Some(house) = House::open() else { return };
    sample::office(&house.files(), 1, 20);
    house.backup(&[]);
    for slice in 1..=3 {
        house.works(&Work::Check { slice, of: 3 });
    }
}

#[test]
fn a_flipped_bit_is_found_by_the_slice_that_holds_the_pack_and_by_no_other() {
    let Some(house) = House::open() else { return };
    std::fs::write(house.files().join("a.bin"), sample::random_bytes(1, 3 << 20)).unwrap();
    house.backup(&[]);
    let largest = packs(&house.repository()).into_iter().max_by_key(|pack| pack.metadata().unwrap().len()).unwrap();
    flip(&largest);
    let first = u8::from_str_radix(&largest.file_name().unwrap().to_str().unwrap()[..2], 16).unwrap();
    let holding = u32::from(first) % 4 + 1;
    for slice in 1..=4 {
        let done = house.work(&Work::Check { slice, of: 4 });
        match slice == holding {
            true => assert!(why(&done).contains("a.bin"), "the file is named: {}", why(&done)),
            false => assert_eq!(done.outcome, fleet::Outcome::Good, "slice {slice}"),
        }
    }
}

#[test]
fn a_pack_that_is_gone_is_found_without_reading_any() {
    let Some(house) = House::open() else { return };
    std::fs::write(house.files().join("a.bin"), sample::random_bytes(2, 1 << 20)).unwrap();
    house.backup(&[]);
    let largest = packs(&house.repository()).into_iter().max_by_key(|pack| pack.metadata().unwrap().len()).unwrap();
    std::fs::remove_file(largest).unwrap();
    assert!(why(&house.work(&Work::Check { slice: 1, of: 256 })).contains("error"));
}
