//! Two people, each with a browser of their own, who look at the same machine's page at the same moment. What they saw is left
//! in `target/drive` for people to look at.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The browsers' driver.
pub(crate) struct Viewers {
    node: Child,
    say: Option<ChildStdin>,
    hear: BufReader<ChildStdout>,
}

/// What both saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The percentage that both showed; none: nothing runs.
    pub(crate) percent: Option<u64>,
    /// What was said about it, on the owner's page.
    pub(crate) words: String,
    /// All that stood on the partner's page.
    pub(crate) page: String,
}

/// Where playwright-core is; a skip where there is none.
pub(crate) fn browsers() -> Option<PathBuf> {
    let room = testkit::peer::folder().with_file_name("browser");
    if room.join("node_modules/playwright-core").exists() && Path::new("/usr/bin/chromium").exists() {
        return Some(room);
    }
    testkit::peer::skip("no browser; `cargo xtask setup` installs it");
    None
}

impl Viewers {
    /// Starts both browsers. Pictures are named after the story.
    pub(crate) fn start(room: &Path, story: &str) -> Viewers {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("drive");
        std::fs::create_dir_all(&folder).expect("a folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drive/viewers.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(folder).arg(story).env("STEAD_BROWSER", room);
        let mut node = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs");
        let (say, hear) = (node.stdin.take().expect("a pipe"), node.stdout.take().expect("a pipe"));
        Viewers { node, say: Some(say), hear: BufReader::new(hear) }
    }

    fn asks(&mut self, what: &Value) -> Value {
        let say = self.say.as_mut().expect("it was started");
        writeln!(say, "{what}").expect("node listens");
        let mut line = String::new();
        self.hear.read_line(&mut line).expect("node speaks");
        let told: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{what}: {line:?}"));
        assert!(told["fault"].is_null(), "{what}: {}", told["fault"]);
        told
    }

    /// Somebody comes in by a one-time link, and opens a page.
    pub(crate) fn enters(&mut self, who: &str, link: &str, page: &str) {
        self.asks(&json!({ "do": "enter", "who": who, "link": link, "page": page }));
    }

    /// Somebody presses a button.
    pub(crate) fn presses(&mut self, who: &str, button: &str) {
        self.asks(&json!({ "do": "press", "who": who, "button": button }));
    }

    /// Both look now, at what their pages show by themselves, until they are shown the same, and no less than the server knew
    /// before; how often they had to is told.
    #[expect(clippy::print_stdout, reason = "the figures belong into the test run's output")]
    pub(crate) fn look(&mut self, stage: &str, least: Option<u64>) -> Seen {
        let told = self.asks(&json!({ "do": "look", "stage": stage, "least": least }));
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        println!("{stage}: both saw {} % ({}), look {}", told["percent"], text("words"), told["tries"]);
        Seen { percent: told["percent"].as_u64(), words: text("words"), page: text("page") }
    }

    /// Both ask for their pages anew.
    pub(crate) fn reload(&mut self) {
        self.asks(&json!({ "do": "reload" }));
    }

    /// Waits until somebody's page has turned into another one by itself; the status and the text of that one.
    pub(crate) fn loses(&mut self, who: &str) -> (u64, String) {
        let told = self.asks(&json!({ "do": "lose", "who": who }));
        (told["status"].as_u64().expect("a status"), told["page"].as_str().expect("a text").to_owned())
    }
}

impl Drop for Viewers {
    fn drop(&mut self) {
        // It closes its browsers when nobody speaks to it any more.
        self.say = None;
        _ = self.node.wait();
    }
}
