//! Orders: carried out once, in the machine's own limits.

use std::fs;

use api::wire::agent::{Event, Order, RestoreTo, Taken, ToAgent};
use fleet::{Drill, Outcome, Selection};
use testkit::Picture;

use crate::machine::Machine;
use crate::peer::until;

fn restore(snapshot: &str, paths: &[&str], to: RestoreTo) -> Order {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    Order::Restore { snapshot: snapshot.to_owned(), paths, to }
}

#[test]
fn an_order_that_is_repeated_is_carried_out_once() {
    let machine = Machine::at_work();
    machine.works();
    let order = machine.orders_backup(7);
    machine.orders_backup(7);
    let (run, outcome, _) = machine.ended(order);
    assert_eq!(outcome, Outcome::Good);
    let again = machine.orders(7, 2, Order::Backup { what: None });
    machine.server.event("the same end for the new attempt", |event| match event {
        Event::Ended { run: ended, job: Some(job), .. } if *job == again => {
            assert_eq!(*ended, run);
            Some(())
        }
        _ => None,
    });
    machine.backs_up(8);
    let snapshots = machine.repository(&["snapshots", "--json"]);
    let snapshots: serde_json::Value = serde_json::from_slice(&snapshots.stdout).expect("JSON");
    assert_eq!(snapshots.as_array().expect("a list").len(), 2, "one of each order");
}

#[test]
fn a_backup_that_is_quick_tells_what_it_read_before_its_end() {
    let machine = Machine::at_work();
    machine.works();
    let (run, outcome, _) = machine.ended(machine.orders_backup(1));
    assert_eq!(outcome, Outcome::Good);
    let last = machine.server.reports(run).pop().expect("a report");
    assert!(last.amount.done > 0 && last.amount.new > 0 && last.phase == fleet::Phase::Finishing, "{last:?}");
}

#[test]
fn a_disk_that_is_none_fails_with_those_that_there_are() {
    let machine = Machine::at_work();
    let what = vec![Selection::Disks { devices: vec!["/dev/nothing-like-that".into()] }];
    let (_, outcome, _) = machine.ended(machine.orders(1, 1, Order::Backup { what: Some(what) }));
    let Outcome::Failed { why } = outcome else { panic!("{outcome:?}") };
    assert!(why.contains("\"/dev/nothing-like-that\" is no disk of this machine; it has "), "{why}");
}

#[test]
fn what_could_not_be_read_is_missed_by_name_and_what_is_left_out_is_not() {
    let machine = Machine::at_work();
    machine.works();
    fs::write(machine.source().join("scratch.tmp"), "left out").expect("a file");
    let there = machine.source().to_string_lossy().into_owned();
    let what = vec![Selection::Files { paths: vec![there, "/nowhere/at/all".into()], excludes: vec!["*.tmp".into()] }];
    let (_, outcome, snapshots) = machine.ended(machine.orders(1, 1, Order::Backup { what: Some(what) }));
    let Outcome::Incomplete { missed, count } = outcome else { panic!("{outcome:?}") };
    assert_eq!((count, missed[0].what.as_str()), (1, "/nowhere/at/all"));
    let listed = machine.repository(&["ls", &snapshots[0]]);
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("scratch.tmp"));
}

#[test]
fn the_agents_own_directory_is_never_backed_up() {
    let machine = Machine::at_work();
    machine.works();
    let all = machine.room.path().to_string_lossy().into_owned();
    let what = vec![Selection::Files { paths: vec![all], excludes: vec!["repositories".into()] }];
    let (_, _, snapshots) = machine.ended(machine.orders(1, 1, Order::Backup { what: Some(what) }));
    let listed = machine.repository(&["ls", &snapshots[0]]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("/work") && !listed.contains("identity.key"), "{listed}");
}

#[test]
fn a_restore_comes_into_a_new_folder_and_a_missing_file_back_to_its_place() {
    let machine = Machine::at_work();
    machine.works();
    fs::write(machine.source().join("letter.txt"), "dear Anna").expect("a file");
    fs::write(machine.source().join("other.txt"), "as it was").expect("a file");
    let snapshot = machine.backs_up(1);
    let (letter, other) = (machine.source().join("letter.txt"), machine.source().join("other.txt"));
    fs::remove_file(&letter).expect("ours");
    fs::write(&other, "newer").expect("a file");
    let order =
        restore(&snapshot, &[letter.to_str().expect("text"), other.to_str().expect("text")], RestoreTo::MissingOnly);
    assert_eq!(machine.ended(machine.orders(2, 1, order)).1, Outcome::Good);
    assert_eq!(fs::read_to_string(&letter).expect("back"), "dear Anna");
    assert_eq!(fs::read_to_string(&other).expect("there"), "newer", "what exists stays");
    let folder = machine.room.path().join("restored here");
    fs::write(machine.state().join("agent.toml"), format!("[restore]\nfolder = {folder:?}\n")).expect("a file");
    assert_eq!(machine.ended(machine.orders(3, 1, restore(&snapshot, &[], RestoreTo::NewFolder))).1, Outcome::Good);
    let made = fs::read_dir(&folder).expect("made").next().expect("one").expect("readable").path();
    let inner = made.join(machine.source().strip_prefix("/").expect("absolute"));
    fs::write(&other, "as it was").expect("a file");
    assert_eq!(Picture::of(&inner).len(), Picture::of(&machine.source()).len());
}

#[test]
fn nothing_is_overwritten_from_afar_unless_the_machine_allows_it() {
    let machine = Machine::at_work();
    machine.works();
    let file = machine.source().join("letter.txt");
    fs::write(&file, "old").expect("a file");
    let snapshot = machine.backs_up(1);
    fs::write(&file, "new").expect("a file");
    let order = || restore(&snapshot, &[file.to_str().expect("text")], RestoreTo::Overwrite);
    let refused = machine.orders(2, 1, order());
    let why = machine.server.event("a refusal", |event| match event {
        Event::Declined { job, why } if *job == refused => Some(why.clone()),
        _ => None,
    });
    assert!(why.contains("agent.toml"), "{why}");
    assert_eq!(fs::read_to_string(&file).expect("there"), "new");
    fs::write(machine.state().join("agent.toml"), "[restore]\noverwrite = true\n").expect("a file");
    assert_eq!(machine.ended(machine.orders(3, 1, order())).1, Outcome::Good);
    assert_eq!(fs::read_to_string(&file).expect("there"), "old");
}

#[test]
fn a_drill_proves_a_sample_and_leaves_nothing_behind() {
    let machine = Machine::at_work();
    machine.works();
    machine.backs_up(1);
    let order = machine.orders(2, 1, Order::Drill(Drill::FileSample));
    assert_eq!(machine.ended(order).1, Outcome::Good);
    let evidence = machine.server.event("a drill", |event| match event {
        Event::Drilled { drill: Drill::FileSample, evidence, outcome: Outcome::Good, .. } => Some(evidence.clone()),
        _ => None,
    });
    assert!(evidence.contains("restored and read back") && evidence.contains("0 changed"), "{evidence}");
    let left = fs::read_dir(machine.state().join("drills")).map(|left| left.count()).unwrap_or(0);
    assert_eq!(left, 0);
    let refused = machine.orders(3, 1, Order::Drill(Drill::BootTest));
    machine
        .server
        .event("a refusal", |event| matches!(event, Event::Declined { job, .. } if *job == refused).then_some(()));
}

#[test]
fn hooks_run_around_a_backup_and_one_that_fails_prevents_it() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::at_work();
    machine.works();
    let hooks = machine.room.path().join("hooks");
    fs::create_dir(&hooks).expect("a folder");
    let hook = |name: &str, text: &str| {
        let file = hooks.join(name);
        fs::write(&file, text).expect("a file");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("ours");
    };
    let mark = machine.room.path().join("after");
    hook("before-backup", &format!("#!/bin/sh\necho dump > {}/dump.sql\n", machine.source().display()));
    hook("after-backup", &format!("#!/bin/sh\ntouch {}\n", mark.display()));
    let snapshot = machine.backs_up(1);
    let listed = machine.repository(&["ls", &snapshot]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("dump.sql") && mark.exists());
    hook("before-backup", "#!/bin/sh\nexit 9\n");
    let (_, outcome, _) = machine.ended(machine.orders_backup(2));
    assert!(matches!(&outcome, Outcome::Failed { why } if why.contains("before-backup")), "{outcome:?}");
    fs::set_permissions(hooks.join("before-backup"), fs::Permissions::from_mode(0o777)).expect("ours");
    let (_, outcome, _) = machine.ended(machine.orders_backup(3));
    assert!(matches!(&outcome, Outcome::Failed { why } if why.contains("others may write")), "{outcome:?}");
}

#[test]
fn a_run_that_is_called_back_ends_and_says_so() {
    let machine = Machine::at_work();
    machine.works_hard(64);
    machine.road.cut();
    let order = machine.orders_backup(1);
    machine.began(order);
    machine.server.says(ToAgent::Cancel { job: order.job });
    let (_, outcome, _) = machine.ended(order);
    assert!(matches!(&outcome, Outcome::Failed { why } if why.contains("called back")), "{outcome:?}");
}

#[test]
fn a_paused_machine_postpones_and_goes_on_when_the_pause_ends() {
    let machine = Machine::at_work();
    machine.works();
    let mut duties = machine.duties(None);
    let now = crate::machine::now();
    duties.pause = Some(fleet::Pause {
        by: fleet::Actor { key: "bea".into(), name: "Bea".into() },
        reason: "moving office".into(),
        from: now,
        until: now + jiff::SignedDuration::from_hours(2),
    });
    machine.server.gives(duties);
    until("the pause in the status", || {
        let status = machine.run(&["status"]);
        String::from_utf8_lossy(&status.stdout).contains("moving office").then_some(())
    });
    let order: Taken = machine.orders_backup(1);
    machine.server.event("a postponement", |event| match event {
        Event::Postponed { job, why, .. } if *job == order => {
            assert!(why.contains("Bea"));
            Some(())
        }
        _ => None,
    });
    machine.server.gives(machine.duties(None));
    until("the end of the pause in the status", || {
        let status = machine.run(&["status"]);
        (!String::from_utf8_lossy(&status.stdout).contains("moving office")).then_some(())
    });
    assert_eq!(machine.ended(machine.orders(1, 2, Order::Backup { what: None })).1, Outcome::Good);
}
