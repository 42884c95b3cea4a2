//! The Debian package in a fresh root: its users, its units, a backup made by what the units start, and what stays when it
//! goes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use serde_json::Value;
use testkit::{Peer, free_port, sample};

use crate::house::{CODE, House, Part, told};
use crate::root::Root;

/// The services that have users of their own.
const PARTS: [&str; 3] = ["server", "gateway", "keeper"];

/// A service's unit, as far as a story follows it.
struct Unit(BTreeMap<String, Vec<String>>);

impl Unit {
    fn of(root: &Root, part: &str) -> Unit {
        let file = root.at(&format!("/usr/lib/systemd/system/stead-{part}.service"));
        let mut unit: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in fs::read_to_string(file).expect("a unit").lines().filter_map(|line| line.split_once('=')) {
            unit.entry(name.into()).or_default().push(value.into());
        }
        Unit(unit)
    }

    fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    fn one(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    /// What systemd would start, by its user and with its environment, in the root.
    fn command(&self, root: &Root) -> Command {
        let mut variables = BTreeMap::new();
        for pair in self.all("Environment").iter().flat_map(|line| line.split(' ')) {
            variables.extend(pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        for file in self.all("EnvironmentFile") {
            let text = fs::read_to_string(root.at(file.trim_start_matches('-'))).expect("a file of /etc");
            let lines = text.lines().filter(|line| !line.starts_with('#'));
            let pairs = lines.filter_map(|line| line.split_once('='));
            variables.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        let user = self.one("User").unwrap_or("root");
        // Whoever changes the user forgets to end with us, unless told again.
        let mut words = vec!["setpriv", "--pdeathsig", "KILL", "--reuid", user, "--regid", user];
        words.extend(match self.one("SupplementaryGroups") {
            Some(groups) => ["--groups", groups],
            None => ["--clear-groups", "--no-new-privs"],
        });
        for word in self.one("ExecStart").expect("a command").split(' ') {
            match word.strip_prefix('$') {
                Some(name) => words.extend(variables[name].split_whitespace()),
                None => words.push(word),
            }
        }
        let mut command = root.command(&words);
        command.envs(&variables);
        command
    }
}

/// The package of this build.
fn built(house: &House) -> std::path::PathBuf {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["xtask", "package", "--quick", "--program", env!("CARGO_BIN_EXE_stead"), "--into"]);
    let output = cargo.arg(house.room.path()).current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs");
    assert!(output.status.success(), "{}", told(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.trim().strip_prefix("package: ").expect("a path").into()
}

fn installs(root: &Root, package: &std::path::Path) {
    fs::copy(package, root.at("/stead.deb")).expect("a copy");
    root.says(&["dpkg", "-i", "/stead.deb"]);
}

fn is_right(root: &Root) {
    let units = PARTS.iter().chain(&["agent"]).map(|part| format!("/usr/lib/systemd/system/stead-{part}.service"));
    let units: Vec<String> = units.collect();
    let words: Vec<&str> =
        ["systemd-analyze", "verify", "--man=no"].into_iter().chain(units.iter().map(String::as_str)).collect();
    let verified = root.command(&words).output().expect("it runs");
    assert!(verified.status.success() && !told(&verified).contains("stead"), "{}", told(&verified));
    let passwd = fs::read_to_string(root.at("/etc/passwd")).expect("users");
    let mut users = std::collections::BTreeSet::new();
    for part in PARTS {
        let line = passwd.lines().find(|line| line.starts_with(&format!("stead-{part}:"))).expect("a user");
        assert!(line.ends_with("/nologin"), "{line}");
        let home = root.at(&format!("/var/lib/stead/{part}")).metadata().expect("its directory");
        assert_eq!(home.permissions().mode() & 0o7777, 0o700, "{part}");
        assert!(users.insert(home.uid()) && home.uid() != 0, "{part} has a user of its own");
    }
    let secret = root.at("/etc/stead/gateway.env").metadata().expect("a file");
    assert_eq!((secret.permissions().mode() & 0o777, secret.uid()), (0o600, 0));
    assert!(root.at("/usr/share/man/man1/stead-gateway-run.1.gz").exists());
}

/// The administrator's words for a service.
fn sets(root: &Root, part: &str, options: &str) {
    let file = root.at(&format!("/etc/stead/{part}.env"));
    let name = format!("STEAD_{}_OPTIONS=", part.to_uppercase());
    let text = fs::read_to_string(&file).expect("a file");
    assert!(text.contains(&name), "{text}");
    fs::write(&file, text.replace(&name, &format!("{name}{options}"))).expect("written");
}

/// Makes the keeper known to the server, as README.Debian says.
fn introduces_the_keeper(root: &Root, server: &Part) {
    let (address, fingerprint) = (server.says("address"), server.says("fingerprint"));
    let state = "/var/lib/stead/keeper";
    let keeper = ["setpriv", "--reuid", "stead-keeper", "--regid", "stead-keeper", "--clear-groups"];
    let init =
        ["stead", "keeper", "init", "--json", "--state", state, "--server", address, "--fingerprint", fingerprint];
    let made: Value = serde_json::from_str(&root.says(&[&keeper[..], &init].concat())).expect("JSON");
    let (identity, public) = (made["identity"].as_str().expect("one"), made["public"].as_str().expect("one"));
    let server = ["setpriv", "--reuid", "stead-server", "--regid", "stead-server", "--init-groups"];
    let database = "sqlite:/var/lib/stead/database/stead.db";
    let add = ["stead", "server", "keeper", "add", "vault", "--identity", identity, "--public", public];
    root.says(&[&server[..], &add, &["--data", "/var/lib/stead/server", "--database-url", database]].concat());
}

#[test]
fn the_package_s_services_back_a_machine_up_as_different_users_and_no_removal_takes_the_backups() {
    let (Some(root), Some(restic)) = (Root::fresh(), Peer::find("restic")) else { return };
    let mut house = House::new();
    let package = built(&house);
    installs(&root, &package);
    is_right(&root);
    fs::create_dir(root.at("/srv/work")).expect("a folder");
    sample::office(&root.at("/srv/work"), 7, 40);

    sets(&root, "server", &format!("--json --listen 127.0.0.1:{}", free_port()));
    sets(&root, "gateway", "--json --listen 127.0.0.1:0");
    let server = Part::start(&mut Unit::of(&root, "server").command(&root), Some("listening"));
    let gateway = Part::start(&mut Unit::of(&root, "gateway").command(&root), Some("listening"));
    let spied = ["setpriv", "--reuid", "stead-keeper", "--regid", "stead-keeper", "--clear-groups", "ls"];
    for secret in ["/var/lib/stead/database", "/var/lib/stead/server", "/var/lib/stead/repositories"] {
        let refused = root.command(&[&spied[..], &[secret]].concat()).output().expect("it runs");
        assert!(told(&refused).contains("Permission denied"), "{secret}: {}", told(&refused));
    }
    introduces_the_keeper(&root, &server);
    let keeper = Part::start(&mut Unit::of(&root, "keeper").command(&root), None);
    house.database = format!("sqlite:{}", root.at("/var/lib/stead/database/stead.db").display());
    let token = house.expects_a_machine_with("/srv/work");
    let (address, fingerprint) = (server.says("address"), server.says("fingerprint"));
    root.says(&["stead", "agent", "enrol", address, CODE, "--name", "desk", "--fingerprint", fingerprint]);
    let agent = Part::start(&mut Unit::of(&root, "agent").command(&root), None);
    house.backs_up(&server, &root.at("/var/lib/stead/server/tls/authority.pem"), &token);
    for part in [agent, keeper, gateway, server] {
        drop(part);
    }

    let repository = root.at(&format!("/var/lib/stead/repositories/{}", house.desk()));
    fs::create_dir(house.at("agent")).expect("a folder");
    let password = root.at("/var/lib/stead/agent/repository.password");
    fs::copy(password, house.at("agent/repository.password")).expect("a copy");
    root.says(&["dpkg", "-r", "stead"]);
    assert!(!root.at("/usr/bin/stead").exists() && root.at("/etc/stead/gateway.env").exists());
    let purged = root.command(&["dpkg", "-P", "stead"]).output().expect("it runs");
    assert!(purged.status.success() && told(&purged).contains("/var/lib/stead stays"), "{}", told(&purged));
    assert!(!root.at("/etc/stead").exists() && !root.at("/var/cache/stead").exists());
    assert_eq!(house.restic_finds(repository.to_str().expect("text"), &restic), 1);
    installs(&root, &package);
    assert_eq!(house.desk().to_string(), repository.file_name().expect("a name").to_string_lossy());
}
