//! Killed at random, under load, over and over.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use testkit::Postgres;

use crate::firm::Firm;
use crate::part::Part;

/// How often somebody is killed, unless something else is said.
const ROUNDS: u64 = 10;
const ROUNDS_APART: u64 = 6;

/// What `STEAD_SEED` and `STEAD_ROUNDS` say.
fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Half of those who are killed are agents, the others any of the other parts.
fn victim<'f>(firm: &'f mut Firm, rng: &mut StdRng) -> &'f mut Part {
    let mut among: Vec<&mut Part> = match rng.random() {
        true => firm.machines.iter_mut().map(|machine| &mut machine.agent).collect(),
        false => std::iter::once(&mut firm.up).chain(&mut firm.beside).collect(),
    };
    among.swap_remove(rng.random_range(0..among.len()))
}

/// Whoever is killed, what was ordered is done once, and what is said to be done is there.
fn killed_at_random(open: impl FnOnce() -> Firm, rounds: u64) {
    let seed = told("STEAD_SEED").unwrap_or_else(rand::random);
    let rounds = told("STEAD_ROUNDS").unwrap_or(rounds);
    eprintln!("the seed is {seed}, for {rounds} rounds");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut firm = open();
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
        let victim = victim(&mut firm, &mut rng);
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
    killed_at_random(|| Firm::open(None), ROUNDS);
}

#[test]
fn whoever_is_killed_at_random_nothing_is_lost_or_done_twice_on_postgresql() {
    let Some(postgres) = Postgres::start() else { return };
    killed_at_random(|| Firm::open(Some(postgres.database("firm"))), ROUNDS);
}

/// The first kills meet each of the parts that stand alone, so that a short story leaves none out.
#[test]
fn whoever_of_parts_apart_is_killed_nothing_is_lost_or_done_twice() {
    killed_at_random(
        || {
            let mut firm = Firm::apart(None);
            for number in 0..firm.beside.len() {
                firm.beside[number].kill();
                firm.beside[number].start();
            }
            firm
        },
        ROUNDS_APART,
    );
}
