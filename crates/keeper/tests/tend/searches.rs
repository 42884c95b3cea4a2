//! The catalogue.

use stead_keeper::storage::{Believes, Stop};

use crate::house::House;

fn never() -> bool {
    false
}

#[test]
fn a_deleted_file_is_found_among_a_hundred_thousand_names() {
    let Some(house) = House::open() else { return };
    for folder in 0..200 {
        let folder = house.files().join(format!("folder-{folder}"));
        std::fs::create_dir(&folder).unwrap();
        for file in 0..500 {
            std::fs::File::create(folder.join(format!("name-{file}"))).unwrap();
        }
    }
    let lost = house.files().join("folder-77/Steuererklärung 2025.ods");
    std::fs::write(&lost, b"taxes").unwrap();
    let with_it = house.backup(&[]);
    std::fs::remove_file(&lost).unwrap();
    let without = house.backup(&[]);

    let (site, shop, stop) = (house.site(Stop::default()), house.shop(), Stop::default());
    let catalogue = shop.catalogues.of(house.machine, &shop.vault).unwrap();
    let updated = catalogue.update(&site.open(Believes::Cache).unwrap(), &stop, &never).unwrap();
    assert_eq!((updated.known, updated.missing), (2, 0));

    let found = catalogue.search("STEUERERKLÄRUNG", &stop, &never).unwrap();
    assert_eq!(found.places.len(), 1);
    assert_eq!(found.places[0].snapshot, with_it.to_string());
    assert!(found.places[0].path.ends_with("folder-77/Steuererklärung 2025.ods"));
    assert_eq!(found.places[0].size, 5);

    let found = catalogue.search("name-499", &stop, &never).unwrap();
    assert!(found.places.len() == 200 && found.places.iter().all(|place| place.snapshot == without.to_string()));

    let stored = std::fs::read(house.room.path().join(format!("keeper/catalogue/{}.redb", house.machine))).unwrap();
    for name in [&b"Steuer"[..], b"folder-77", b"name-499"] {
        assert!(!stored.windows(name.len()).any(|piece| piece == name), "names are sealed where they lie");
    }
}

#[test]
fn an_update_that_has_no_time_says_what_is_missing_and_the_next_one_goes_on() {
    let Some(house) = House::open() else { return };
    testkit::sample::office(&house.files(), 11, 30);
    let first = house.backup(&[]);
    testkit::sample::a_day_of_work(&house.files(), 12, 2);
    house.backup(&[]);
    let (site, shop, stop) = (house.site(Stop::default()), house.shop(), Stop::default());
    let repo = site.open(Believes::Cache).unwrap();
    let catalogue = shop.catalogues.of(house.machine, &shop.vault).unwrap();
    let asked = std::cell::Cell::new(0);
    let soon = || {
        asked.set(asked.get() + 1);
        asked.get() > 2
    };
    let updated = catalogue.update(&repo, &stop, &soon).unwrap();
    assert!(updated.missing > 0, "{updated:?}");
    assert_eq!(catalogue.update(&repo, &stop, &never).unwrap().missing, 0);
    house.restic.succeeds(&house.repository(), ["forget", &first.to_string()]);
    assert_eq!(catalogue.update(&site.open(Believes::Cache).unwrap(), &stop, &never).unwrap().known, 1);
    assert!(
        catalogue.search("a", &stop, &never).unwrap().places.iter().all(|place| place.snapshot != first.to_string())
    );
}

#[test]
fn after_a_task_names_are_known_and_the_clients_recovery_password_opens_the_repository() {
    let Some(house) = House::open() else { return };
    testkit::sample::office(&house.files(), 13, 5);
    std::fs::write(house.files().join("the one.txt"), "x").unwrap();
    house.backup(&[]);
    let (site, shop) = (house.site(Stop::default()), house.shop());
    for _ in 0..2 {
        stead_keeper::work::follow_up(&site, &never).unwrap();
    }
    let found =
        shop.catalogues.of(house.machine, &shop.vault).unwrap().search("the one", &Stop::default(), &never).unwrap();
    assert_eq!(found.places.len(), 1);
    assert_eq!(stead_keeper::recovery::opens(&shop.memory, house.client).unwrap(), [house.machine]);
    let keys = house.restic.succeeds(&house.repository(), ["key", "list", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&keys).unwrap().as_array().unwrap().len(), 2, "added once");
}
