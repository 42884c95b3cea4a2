//! All parts apart: a server, two gateways, a keeper and an agent as processes of their own, PostgreSQL, and an object store.

use std::process::Output;

use fleet::{Drill, JobKind, MachineId, State};
use jiff::Timestamp;
use store::{Enrolment, Secret};
use testkit::{Peer, Postgres, Server, free_port};

use crate::house::{CODE, House, Part, told, until};

/// An object store on the room's disk.
fn object_store(house: &mut House) -> Option<Server> {
    let rclone = Peer::find("rclone")?;
    std::fs::create_dir(house.at("storage/bucket")).expect("a bucket");
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut command = rclone.command();
    command.args(["serve", "s3", "--addr", &listen, "--auth-key", "anna,secret"]).arg(house.at("storage"));
    house.storage = format!("s3:http://{listen}/bucket/fleet");
    house.environment = vec![("AWS_ACCESS_KEY_ID", "anna"), ("AWS_SECRET_ACCESS_KEY", "secret")];
    Some(Server::start(&mut command, port))
}

#[test]
fn parts_apart_on_postgresql_and_an_object_store_back_a_machine_up_and_practise_a_restore() {
    let (Some(postgres), Some(restic)) = (Postgres::start(), Peer::find("restic")) else { return };
    let mut house = House::new();
    let Some(_objects) = object_store(&mut house) else { return };
    house.database = postgres.database("fleet");
    let server = house.server("server", 0);
    let gateway = house.gateway("gateway");
    let keeper = house.keeper(&server);
    let token = house.expects_a_machine();
    let agent = house.agent(&server);
    let authority = house.at("server/tls/authority.pem");
    house.backs_up(&server, &authority, &token);
    // The keeper has its own way through the gateway: what follows a backup is done by it.
    until("a check, a prune and a drill by the keeper", || {
        let runs = house.runs();
        let went_well = |kind| runs.iter().any(|run| run.kind == kind && run.state() == State::Good);
        let kinds = [JobKind::Check, JobKind::Prune, JobKind::Drill(Drill::FileSample)];
        kinds.into_iter().all(went_well).then_some(())
    });

    // Machines are told of the gateway that started last, and the one before is not missed.
    let other = house.gateway("other gateway");
    gateway.stop();
    house.backs_up(&server, &authority, &token);
    for part in [agent, keeper, other, server] {
        part.stop();
    }
    let repository = format!("{}/{}", house.storage, house.desk());
    assert_eq!(house.restic_finds(&repository, &restic), 2);
}

/// A machine that stock restic backs up, through any gateway.
struct Plain<'h> {
    house: &'h House,
    restic: &'h Peer,
    machine: MachineId,
    secret: Secret,
}

impl<'h> Plain<'h> {
    fn join(house: &'h House, restic: &'h Peer) -> Plain<'h> {
        let (now, secret) = (Timestamp::now(), Secret::random());
        let (machine, credential) = (MachineId::made(now, rand::random()), secret.hash());
        let (name, identity, hardware, sealed_key) = ("plain".to_owned(), None, None, None);
        let new = Enrolment { machine, name, identity, hardware, sealed_key, credential };
        house.looks(async |store, _| {
            store.system().enrol(&Secret::received(CODE), &new, now).await.expect("a machine");
        });
        Plain { house, restic, machine, secret }
    }

    /// restic through a gateway, whose authority is in its directory.
    fn on(&self, (gateway, state): (&Part, &str), words: &[&str]) -> Output {
        let (machine, secret) = (self.machine, self.secret.text());
        let address = gateway.says("address").strip_prefix("https://").expect("TLS");
        let mut command = self.restic.command();
        command.args([
            "--no-cache",
            "-r",
            &format!("rest:https://{machine}:{secret}@{address}/{machine}/"),
            "--cacert",
        ]);
        command.arg(self.house.at(state).join("tls/authority.pem")).args(words).env("RESTIC_PASSWORD", "test");
        command.output().expect("restic runs")
    }

    #[track_caller]
    fn does(&self, through: (&Part, &str), words: &[&str]) -> String {
        let output = self.on(through, words);
        assert!(output.status.success(), "{words:?}: {}", told(&output));
        told(&output)
    }
}

#[test]
fn two_gateways_on_one_database_are_one_to_a_machine() {
    let Some(restic) = Peer::find("restic") else { return };
    let house = House::new();
    let server = house.server("server", 0);
    house.expects_a_machine();
    let (one, other) = (house.gateway("one"), house.gateway("other"));
    let (through_one, through_other) = ((&one, "one"), (&other, "other"));
    let plain = Plain::join(&house, &restic);
    let work = house.at("work");
    let work = work.to_str().expect("text");

    plain.does(through_one, &["init"]);
    plain.does(through_other, &["backup", work]);
    // Both at once: each sees the other's locks, packs and receipts.
    std::thread::scope(|both| {
        both.spawn(|| plain.does(through_one, &["backup", work, "--tag", "one"]));
        both.spawn(|| plain.does(through_other, &["backup", work, "--tag", "other"]));
    });
    plain.does(through_one, &["check", "--read-data"]);
    assert!(plain.does(through_other, &["snapshots"]).contains("3 snapshots"));
    for through in [through_one, through_other] {
        let refused = plain.on(through, &["forget", "latest"]);
        assert!(!refused.status.success(), "{}", told(&refused));
    }
    let machine = plain.machine.to_string();
    house.says(&["server", "limit", &machine, "--quota", "1K", "--database-url", &house.database]);
    for through in [through_one, through_other] {
        let full = plain.on(through, &["backup", "/usr/bin/env", "--force"]);
        assert!(!full.status.success(), "the limit holds at both: {}", told(&full));
    }
    one.stop();
    other.stop();
    server.stop();
}
