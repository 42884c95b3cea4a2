//! A server whose disk is lost comes back from its own backup, and the machines that it looks after go on by themselves.

use std::fs;

use testkit::{Peer, Postgres, free_port};

use crate::house::{House, Part, told};

/// Where the server keeps its own backup, and what opens it.
const SAFE: &str = "safe";
const PASSWORD: &str = "kept elsewhere";

struct Shop {
    house: House,
    port: u16,
    gateway: u16,
}

impl Shop {
    fn open() -> Shop {
        let house = House::new();
        fs::create_dir(house.at("protected")).expect("a folder");
        fs::write(house.at("protected/file"), "content").expect("a file");
        Shop { house, port: free_port(), gateway: free_port() }
    }

    /// Server, gateway and keeper in one process, where they were before.
    fn up(&self, data: &str) -> Part {
        let (listen, gateway) = (format!("127.0.0.1:{}", self.port), format!("127.0.0.1:{}", self.gateway));
        let words =
            ["up", "--json", "--listen", &listen, "--gateway-listen", &gateway, "--storage", &self.house.storage];
        let mut command = self.house.stead(&words);
        command.arg("--data").arg(self.house.at(data)).arg(self.house.at("protected"));
        Part::start(&mut command, Some("listening"))
    }
}

/// What `stead server backup` and `restore` say of the server in that directory.
fn own_backup(house: &House, verb: &str, data: &str, more: &[&str]) {
    let mut command = house.stead(&["server", verb, "-r"]);
    command.arg(house.at(SAFE)).arg("--data").arg(house.at(data)).args(more).env("STEAD_PASSWORD", PASSWORD);
    let done = command.output().expect("it runs");
    assert!(done.status.success(), "{verb}: {}", told(&done));
}

#[test]
fn a_lost_server_comes_back_and_an_agent_that_nobody_touched_goes_on() {
    let Some(restic) = Peer::find("restic") else { return };
    let mut shop = Shop::open();
    let server = shop.up("server");
    let authority = shop.house.at("server/tls/authority.pem");
    let token = shop.house.expects_a_machine();
    let agent = shop.house.agent(&server);
    shop.house.backs_up(&server, &authority, &token);
    own_backup(&shop.house, "backup", "server", &[]);
    // What happens after its own backup the server will not know; the repository has it.
    shop.house.backs_up(&server, &authority, &token);
    let known_as = server.told["fingerprint"].clone();
    drop(server);
    fs::remove_dir_all(shop.house.at("server")).expect("the disk is lost");

    own_backup(&shop.house, "restore", "anew", &[]);
    shop.house.database = format!("sqlite:{}", shop.house.at("anew/stead.db").display());
    let again = shop.up("anew");
    assert_eq!(again.told["fingerprint"], known_as);
    shop.house.backs_up(&again, &shop.house.at("anew/tls/authority.pem"), &token);
    agent.stop();
    // What its keeper does after a backup is over before somebody else reads everything.
    again.stop();
    let repository = format!("{}/{}", shop.house.storage, shop.house.desk());
    assert_eq!(shop.house.restic_finds(&repository, &restic), 3);
}

#[test]
fn a_server_that_lost_its_postgresql_comes_back_into_an_empty_one_and_the_agent_goes_on() {
    let (Some(postgres), Some(restic)) = (Postgres::start(), Peer::find("restic")) else { return };
    let (mut house, port) = (House::new(), free_port());
    house.database = postgres.database("lost");
    let (server, gateway) = (house.server("server", port), house.gateway("gateway"));
    let token = house.expects_a_machine();
    let agent = house.agent(&server);
    house.backs_up(&server, &house.at("server/tls/authority.pem"), &token);
    own_backup(&house, "backup", "server", &["--database-url", &house.database]);
    drop(server);
    gateway.stop();
    fs::remove_dir_all(house.at("server")).expect("the disk is lost");

    house.database = postgres.database("anew");
    own_backup(&house, "restore", "anew", &["--database-url", &house.database]);
    let (server, gateway) = (house.server("anew", port), house.gateway("gateway"));
    house.backs_up(&server, &house.at("anew/tls/authority.pem"), &token);
    agent.stop();
    gateway.stop();
    server.stop();
    let repository = format!("{}/{}", house.storage, house.desk());
    assert_eq!(house.restic_finds(&repository, &restic), 2);
}
