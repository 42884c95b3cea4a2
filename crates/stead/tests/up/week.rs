//! A consultant's week at a terminal: files come back, machines join and leave, a firm is set up. No page is opened.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::protects::Parts;
use crate::running::Server;
use crate::terminal::Terminal;

/// What must come, comes within this time, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// Tries until something is so, and says what it was.
fn until<T>(what: &str, mut tries: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = tries() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it never was so: {what}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// A machine whose papers were backed up, and a terminal.
struct Office {
    room: tempfile::TempDir,
    parts: Parts,
    terminal: Terminal,
    machine: String,
    snapshot: String,
}

impl Office {
    fn open() -> Office {
        let room = tempfile::tempdir().unwrap();
        let papers = room.path().join("home/papers");
        fs::create_dir_all(&papers).unwrap();
        fs::write(papers.join("letter.txt"), "Dear Anna").unwrap();
        fs::write(papers.join("bill.txt"), "12").unwrap();
        let mut parts = Parts::start(room.path(), &[&room.path().join("home")]);
        let told = parts.message("listening");
        assert_eq!(parts.message("first_backup")["state"], "good");
        let terminal = Terminal::of_owner(&told, &room.path().join("data"));
        let machine = terminal.tells(&["machines"])[0]["name"].as_str().unwrap().to_owned();
        let snapshot = until("the keeper lists the snapshot", || {
            let listed = terminal.tries(&["snapshots", &machine, "--json"]).ok()?;
            let newest: serde_json::Value = serde_json::from_str(listed.lines().next()?).unwrap();
            Some(newest["id"].as_str()?.to_owned())
        });
        Office { room, parts, terminal, machine, snapshot }
    }

    /// A path below the protected folder.
    fn path(&self, below: &str) -> String {
        self.room.path().join("home").join(below).to_str().unwrap().to_owned()
    }

    /// A path of whoever sits at the terminal.
    fn mine(&self, name: &str) -> String {
        self.room.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn what_was_deleted_comes_back_from_the_terminal() {
    let office = Office::open();
    let (terminal, machine) = (&office.terminal, office.machine.as_str());
    let (folder, file) = (office.path("papers"), office.path("papers/letter.txt"));
    assert!(terminal.shows(&["snapshots", machine]).contains(&office.snapshot[..8]));
    let listed = terminal.shows(&["ls", machine, &office.snapshot[..8], &folder]);
    assert!(listed.contains("letter.txt") && listed.contains("bill.txt"), "{listed}");
    assert!(terminal.shows(&["ls", machine, "latest", office.room.path().to_str().unwrap()]).contains("home/"));
    let found = until("the keeper knows all names", || {
        terminal.tells(&["find", machine, "letter"]).into_iter().find(|place| place["path"] == file.as_str())
    });
    assert_eq!(found["snapshot"], office.snapshot.as_str());
    assert!(terminal.refuses(&["ls", machine, ""]).contains("no snapshot"));

    fs::remove_file(&file).unwrap();
    fs::write(office.path("papers/bill.txt"), "13").unwrap();
    let back = ["restore", machine, &office.snapshot[..8], &folder, "--to", "missing-only", "--wait"];
    assert!(terminal.shows(&back).contains("good"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "Dear Anna");
    assert_eq!(fs::read_to_string(office.path("papers/bill.txt")).unwrap(), "13", "what exists stays as it is");
    assert!(terminal.shows(&["restore", machine, &office.snapshot, &file, "--wait"]).contains("good"));
    assert!(terminal.shows(&["backup", machine, "--wait"]).contains("good"));
    assert!(terminal.tells(&["snapshots", machine]).len() >= 2);
    let runs = terminal.tells(&["runs", machine]);
    assert!(runs.iter().any(|run| run["kind"] == "restore" && run["job"].is_string()), "{runs:?}");
    downloads(&office, &folder, &file);
    assert!(office.parts.stop());
}

fn downloads(office: &Office, folder: &str, file: &str) {
    let (terminal, machine) = (&office.terminal, office.machine.as_str());
    let (target, archive) = (office.mine("mine.txt"), office.mine("papers.tar"));
    let download = ["download", machine, "latest", file, "--target", &target];
    terminal.shows(&download);
    assert_eq!(fs::read_to_string(&target).unwrap(), "Dear Anna");
    assert!(terminal.refuses(&download).contains("is there already"));
    terminal.shows(&["download", machine, "latest", folder, "-t", &archive]);
    let listed = Command::new("tar").arg("-tf").arg(&archive).output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("letter.txt"), "a folder is a tar archive");
    assert_eq!(terminal.shows(&["download", machine, "latest", file, "--target", "-"]), "Dear Anna");
    let nothing = office.mine("nothing");
    let gone = terminal.refuses(&["download", machine, "latest", "/nowhere", "-t", &nothing]);
    assert!(gone.contains("The keeper cannot answer") && fs::metadata(&nothing).is_err(), "{gone}");
    assert!(terminal.shows(&["audit"]).contains("file download"));
}

#[test]
fn a_machine_is_looked_after_from_the_terminal() {
    let office = Office::open();
    let (terminal, machine) = (&office.terminal, office.machine.as_str());
    let settings = ["settings", machine, "--name", "reception", "--site", "Front desk", "--late", "30"];
    terminal.shows(&settings);
    let machine = "reception";
    let shown = terminal.shows(&["settings", machine]);
    assert!(shown.contains("Front desk") && shown.contains("after 30 hours"), "{shown}");
    terminal.shows(&["settings", machine, "--policy", "", "--usual-limits"]);
    let told = terminal.tells(&["settings", machine]).remove(0);
    assert!(told["policy"].is_null() && told["limits"]["backup_hours"].is_null() && told["site"].is_string(), "{told}");
    assert!(terminal.refuses(&["settings", machine, "--class", "toaster"]).contains("no such class"));

    terminal.shows(&["pause", machine, "--hours", "2", "--reason", "they move"]);
    assert!(terminal.shows(&["machines"]).contains("paused"));
    // Until the machine has heard that it is paused, it may be quicker than we are.
    let job = until("a job is called back", || {
        let job = terminal.tells(&["backup", machine])[0]["job"].as_str().unwrap().to_owned();
        terminal.tries(&["cancel", &job]).ok().map(|_| job)
    });
    let state = |job: &str| {
        let jobs = terminal.tells(&["jobs", machine]);
        jobs.into_iter().find(|known| known["id"] == job).unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&job), "cancelled");
    assert!(terminal.refuses(&["cancel", &job]).contains("cancelled"), "it is over");
    terminal.shows(&["resume", machine]);
    assert!(!terminal.shows(&["machines"]).contains("paused"));

    let client = terminal.tells(&["clients"])[0]["id"].as_str().unwrap().to_owned();
    let sheet = terminal.shows(&["sheet", &client]);
    assert!(sheet.contains("stead keeper sheet") && sheet.contains("--confirm"), "{sheet}");
    assert!(terminal.refuses(&["sheet", &client, "--confirm", "zzzz", "zzzz"]).contains("not the groups"));
    assert!(terminal.refuses(&["retire", machine]).contains("nobody is there to be asked"));
    let id = terminal.tells(&["machines"])[0]["id"].as_str().unwrap().to_owned();
    terminal.shows(&["retire", machine, "--yes"]);
    assert!(terminal.refuses(&["machine", machine]).contains("no machine"));
    assert!(terminal.shows(&["snapshots", &id]).contains(&office.snapshot[..8]), "its backups stay");
    assert!(office.parts.stop());
}

#[test]
fn a_firm_is_set_up_from_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&folder);
    let terminal = Terminal::of_owner(&server.told, folder.path());
    let id = |args: &[&str]| terminal.tells(args)[0]["id"].as_str().unwrap().to_owned();

    let client = id(&["clients", "add", "Harbour Dental", "--zone", "Europe/Vienna"]);
    assert!(terminal.shows(&["clients"]).contains("Harbour Dental"));
    assert!(terminal.refuses(&["clients", "add", "X", "--zone", "Nowhere/Else"]).contains("Nowhere/Else"));
    let saved = terminal.shows(&["policies", "save", "Nights", "--new", "paths=/srv\\n/etc", "at=22:00", "zone=UTC"]);
    assert!(saved.contains("22:00"), "{saved}");
    let meant = terminal.shows(&["policies", "preview", "Nights", "daily=30"]);
    assert!(meant.contains("30"), "{meant}");
    let shown = terminal.shows(&["policies", "show", "Nights"]);
    assert!(shown.contains("/etc") && !shown.contains("30 "), "a preview saves nothing: {shown}");
    assert!(terminal.refuses(&["policies", "save", "Days", "daily=1"]).contains("--new"));

    let made = terminal.shows(&["enrol", "Harbour Dental", "--class", "laptop", "--policy", "Nights"]);
    assert!(made.contains("stead agent enrol") && made.contains('█') && made.contains("one machine"), "{made}");
    let code = id(&["codes"]);
    terminal.shows(&["codes", "end", &code]);
    assert!(terminal.shows(&["codes"]).contains("no code"));

    let vault = ["destinations", "save", "Vault", "--new", "--address", "/mnt/vault", "--distance", "offsite"];
    terminal.shows(&vault);
    terminal.shows(&["destinations", "save", "Vault", "--distance", "on-site"]);
    let destinations = terminal.tells(&["destinations"]);
    let vault = destinations.iter().find(|known| known["name"] == "Vault").unwrap();
    assert_eq!((&vault["distance"], &vault["address"]), (&"on_site".into(), &"/mnt/vault".into()));
    let secret = ["destinations", "save", "Vault", "--address", "s3:https://key:secret@s3.example/b"];
    assert!(terminal.refuses(&secret).contains("password"));

    let invited = terminal.shows(&["people", "add", "Ben", "ben@brightside.example", "--role", "technician"]);
    assert!(invited.contains("/welcome/"), "{invited}");
    terminal.shows(&["people", "role", "ben@brightside.example", "--role", "client-viewer", "--client", &client]);
    assert!(terminal.shows(&["people"]).contains("client viewer"));
    assert!(terminal.shows(&["people", "link", "ben@brightside.example"]).contains("/welcome/"));
    let give = ["grants", "give", "ben@brightside.example", "Harbour Dental", "--verb", "restore", "--hours", "12"];
    let grant = id(&[&give[..], &["--reason", "holiday"]].concat());
    assert!(terminal.shows(&["grants"]).contains("holiday"));
    terminal.shows(&["grants", "end", &grant]);
    assert_eq!(terminal.tells(&["grants"])[0]["holds"], false);

    terminal.shows(&["silence", "--client", "Harbour Dental", "--hours", "8", "--reason", "they move"]);
    assert!(terminal.shows(&["silences"]).contains("they move"));
    let silence = id(&["silences"]);
    terminal.shows(&["silences", "end", &silence]);
    assert!(terminal.shows(&["silences"]).contains("nothing is silenced"));
    assert!(terminal.shows(&["messages"]).contains("webhook"));
    let (hook, steps) = ("https://hooks.invalid/stead", ["messages", "steps", "30:ben@brightside.example,webhook"]);
    assert!(terminal.tells(&["messages", "webhook", hook])[0]["key"].as_str().unwrap().starts_with("whsec_"));
    terminal.shows(&steps);
    terminal.shows(&["messages", "mail", "--host", "mail.invalid", "--from", "stead@example.org"]);
    terminal.shows(&["messages", "mail", "--user", "stead"]);
    let shown = terminal.shows(&["messages"]);
    assert!(shown.contains(hook) && shown.contains("after 30 min") && shown.contains("mail.invalid:587"), "{shown}");
    assert!(shown.contains("Ben, the webhook") && !shown.contains("whsec_"), "{shown}");
    assert!(terminal.refuses(&["messages", "steps", "0:nobody@example.org"]).contains("is no member"));
    assert!(terminal.refuses(&["messages", "watchdog", "http://127.0.0.1/x"]).contains("127.0.0.1"));
    assert!(terminal.refuses(&["messages", "test", "webhook"]).contains("Not sent"));
    terminal.shows(&["policies", "remove", "Nights", "--yes"]);
    assert!(terminal.refuses(&["policies", "show", "Nights"]).contains("no policy"));

    let log = folder.path().join("audit.jsonl");
    terminal.shows(&["audit", "export", log.to_str().unwrap()]);
    let verify = ["server", "audit", "verify", log.to_str().unwrap()];
    let verified = Command::new(env!("CARGO_BIN_EXE_stead")).args(verify).output().unwrap();
    assert!(String::from_utf8_lossy(&verified.stdout).contains("all verified"), "{verified:?}");
    assert!(terminal.shows(&["audit"]).contains("grant end"));
    assert!(server.stop());
}
