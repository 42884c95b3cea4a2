//! Killed at random, under load, over and over.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use testkit::Postgres;

use crate::firm::Firm;

/// What `STEAD_SEED` and `STEAD_ROUNDS` say, or chance and ten.
fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Whoever is killed, what was ordered is done once, and what is said to be done is there.
fn killed_at_random(database: Option<String>) {
    let seed = told("STEAD_SEED").unwrap_or_else(rand::random);
    let rounds = told("STEAD_ROUNDS").unwrap_or(10);
    eprintln!("the seed is {seed}, for {rounds} rounds");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut firm = Firm::open(database);
    for number in 0..3 {
        firm.gets_a_machine(firm.port);
        firm.machines[number].gets("first.bin", rng.random(), 8 << 20);
        firm.machines[number].agent.start();
    }
    firm.forgets(3);
    let mut orders = Vec::new();
    for round in 0..rounds {
        for machine in &firm.machines {
            machine.gets(&format!("{round}.bin"), rng.random(), 3 << 20);
        }
        orders.extend(firm.orders_all());
        // Not a wait for something: the moment at which the power goes.
        std::thread::sleep(std::time::Duration::from_millis(rng.random_range(0..2_500)));
        let victim = match rng.random_range(0..6) {
            number @ 0..3 => &mut firm.machines[number].agent,
            _ => &mut firm.up,
        };
        victim.kill();
        victim.start();
    }
    firm.until_done(&orders);
    firm.until_tended();
    firm.each_job_has_one_run();
    firm.all_is_good();
    firm.all_that_was_told_is_there();
    firm.the_audit_log_is_whole();
    firm.messages_came_once(rounds as usize);
}

#[test]
fn whoever_is_killed_at_random_nothing_is_lost_or_done_twice() {
    killed_at_random(None);
}

#[test]
fn whoever_is_killed_at_random_nothing_is_lost_or_done_twice_on_postgresql() {
    let Some(postgres) = Postgres::start() else { return };
    killed_at_random(Some(postgres.database("firm")));
}
