//! Gate 2: one command in a fresh Debian, its first backup and its page; what is deleted then is back in three taps.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::sample;

use crate::phone::Phone;
use crate::root::Root;

const PATIENCE: Duration = Duration::from_secs(180);

/// `stead up` in a root.
struct Up {
    child: Child,
    told: Receiver<Value>,
}

impl Up {
    fn start(root: &Root, words: &[&str]) -> Up {
        let mut command = root.command(&[&["stead", "up", "--json"], words].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it starts");
        let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let (say, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut messages = lines.filter_map(|line| serde_json::from_str(&line).ok());
            messages.try_for_each(|message| say.send(message))
        });
        Up { child, told }
    }

    /// The next message of this type.
    fn message(&mut self, wanted: &str) -> Value {
        loop {
            let message = self.told.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            if message["message_type"] == wanted {
                return message;
            }
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[expect(clippy::print_stdout, reason = "the figures belong into the test run's output")]
#[test]
fn a_file_that_is_deleted_in_a_fresh_debian_is_back_in_three_taps() {
    let (Some(root), Some(phone)) = (Root::with_stead(), Phone::find()) else { return };
    let papers = root.at("/srv/papers");
    fs::create_dir_all(papers.join("clients/harbour/2026")).expect("folders");
    sample::office(&papers.join("office"), 1, 60);
    fs::write(papers.join("letter.txt"), "Dear Anna").expect("a file");
    fs::write(papers.join("clients/harbour/2026/invoice-17.txt"), "12 chairs").expect("a file");
    let begun = Instant::now();
    let mut up = Up::start(&root, &["/srv/papers", "--listen", "127.0.0.1:0"]);
    let link = up.message("listening")["link"].as_str().expect("a link").to_owned();
    assert_eq!(up.message("first_backup")["state"], "good");
    let protected = begun.elapsed();

    fs::remove_file(papers.join("letter.txt")).expect("removed");
    fs::remove_dir_all(papers.join("clients")).expect("removed");
    let pictures = tempfile::tempdir().expect("room");
    let took = phone.puts_back(&link, &["letter.txt", "invoice-17.txt"], pictures.path());
    assert!(took["runs"].to_string().contains("Backup, good"), "its page shows the run: {took}");
    assert_eq!((took["fromFleet"].as_u64(), took["bySearch"].as_u64()), (Some(3), Some(3)), "{took}");
    assert_eq!(took["faults"], serde_json::json!([]), "{took}");
    let asked = Instant::now();
    let says = |file: &str, text: &str| fs::read_to_string(papers.join(file)).is_ok_and(|found| found == text);
    while !(says("letter.txt", "Dear Anna") && says("clients/harbour/2026/invoice-17.txt", "12 chairs")) {
        assert!(asked.elapsed() < PATIENCE, "nothing was put back");
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("protected after {protected:.1?}, back {:.1?} after the last tap", asked.elapsed());
}
