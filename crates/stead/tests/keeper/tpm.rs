//! A keeper's keys and a TPM: a software one, asked by the same programs as a real one.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use testkit::SoftTpm;

use super::front::Repositories;
use super::{House, end, says, stead};

const CLIENT: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A keeper's directory, with keys that a passphrase opens, and a machine with a TPM.
struct Vault {
    room: TempDir,
    tpm: SoftTpm,
}

impl Vault {
    fn open() -> Option<Vault> {
        let room = TempDir::new().expect("room");
        let tpm = SoftTpm::start(&room.path().join("tpm"))?;
        std::fs::write(room.path().join("phrase"), "correct horse battery").expect("a file");
        let made = Vault { room, tpm };
        // It knows no server yet, which ends with an error; its keys are made.
        let init = made.keeper(&["init", "--server", "http://localhost:1", "--passphrase-file", &made.phrase()]);
        assert!(init.status.success(), "{}", told(&init));
        Some(made)
    }

    fn phrase(&self) -> String {
        self.room.path().join("phrase").to_str().expect("text").to_owned()
    }

    fn command(&self, words: &[&str]) -> Command {
        let state = self.room.path().join("keeper");
        let mut command = stead(self.room.path(), &[&["keeper"], words].concat());
        command.arg("--state").arg(state).env("TPM2TOOLS_TCTI", self.tpm.tcti()).stdin(Stdio::null());
        command
    }

    fn keeper(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("it runs")
    }

    /// What a client's recovery sheet says, which needs open keys.
    fn sheet(&self, opener: &[&str]) -> Output {
        self.keeper(&[&["sheet", CLIENT], opener].concat())
    }

    #[track_caller]
    fn opens(&self, opener: &[&str]) -> String {
        let sheet = self.sheet(opener);
        assert!(sheet.status.success(), "{}", told(&sheet));
        String::from_utf8(sheet.stdout).expect("text")
    }

    #[track_caller]
    fn does_not_open(&self, opener: &[&str]) -> String {
        let sheet = self.sheet(opener);
        assert!(!sheet.status.success(), "{opener:?} opened them");
        told(&sheet)
    }

    #[track_caller]
    fn seals(&self, words: &[&str]) -> String {
        says(&mut self.command(&[&["seal"], words].concat()))
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").file_name());
    files.map(|name| name.to_string_lossy().into_owned()).collect()
}

#[test]
fn a_keeper_whose_keys_the_tpm_opens_starts_without_anybody_also_after_a_reboot() {
    let tpm_room = TempDir::new().expect("room");
    let Some(mut tpm) = SoftTpm::start(tpm_room.path()) else { return };
    let mut house = House::new();
    let state = house.path("keeper");
    let mut seal =
        stead(house.room.path(), &["keeper", "seal", "--add-tpm", "--remove", "key-file", "--state", &state]);
    assert!(says(seal.env("TPM2TOOLS_TCTI", tpm.tcti())).ends_with("opened by: TPM\n"));
    std::fs::remove_file(Path::new(&state).join("key")).expect("the key file");
    for _ in 0..2 {
        let mut run = stead(house.room.path(), &["keeper", "run", "--state", &state]);
        run.env("TPM2TOOLS_TCTI", tpm.tcti()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = run.spawn().expect("it starts");
        let at = Repositories { address: &house.address, account: "keeper", credential: &house.secret };
        // The front believes whoever signs with this identity alone.
        drop(house.front.call(&house.identity, &at));
        end(keeper);
        tpm.reboot();
    }
    assert!(!names(Path::new(&state)).iter().any(|name| name.starts_with("tpm-")), "what the TPM needed is removed");
}

#[test]
fn keys_go_from_a_passphrase_to_the_tpm_and_back() {
    let Some(keeper) = Vault::open() else { return };
    let phrase = keeper.phrase();
    let by_phrase = ["--passphrase-file", phrase.as_str()];
    let sheet = keeper.opens(&by_phrase);
    assert!(keeper.seals(&["--add-tpm", by_phrase[0], by_phrase[1]]).ends_with("opened by: passphrase, TPM\n"));
    for opener in [&["--tpm"][..], &by_phrase, &[]] {
        assert_eq!(keeper.opens(opener), sheet, "either way, and the TPM where nothing is said");
    }
    assert!(keeper.seals(&["--remove", "passphrase"]).ends_with("opened by: TPM\n"));
    let refused = keeper.does_not_open(&by_phrase);
    assert!(refused.contains("sealed with a TPM, not with a passphrase"), "{refused}");
    let last = keeper.keeper(&["seal", "--remove", "tpm"]);
    assert!(!last.status.success() && told(&last).contains("the only way"), "{}", told(&last));

    keeper.seals(&["--tpm", "--add-passphrase-file", &phrase, "--remove", "tpm"]);
    assert_eq!(keeper.opens(&by_phrase), sheet);
    let refused = keeper.does_not_open(&["--tpm"]);
    assert!(refused.contains("sealed with a passphrase, not with a TPM"), "{refused}");
}

#[test]
fn another_tpm_opens_nothing_and_says_how_to_go_on() {
    let Some(mut keeper) = Vault::open() else { return };
    let phrase = keeper.phrase();
    let by_phrase = ["--passphrase-file", phrase.as_str()];
    keeper.seals(&["--add-tpm", by_phrase[0], by_phrase[1]]);
    let sheet = keeper.opens(&["--tpm"]);
    let Some(other) = SoftTpm::start(&keeper.room.path().join("other tpm")) else { return };
    let first = std::mem::replace(&mut keeper.tpm, other);
    let refused = keeper.does_not_open(&["--tpm"]);
    assert!(refused.contains("another TPM sealed them") && refused.contains("recovery sheets"), "{refused}");
    assert!(refused.contains("stead keeper seal --passphrase --add-tpm"), "{refused}");

    keeper.seals(&["--add-tpm", by_phrase[0], by_phrase[1]]);
    assert_eq!(keeper.opens(&["--tpm"]), sheet, "the keys are the same");
    keeper.tpm = first;
    assert!(keeper.does_not_open(&["--tpm"]).contains("another TPM sealed them"));
}

#[test]
fn a_tpm_that_is_not_there_and_tools_that_are_missing_are_told() {
    let Some(keeper) = Vault::open() else { return };
    let phrase = keeper.phrase();
    let words = ["seal", "--add-tpm", "--passphrase-file", &phrase];
    let fails = |name: &str, value: &str| {
        let output = keeper.command(&words).env(name, value).output().expect("it runs");
        assert!(!output.status.success(), "{}", told(&output));
        told(&output)
    };
    let nowhere = fails("TPM2TOOLS_TCTI", "device:/dev/no-such-tpm");
    assert!(nowhere.contains("no TPM 2.0 answers at device:/dev/no-such-tpm"), "{nowhere}");
    assert!(nowhere.contains("switched on in the firmware"), "{nowhere}");
    let missing = fails("PATH", "/nowhere");
    assert!(missing.contains("tpm2_createprimary is not installed") && missing.contains("apt-get"), "{missing}");
    keeper.opens(&["--passphrase-file", &phrase]);
}
