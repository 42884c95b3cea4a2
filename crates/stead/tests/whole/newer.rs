//! A program that is older than the database: every part says so and touches nothing.

use std::process::Command;

use crate::house::{House, told};

#[test]
fn a_database_of_a_newer_program_is_refused_by_every_part_and_stays_as_it_is() {
    let house = House::new();
    let server = house.server("server", 0);
    server.stop();
    let file = house.at("server/stead.db");
    let insert = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                  db.execute(\"insert into migrations (version, checksum) values (999, 'x')\"); db.commit(); \
                  db.execute('pragma wal_checkpoint(truncate)'); db.close()";
    let made = Command::new("python3").args(["-c", insert]).arg(&file).output().expect("python3 runs");
    assert!(made.status.success(), "{}", told(&made));
    let before = std::fs::read(&file).expect("the database");

    let data = house.at("server");
    let data = data.to_str().expect("text");
    let listen = ["--listen", "127.0.0.1:0"];
    let parts: [&[&str]; 4] = [
        &["up", "--data", data, "--only-server"],
        &["server", "run", "--data", data],
        &["gateway", "run", "--database-url", &house.database, "--storage", &house.storage, "--state", data],
        &["server", "link", "owner@localhost", "--data", data],
    ];
    for words in parts {
        let listens = if words.contains(&"link") { &[][..] } else { &listen[..] };
        let refused = house.stead(&[words, listens].concat()).output().expect("it runs");
        assert!(!refused.status.success(), "{words:?}");
        assert!(told(&refused).contains("the database is of version 999"), "{words:?}: {}", told(&refused));
    }
    assert!(before == std::fs::read(&file).expect("the database"), "somebody wrote into it");
}
