//! Two servers on one database, and a front before them.

use testkit::{Postgres, Wire};

use crate::firm::Firm;
use crate::part::{Part, until};

/// A firm on PostgreSQL with two more servers, to which its machines connect by a front.
struct Pair {
    firm: Firm,
    servers: [Part; 2],
    ports: [u16; 2],
    _front: Wire,
    // Goes last: the others remember in it.
    _postgres: Postgres,
}

impl Pair {
    fn open() -> Option<Pair> {
        let postgres = Postgres::start()?;
        let mut firm = Firm::open(Some(postgres.database("firm")));
        let [(mut one, first), (mut other, second)] = ["one", "other"].map(|name| firm.another_server(name));
        one.start();
        other.start();
        let front = Wire::to_any(vec![first, second]);
        for number in 0..4 {
            firm.gets_a_machine(front.port());
            firm.machines[number].gets("first.bin", number as u64, 24 << 20);
            firm.machines[number].agent.start();
        }
        Some(Pair { firm, servers: [one, other], ports: [first, second], _front: front, _postgres: postgres })
    }

    /// Waits until a run of each of these orders has begun.
    fn until_begun(&self, orders: &[(fleet::MachineId, fleet::JobId)]) {
        let firm = &self.firm;
        until("a run of each", || orders.iter().all(|(machine, job)| firm.has_begun(*machine, *job)).then_some(()));
    }

    fn everyone_gets(&self, name: &str, seed: u64) {
        for (machine, seed) in self.firm.machines.iter().zip(seed..) {
            machine.gets(name, seed, 12 << 20);
        }
    }
}

#[test]
fn two_servers_on_one_database_do_all_that_is_due_once_though_either_is_killed_in_the_middle() {
    let Some(mut pair) = Pair::open() else { return };
    pair.firm.forgets(5);
    let mut orders = pair.firm.orders_all();
    pair.until_begun(&orders);
    pair.servers[0].kill();
    pair.firm.until_done(&orders);

    // It is not missed: all that is due happens at the other one.
    pair.everyone_gets("second.bin", 100);
    let more = pair.firm.orders_all();
    pair.firm.until_done(&more);
    orders.extend(more);

    pair.servers[0].start();
    pair.everyone_gets("third.bin", 200);
    pair.firm.forgets(5);
    let more = pair.firm.orders_all();
    pair.until_begun(&more);
    pair.servers[1].kill();
    pair.servers[1].start();
    pair.firm.until_done(&more);
    pair.firm.until_tended();
    pair.firm.each_job_has_one_run();
    pair.firm.all_is_good();
    pair.firm.all_that_was_told_is_there();
    pair.firm.the_audit_log_is_whole();
    pair.firm.messages_came_once(2);
}

#[test]
fn a_restart_of_anything_in_mid_run_loses_nothing() {
    let Some(mut pair) = Pair::open() else { return };
    let mut orders = Vec::new();
    for round in 0..3 {
        pair.everyone_gets(&format!("{round}.bin"), 1_000 * (round + 1));
        let more = pair.firm.orders_all();
        pair.until_begun(&more);
        match round {
            // The gateway with the keeper; then both servers; then the agents.
            0 => restart(&mut pair.firm.up),
            1 => pair.servers.iter_mut().for_each(restart),
            _ => pair.firm.machines.iter_mut().for_each(|machine| restart(&mut machine.agent)),
        }
        orders.extend(more);
    }
    pair.firm.until_done(&orders);
    restart(&mut pair.firm.up);
    pair.firm.until_tended();
    pair.firm.each_job_has_one_run();
    pair.firm.all_is_good();
    pair.firm.all_that_was_told_is_there();
    pair.firm.the_audit_log_is_whole();
    pair.firm.messages_came_once(0);
}

fn restart(part: &mut Part) {
    part.stop();
    part.start();
}

#[test]
fn the_page_at_each_of_two_servers_lists_a_folder_and_downloads_a_file_though_the_keeper_is_at_a_third() {
    let Some(pair) = Pair::open() else { return };
    let orders = pair.firm.orders_all();
    pair.firm.until_done(&orders);
    for port in pair.ports {
        let reader = pair.firm.reader(port);
        for (machine, seed) in pair.firm.machines.iter().zip(0..).take(1) {
            let newest = until("a snapshot on its page", || reader.newest_snapshot(machine.id));
            let folder = reader.page(&reader.at(machine.id, &newest, "", &machine.work()));
            assert!(folder.contains("first.bin"), "{folder}");
            let file = reader.at(machine.id, &newest, "/download", &machine.work().join("first.bin"));
            let downloaded = pair.firm.runtime.block_on(reader.bytes(&file));
            assert!(downloaded == testkit::sample::random_bytes(seed, 24 << 20), "{} bytes", downloaded.len());
        }
    }
}
