//! A server whose disk is lost comes back from its own backup, and the machines that it looks after go on by themselves.

use std::fs;
use std::process::Output;

use testkit::{Peer, free_port};

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

    fn own_backup(&self, verb: &str, data: &str) -> Output {
        let mut command = self.house.stead(&["server", verb, "-r"]);
        command.arg(self.house.at(SAFE)).arg("--data").arg(self.house.at(data)).env("STEAD_PASSWORD", PASSWORD);
        command.output().expect("it runs")
    }
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
    let made = shop.own_backup("backup", "server");
    assert!(made.status.success(), "{}", told(&made));
    // What happens after its own backup the server will not know; the repository has it.
    shop.house.backs_up(&server, &authority, &token);
    let known_as = server.told["fingerprint"].clone();
    drop(server);
    fs::remove_dir_all(shop.house.at("server")).expect("the disk is lost");

    let back = shop.own_backup("restore", "anew");
    assert!(back.status.success(), "{}", told(&back));
    shop.house.database = format!("sqlite:{}", shop.house.at("anew/stead.db").display());
    let again = shop.up("anew");
    assert_eq!(again.told["fingerprint"], known_as);
    shop.house.backs_up(&again, &shop.house.at("anew/tls/authority.pem"), &token);
    agent.stop();
    let repository = format!("{}/{}", shop.house.storage, shop.house.desk());
    assert_eq!(shop.house.restic_finds(&repository, &restic), 3);
    again.stop();
}
