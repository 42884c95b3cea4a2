//! Joining and leaving.

use api::wire::agent::Event;
use api::wire::duties::KeeperKey;

use crate::machine::{Machine, told};
use crate::peer::until;

#[test]
fn a_machine_joins_once_and_says_so_when_asked_again() {
    let machine = Machine::new();
    let output = machine.enrol(&["--name", "anna's laptop"]);
    assert!(output.status.success(), "{}", told(&output));
    let shown = &machine.server.enrolments()[0];
    assert_eq!((shown.name.as_str(), shown.identity.len()), ("anna's laptop", 64));
    let again = machine.enrol(&[]);
    assert!(!again.status.success() && told(&again).contains("has joined"), "{}", told(&again));
    assert_eq!(machine.server.enrolments().len(), 1, "nothing was sent the second time");
    let status = machine.run(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).expect("JSON");
    assert_eq!(
        (status["running"].as_bool(), status["machine"].as_str()),
        (Some(false), Some(&*machine.id.to_string()))
    );
}

#[test]
fn a_wrong_code_changes_nothing_and_the_right_one_works_afterwards() {
    let machine = Machine::new();
    let address = format!("http://127.0.0.1:{}", machine.line.port());
    let refused = machine.run(&["enrol", &address, "WRONG"]);
    let words = told(&refused);
    assert!(!refused.status.success() && words.contains("wrong, used up") && words.contains("new code"), "{words}");
    assert!(!told(&machine.run(&["status"])).contains("server "), "it has not joined");
    assert!(machine.enrol(&[]).status.success());
}

#[test]
fn a_machine_whose_answer_was_lost_asks_again_with_the_same_code() {
    let machine = Machine::new();
    machine.server.loses_the_answer();
    let lost = machine.enrol(&[]);
    assert!(!lost.status.success(), "{}", told(&lost));
    let again = machine.enrol(&[]);
    assert!(again.status.success(), "{}", told(&again));
    let shown = machine.server.enrolments();
    assert_eq!(shown[0].identity, shown[1].identity, "it is the same machine");
}

#[test]
fn a_server_that_is_away_is_told_and_the_code_is_not_used_up() {
    let machine = Machine::new();
    machine.line.cut();
    let output = machine.enrol(&[]);
    let words = told(&output);
    assert!(!output.status.success() && words.contains("cannot reach"), "{words}");
    machine.line.mend();
    assert!(machine.enrol(&[]).status.success());
}

#[test]
fn what_would_go_over_a_network_in_the_clear_is_refused() {
    let machine = Machine::new();
    let output = machine.run(&["enrol", "http://backup.example", "ABCD"]);
    assert!(told(&output).contains("use https"), "{}", told(&output));
}

#[test]
fn nothing_is_left_when_the_agent_is_removed_and_its_backups_stay() {
    let mut machine = Machine::at_work();
    machine.works();
    machine.backs_up(1);
    let busy = machine.run(&["remove", "--yes"]);
    assert!(!busy.status.success() && told(&busy).contains("running"), "{}", told(&busy));
    let unasked = machine.run(&["remove"]);
    assert!(!unasked.status.success() && told(&unasked).contains("--yes"), "{}", told(&unasked));
    std::fs::copy(machine.state().join("repository.password"), machine.room.path().join("kept")).expect("a copy");
    machine.stop();
    let removed = machine.run(&["remove", "--yes"]);
    let words = told(&removed);
    assert!(removed.status.success() && words.contains("backups stay") && words.contains("has left"), "{words}");
    assert_eq!(machine.server.farewells(), 1, "the server knows");
    assert!(!machine.state().exists(), "nothing is left");
    std::fs::create_dir_all(machine.state()).expect("a folder");
    std::fs::copy(machine.room.path().join("kept"), machine.state().join("repository.password")).expect("a copy");
    let listed = machine.repository(&["snapshots", "--json"]);
    assert!(listed.status.success() && told(&listed).contains("\"id\""), "{}", told(&listed));
    std::fs::remove_dir_all(machine.state()).expect("ours");
    let again = machine.run(&["remove", "--yes"]);
    assert!(again.status.success() && told(&again).contains("no agent"), "{}", told(&again));
}

#[test]
fn a_server_that_cannot_be_told_does_not_keep_an_agent_on_a_machine() {
    let mut machine = Machine::at_work();
    machine.stop();
    machine.line.cut();
    let removed = machine.run(&["remove", "--yes"]);
    assert!(removed.status.success() && told(&removed).contains("could not be told"), "{}", told(&removed));
    assert!(!machine.state().exists(), "nothing is left");
}

#[test]
fn the_keeper_gets_the_key_sealed_and_it_opens_the_repository() {
    let machine = Machine::at_work();
    machine.works();
    let keeper = agent::sealed::generate().expect("a key");
    let mut duties = machine.duties(None);
    duties.keeper = Some(KeeperKey { public: keeper.public.clone() });
    machine.server.gives(duties);
    let sealed = machine.server.event("a sealed key", |event| match event {
        Event::Sealed { keeper: to, key } if *to == keeper.public => Some(key.clone()),
        _ => None,
    });
    let about = agent::sealed::about(&machine.id.to_string());
    let opened = agent::sealed::open(&keeper.private, &about, &sealed).expect("it opens");
    machine.backs_up(1);
    let kept = std::fs::read_to_string(machine.state().join("repository.password")).expect("a password");
    assert_eq!(String::from_utf8_lossy(&opened), kept.trim());
    assert!(machine.repository(&["check"]).status.success());
    let sealings = || machine.server.events().iter().filter(|event| matches!(event, Event::Sealed { .. })).count();
    machine.server.hangs_up();
    until("another connection", || (machine.server.introductions().len() > 1).then_some(()));
    machine.backs_up(2);
    assert_eq!(sealings(), 1, "once is enough");
}
