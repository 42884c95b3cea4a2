//! On the road: battery, metered links, portals and sleep hold uploads, say so, and cost nothing that was done.

use fleet::{Cause, Metered, Outcome, Power, Roaming, RunCondition, RunId};

use crate::desktop::{AT_HOME, Desktop, Says};
use crate::machine::{Machine, told};
use crate::peer::until;

fn careful() -> Roaming {
    Roaming { power: Power::Floor(30), metered: Metered::Avoided, ..Roaming::default() }
}

fn on_the_road(desktop: &Desktop) -> Machine {
    let mut machine = Machine::new();
    machine.works_hard(48);
    let mut duties = machine.duties(None);
    duties.policy.as_mut().expect("a policy").roaming = careful();
    machine.server.gives(duties);
    let joined = machine.enrol(&[]);
    assert!(joined.status.success(), "{}", told(&joined));
    machine.start_on(desktop.address());
    machine.server.until_connected();
    machine
}

fn until_condition(machine: &Machine, run: RunId, wanted: impl Fn(&RunCondition) -> bool) {
    until("another condition", || {
        let last = machine.server.reports(run).pop()?;
        wanted(&last.condition).then_some(())
    });
}

fn waits_for(wanted: Cause) -> impl Fn(&RunCondition) -> bool {
    move |condition| matches!(condition, RunCondition::Waiting { cause, .. } if *cause == wanted)
}

#[test]
fn a_run_waits_for_mains_for_another_link_and_for_a_sign_in_and_ends_complete() {
    let Some(desktop) = Desktop::start() else { return };
    desktop.says(Says { on_battery: true, percent: 29.0, ..AT_HOME });
    let machine = on_the_road(&desktop);
    until("what UPower says", || {
        let status = told(&machine.run(&["status"]));
        (status.contains("on battery with 29 % left") && status.contains("told by UPower")).then_some(())
    });
    let order = machine.orders_backup(1);
    let run = machine.began(order);
    until_condition(&machine, run, waits_for(Cause::Mains));
    until("the same in the status", || {
        told(&machine.run(&["status"])).contains("waiting for mains power since").then_some(())
    });
    desktop.says(Says { metered: 1, ..AT_HOME });
    until_condition(&machine, run, waits_for(Cause::UnmeteredLink));
    desktop.says(Says { connectivity: 2, ..AT_HOME });
    until_condition(&machine, run, waits_for(Cause::CaptivePortal));
    assert!(machine.road.sent() < 1 << 20, "nothing was sent meanwhile");
    desktop.says(AT_HOME);
    assert_eq!(machine.ended(order).1, Outcome::Good);
}

#[test]
fn before_sleep_uploads_are_held_the_system_is_let_go_and_afterwards_it_goes_on() {
    let Some(desktop) = Desktop::start() else { return };
    let machine = on_the_road(&desktop);
    until("an inhibitor", || (desktop.inhibitors() > 0).then_some(()));
    machine.road.cut();
    let order = machine.orders_backup(1);
    let run = machine.began(order);
    desktop.sleeps(true);
    until("asleep in the status", || told(&machine.run(&["status"])).contains("asleep since").then_some(()));
    desktop.until_released();
    machine.road.mend();
    desktop.sleeps(false);
    until("another inhibitor", || (desktop.inhibitors() > 0).then_some(()));
    let (ended, outcome, _) = machine.ended(order);
    assert_eq!((ended, outcome), (run, Outcome::Good));
}
