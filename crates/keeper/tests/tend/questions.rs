//! Questions and downloads.

use api::wire::keeper::{Answer, EntryKind, Question, ToKeeper};
use testkit::sample;

use crate::front::Front;
use crate::house::House;
use crate::running::Running;

#[test]
fn somebody_looks_around_reads_and_fetches() {
    let Some(house) = House::open() else { return };
    let content = sample::random_bytes(30, 3 << 20);
    std::fs::create_dir(house.files().join("Büro")).unwrap();
    std::fs::write(house.files().join("Büro/big.bin"), &content).unwrap();
    std::fs::write(house.files().join("Büro/note.txt"), "Grüße").unwrap();
    let id = house.backup(&[]);
    let mut front = Front::open();
    let keeper = Running::start(&front, &house);
    let machine = keeper.kept(&house);
    let mut line = keeper.call(&mut front, &house);
    let folder = house.files().join("Büro");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let snapshot = id.to_string();

    let Ok(Answer::Snapshots(snapshots)) = line.ask(1, &machine, Question::Snapshots) else { panic!() };
    assert_eq!((snapshots.len(), &snapshots[0].id), (1, &snapshot));

    let list = Question::List { snapshot: snapshot.clone(), path: path(""), after: None };
    let Ok(Answer::Entries { entries, more }) = line.ask(2, &machine, list) else { panic!() };
    let names: Vec<(&str, EntryKind, u64)> =
        entries.iter().map(|entry| (entry.name.as_str(), entry.kind, entry.size)).collect();
    assert_eq!(names, [("big.bin", EntryKind::File, 3 << 20), ("note.txt", EntryKind::File, 7)]);
    assert!(!more);

    let preview = Question::Preview { snapshot: snapshot.clone(), path: path("note.txt") };
    assert_eq!(line.ask(3, &machine, preview), Ok(Answer::Preview { text: Some("Grüße".into()), size: 7 }));
    let preview = Question::Preview { snapshot: snapshot.clone(), path: path("big.bin") };
    assert_eq!(line.ask(4, &machine, preview), Ok(Answer::Preview { text: None, size: 3 << 20 }));

    assert_eq!(line.fetched(5, &machine, &snapshot, &path("big.bin")), content);
    let archive = line.fetched(6, &machine, &snapshot, folder.to_str().unwrap());
    let mut archive = tar::Archive::new(archive.as_slice());
    let names = archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned());
    assert_eq!(names.count(), 2);

    let search = line.ask(7, &machine, Question::Search { text: "NOTE".into() });
    let Ok(Answer::Places { places, incomplete: None, .. }) = search else { panic!("{search:?}") };
    assert_eq!(places[0].path, path("note.txt"));

    for (ask, question) in [
        (8, Question::List { snapshot: snapshot.clone(), path: "/nowhere".into(), after: None }),
        (9, Question::Preview { snapshot: "zz".into(), path: "/".into() }),
        (10, Question::Search { text: " ".into() }),
        (11, Question::Fetch { snapshot, path: "/nowhere".into() }),
    ] {
        assert!(line.ask(ask, &machine, question).is_err());
    }
}

#[test]
fn a_recovery_sheet_opens_the_repository_with_stock_restic() {
    let Some(house) = House::open() else { return };
    house.backup(&[]);
    let mut front = Front::open();
    let keeper = Running::start(&front, &house);
    let machine = keeper.kept(&house);
    let mut line = keeper.call(&mut front, &house);
    let client = house.client.to_string();
    let sheet = line.ask(1, &machine, Question::RecoverySheet { client: client.clone() });
    let Ok(Answer::RecoverySheet { asks, opens, missing }) = &sheet else { panic!("{sheet:?}") };
    assert_eq!((opens, missing), (&vec![house.machine], &vec![]));
    // What is printed on the keeper's machine while it runs.
    let password = keeper.sheets().password(house.client).unwrap();
    let mut restic = house.restic.repository_command(&house.repository());
    assert!(restic.env("RESTIC_PASSWORD", &*password).arg("snapshots").output().unwrap().status.success());
    let words: Vec<_> = password.split(' ').collect();
    let groups = asks.map(|group| words[usize::from(group) - 1].to_owned());
    let prove = |groups| Question::ProveSheet { client: client.clone(), groups };
    assert_eq!(line.ask(2, &machine, prove(groups.clone())), Ok(Answer::SheetProved { right: true }));
    let [first, _] = groups;
    assert_eq!(line.ask(3, &machine, prove([first, "0000".into()])), Ok(Answer::SheetProved { right: false }));
    assert_eq!(line.ask(4, &machine, Question::RecoverySheet { client: client.clone() }), sheet);
    assert!(!format!("{sheet:?}").contains(words[0]), "nobody on the line learns it");
}

/// The most memory that this process had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn a_gigabyte_is_fetched_in_little_memory_and_who_forgets_it_stops_it() {
    let Some(house) = House::open() else { return };
    let file = std::fs::File::create(house.files().join("disk.raw")).unwrap();
    file.set_len(1 << 30).unwrap();
    let id = house.backup(&[]);
    let mut front = Front::open();
    let keeper = Running::start(&front, &house);
    let machine = keeper.kept(&house);
    let mut line = keeper.call(&mut front, &house);
    let path = house.files().join("disk.raw").to_str().unwrap().to_owned();
    let before = peak();
    let mut bytes = 0_u64;
    line.download(1, &machine, &id.to_string(), &path, &mut |piece| {
        assert!(piece.iter().all(|byte| *byte == 0));
        bytes += piece.len() as u64;
    });
    assert_eq!(bytes, 1 << 30);
    let grown = peak() - before;
    assert!(grown < 200 << 20, "memory grew by {} MiB", grown >> 20);

    let question = Question::Fetch { snapshot: id.to_string(), path };
    assert!(line.ask(2, &machine, question).is_ok());
    line.say(&ToKeeper::Forget { ask: 2 });
    // What was on its way comes; then the keeper is free for others.
    let begun = std::time::Instant::now();
    assert!(matches!(line.ask(3, &machine, Question::Snapshots), Ok(Answer::Snapshots(_))));
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
}
