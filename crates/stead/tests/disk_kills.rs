//! `stead disk backup` killed and cut off again and again: hardly anything is sent twice, and the image is right.
//!
//! `STEAD_ROUNDS` above 20 (as `cargo xtask test --all` sets it) means 8 GiB and 100 kills; else it is 1 GiB and 20.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use testkit::loop_device::is_root_or_skip;
use testkit::{LoopDevice, Peer, Server, Wire, free_port, sample};

const MIB: u64 = 1 << 20;

/// A disk that nobody writes, and a repository at the other end of a wire.
struct Link {
    disk: LoopDevice,
    wire: Wire,
    stead: Peer,
    _server: Server,
    room: TempDir,
}

fn is_long() -> bool {
    std::env::var("STEAD_ROUNDS").is_ok_and(|rounds| rounds.parse().is_ok_and(|rounds: u32| rounds > 20))
}

/// Bytes of the disk, and how often it is cut off.
fn measure() -> (u64, u32) {
    if is_long() { (8192 * MIB, 100) } else { (1024 * MIB, 20) }
}

impl Link {
    fn new() -> Option<Link> {
        if !is_root_or_skip() {
            return None;
        }
        let program = Peer::find("restic-rest-server")?;
        let room = tempfile::tempdir().expect("room");
        fill(&room.path().join("disk"), measure().0);
        let disk = LoopDevice::attach(&room.path().join("disk"));
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut command = program.command();
        command.args(["--no-auth", "--listen", &listen, "--path"]).arg(room.path().join("store"));
        let _server = Server::start(&mut command, port);
        let link = Link { disk, wire: Wire::to(port), stead: Peer::at(env!("CARGO_BIN_EXE_stead")), _server, room };
        Some(link)
    }

    /// On the repository of that name, with a state of its own.
    fn command(&self, name: &str, words: &[&str]) -> Command {
        let place = format!("rest:http://127.0.0.1:{}/{name}/", self.wire.port());
        let mut command = self.stead.repository_command(Path::new(&place));
        command.env("XDG_STATE_HOME", self.room.path().join(name)).args(words);
        command
    }

    fn backup(&self, name: &str) -> Command {
        // Of a pack that is on its way nothing is kept: smaller ones lose less.
        self.command(name, &["disk", "backup", self.disk.name(), "--pack-size", "4"])
    }

    fn says(&self, mut command: Command) -> Output {
        let output = command.output().expect("runs");
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Bytes on the wire that an undisturbed image takes.
    fn undisturbed(&self) -> u64 {
        self.says(self.command("undisturbed", &["init"]));
        let before = self.wire.sent();
        self.says(self.backup("undisturbed"));
        let sent = self.wire.sent() - before;
        fs::remove_dir_all(self.room.path().join("store/undisturbed")).expect("removed");
        sent
    }

    /// The image is the disk, bit by bit, and its repository is sound.
    fn is_right(&self, name: &str) {
        let target = self.room.path().join("restored");
        self.says(self.command(name, &["disk", "restore", "latest", target.to_str().expect("UTF-8")]));
        assert!(is_same(&target, &self.room.path().join("disk")), "the image differs");
        fs::remove_file(target).expect("removed");
        self.says(self.command(name, &["check"]));
    }
}

/// Writes what does not compress and nothing that is there twice.
fn fill(path: &PathBuf, bytes: u64) {
    use std::io::Write;
    let mut file = fs::File::create(path).expect("a file");
    for number in 0..bytes / (16 * MIB) {
        file.write_all(&sample::random_bytes(number, 16 * MIB as usize)).expect("written");
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    Command::new("cmp").arg(one).arg(other).status().expect("cmp runs").success()
}

/// What it says is only of interest when it ends by itself.
fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("starts")
}

fn last_words(child: &mut Child) -> String {
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
    format!("{:?}: {said}", child.wait())
}

/// Waits until so many bytes went through, and a moment by chance; false if the child ended before.
fn wait_for(wire: &Wire, bytes: u64, child: &mut Child, random: &mut impl Rng) -> bool {
    while wire.sent() < bytes {
        if child.try_wait().expect("our own child").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // This is the chance, not a wait for anything.
    std::thread::sleep(Duration::from_millis(random.random_range(0..40)));
    child.try_wait().expect("our own child").is_none()
}

#[expect(clippy::print_stdout, reason = "the figures belong into the test run's output")]
fn tell(what: &str, times: u32, sent: u64, undisturbed: u64) {
    let (share, each) = (sent as f64 / undisturbed as f64, sent.saturating_sub(undisturbed) / u64::from(times));
    println!(
        "{what} {times} times: {} MiB sent, {} MiB undisturbed: {share:.3}, {} KiB again each time",
        sent / MIB,
        undisturbed / MIB,
        each >> 10
    );
    // What is on its way is lost, however large the disk is: 8 MiB each time are 1.02 of 8 GiB in 20 times.
    assert!(each <= 8 * MIB, "{what}: {each} bytes each time");
    assert!(!is_long() || share <= 1.05, "{what}: {share}");
}

#[test]
fn an_image_that_is_killed_or_cut_off_again_and_again_sends_hardly_anything_twice() {
    let Some(link) = Link::new() else { return };
    let (_, times) = measure();
    let mut random = rand::rngs::StdRng::seed_from_u64(20_26);
    let undisturbed = link.undisturbed();

    link.says(link.command("killed", &["init"]));
    let (before, mut killed) = (link.wire.sent(), 0);
    for round in 0..times {
        let mut child = start(link.backup("killed"));
        let goal = before + undisturbed / 100 * 95 * u64::from(round) / u64::from(times);
        if !wait_for(&link.wire, goal, &mut child, &mut random) {
            panic!("the backup ended by itself in round {round}: {}", last_words(&mut child));
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        killed += 1;
    }
    link.says(link.backup("killed"));
    tell("killed", killed, link.wire.sent() - before, undisturbed);
    link.is_right("killed");

    link.says(link.command("cut", &["init"]));
    let (before, cuts) = (link.wire.sent(), 20);
    let mut child = start(link.backup("cut"));
    for round in 0..cuts {
        let goal = before + undisturbed / 100 * 95 * u64::from(round) / u64::from(cuts);
        if !wait_for(&link.wire, goal, &mut child, &mut random) {
            panic!("the backup ended by itself in round {round}: {}", last_words(&mut child));
        }
        link.wire.cut();
        std::thread::sleep(Duration::from_millis(random.random_range(0..200)));
        link.wire.mend();
    }
    assert!(child.wait().expect("ended").success());
    tell("cut off", cuts, link.wire.sent() - before, undisturbed);
    link.is_right("cut");
}
