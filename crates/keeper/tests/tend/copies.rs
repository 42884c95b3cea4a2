//! Copies to a destination.

use std::path::PathBuf;
use std::sync::Arc;

use api::wire::keeper::{Found, Work};
use backend::Clock;
use fleet::{Destination, DestinationId, Distance, Place, TenantId, Uuid};
use stead_keeper::recovery;
use stead_keeper::reporter::Reporter;
use stead_keeper::storage::{Believes, Stop};
use stead_keeper::work;
use testkit::{Peer, Server, free_port, sample};

use crate::house::House;

fn vault(house: &House) -> Destination {
    vault_at(house.room.path().join("vault").to_str().unwrap())
}

fn vault_at(address: &str) -> Destination {
    Destination {
        id: DestinationId::new(Uuid::from_u128(7)),
        tenant: TenantId::new(Uuid::from_u128(1)),
        name: "Vault".into(),
        place: Place::Copies(address.into()),
        distance: Distance::Offsite,
    }
}

fn copy_of(house: &House) -> PathBuf {
    house.room.path().join("vault").join(house.machine.to_string())
}

/// Stock restic with the client's recovery password.
fn with_sheet(house: &House, repository: &std::path::Path, args: &[&str]) -> String {
    let password = house.shop().sheets.password(house.client).unwrap();
    let mut command = house.restic.repository_command(repository);
    let output = command.env("RESTIC_PASSWORD", password.as_str()).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_copy_has_the_cuts_of_the_original_and_opens_with_the_recovery_password_and_stock_restic() {
    let Some(house) = House::open() else { return };
    sample::office(&house.files(), 4, 20);
    house.backup(&[]);
    let done = house.works(&Work::Copy(vault(&house)));
    let Some(Found::Copied { destination, newest, .. }) = done.found else { panic!("{:?}", done.found) };
    assert_eq!(destination, vault(&house).id);
    assert!(newest <= house.clock.now());
    with_sheet(&house, &copy_of(&house), &["check", "--read-data"]);
    let polynomial = |text: &str| -> serde_json::Value {
        let config: serde_json::Value = serde_json::from_str(text).unwrap();
        config["chunker_polynomial"].clone()
    };
    let original = house.restic.succeeds(&house.repository(), ["cat", "config"]);
    assert_eq!(polynomial(&original), polynomial(&with_sheet(&house, &copy_of(&house), &["cat", "config"])));
    sample::a_day_of_work(&house.files(), 5, 3);
    house.backup(&[]);
    house.works(&Work::Copy(vault(&house)));
    house.works(&Work::Copy(vault(&house)));
    let snapshots: serde_json::Value =
        serde_json::from_str(&with_sheet(&house, &copy_of(&house), &["snapshots", "--json"])).unwrap();
    assert_eq!(snapshots.as_array().unwrap().len(), 2, "what was copied is not copied again");
}

#[test]
fn a_copy_that_was_stopped_anywhere_is_whole_after_it_was_repeated() {
    let Some(house) = House::open() else { return };
    for number in 0..12 {
        std::fs::write(house.files().join(format!("{number}.bin")), sample::random_bytes(number, 4 << 20)).unwrap();
    }
    house.backup(&[]);
    // Stopped at each of its first reports in turn: at the opening, in the audit, between packs.
    for stopped_at in 1..=6 {
        let stop = Stop::default();
        let asked = stop.clone();
        let clock = Arc::clone(&house.clock) as Arc<dyn Clock>;
        let reports = std::sync::atomic::AtomicU64::new(0);
        let reporter = Reporter::new(clock, move |_| {
            if reports.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 >= stopped_at {
                asked.ask();
            }
        });
        match work::run(&house.site(stop), &Work::Copy(vault(&house)), &reporter) {
            Err(error) => assert!(error.is_cancelled(), "{}", error.words()),
            Ok(done) => assert_eq!(done.outcome, fleet::Outcome::Good),
        }
    }
    house.works(&Work::Copy(vault(&house)));
    with_sheet(&house, &copy_of(&house), &["check", "--read-data"]);
}

#[test]
fn a_recovery_password_opens_the_machines_own_repository_with_stock_restic_and_is_added_once() {
    let Some(house) = House::open() else { return };
    sample::office(&house.files(), 6, 5);
    house.backup(&[]);
    let site = house.site(Stop::default());
    let repo = site.open(Believes::Cache).unwrap();
    let shop = house.shop();
    let password = shop.sheets.password(house.client).unwrap();
    for _ in 0..3 {
        recovery::admit(&shop.memory, &repo, house.machine, house.client, &password, &site.key_origin()).unwrap();
    }
    let snapshots = with_sheet(&house, &house.repository(), &["snapshots", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&snapshots).unwrap().as_array().unwrap().len(), 1);
    let keys = with_sheet(&house, &house.repository(), &["key", "list", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&keys).unwrap().as_array().unwrap().len(), 2);
    assert_eq!(recovery::opens(&shop.memory, house.client).unwrap(), [house.machine]);
}

/// Writes what the keeper's own file of that destination says, and copies twice: the second time nothing is left to do.
fn copied(house: &House, vault: &Destination, secrets: &str) {
    sample::office(&house.files(), 4, 20);
    house.backup(&[]);
    let folder = &house.shop().secrets;
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(vault.id.to_string()), secrets).unwrap();
    for _ in 0..2 {
        let done = house.works(&Work::Copy(vault.clone()));
        assert!(matches!(done.found, Some(Found::Copied { .. })), "{:?}", done.found);
    }
    with_sheet(house, &copy_of(house), &["check", "--read-data"]);
}

#[test]
fn a_copy_goes_over_sftp_and_opens_with_the_recovery_password() {
    let Some(house) = House::open() else { return };
    let Some(server) = Peer::find("sftp-server") else { return };
    let address = format!("sftp:vault:{}", house.room.path().join("vault").display());
    copied(&house, &vault_at(&address), &format!("sftp.command={}\n", server.path().display()));
}

#[test]
fn a_copy_goes_into_a_bucket_with_the_keepers_own_secrets() {
    let Some(house) = House::open() else { return };
    let Some(rclone) = Peer::find("rclone") else { return };
    let (port, buckets) = (free_port(), house.room.path());
    std::fs::create_dir(buckets.join("vault")).unwrap();
    let mut command = rclone.command();
    command.args(["serve", "s3", "--addr", &format!("127.0.0.1:{port}"), "--auth-key", "access,secret"]);
    let _server = Server::start(command.args(["--config", "/dev/null"]).arg(buckets), port);
    let vault = vault_at(&format!("s3:http://127.0.0.1:{port}/vault"));
    copied(&house, &vault, "AWS_ACCESS_KEY_ID=access\nAWS_SECRET_ACCESS_KEY=secret\n");
}
