//! The database is away: it stands still, or it is gone, in the middle of runs.

use std::time::Duration;

use testkit::Postgres;

use crate::firm::Firm;

/// What is done to the database, and what ends it.
struct Fault {
    begin: fn(&mut Postgres),
    end: fn(&mut Postgres),
}

const FROZEN: Fault = Fault { begin: |postgres| postgres.freeze(), end: |postgres| postgres.thaw() };
const GONE: Fault = Fault { begin: Postgres::stop, end: Postgres::start_again };

fn without_a_database(fault: &Fault, how_long: Duration) {
    let Some(mut postgres) = Postgres::start() else { return };
    let mut firm = Firm::open(Some(postgres.database("firm")));
    for number in 0..3 {
        firm.gets_a_machine(firm.port);
        firm.machines[number].gets("first.bin", number as u64, 24 << 20);
        firm.machines[number].agent.start();
    }
    firm.forgets(2);
    let orders = firm.orders_all();
    crate::part::until("a run", || orders.iter().any(|(machine, job)| firm.has_begun(*machine, *job)).then_some(()));
    (fault.begin)(&mut postgres);
    // Not a wait for something: how long it is away is the story.
    std::thread::sleep(how_long);
    assert!(firm.up.runs(), "{}", firm.up.log());
    assert!(firm.machines.iter_mut().all(|machine| machine.agent.runs()));
    (fault.end)(&mut postgres);
    firm.until_done(&orders);
    firm.until_tended();
    firm.each_job_has_one_run();
    firm.all_is_good();
    firm.all_that_was_told_is_there();
    firm.the_audit_log_is_whole();
    // Whether a message was answered could not be written down: eight of them are sent at once.
    firm.messages_came_once(1);
}

#[test]
fn a_database_that_stands_still_in_mid_run_is_waited_for() {
    without_a_database(&FROZEN, Duration::from_secs(15));
}

#[test]
fn a_database_that_is_gone_in_mid_run_is_waited_for() {
    without_a_database(&GONE, Duration::from_secs(15));
}

#[test]
#[ignore = "two minutes: `cargo xtask test --all`"]
fn a_database_that_is_away_for_a_minute_costs_a_minute() {
    without_a_database(&FROZEN, Duration::from_secs(60));
    without_a_database(&GONE, Duration::from_secs(60));
}
