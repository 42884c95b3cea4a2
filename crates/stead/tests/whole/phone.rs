//! A phone: Chromium of 390 by 844 points that is touched, by a script that counts.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use testkit::peer;

/// A browser.
pub(crate) struct Phone {
    room: PathBuf,
}

impl Phone {
    /// The one that `cargo xtask setup` installs; none is a skip.
    pub(crate) fn find() -> Option<Phone> {
        let room = peer::folder().with_file_name("browser");
        let is_there = room.join("node_modules/playwright-core").exists() && Path::new("/usr/bin/chromium").exists();
        if !is_there {
            peer::skip("no browser; run `cargo xtask setup`");
            return None;
        }
        Some(Phone { room })
    }

    /// Signs in by the one-time link, and does what a person does whose files are missing; what it took.
    pub(crate) fn puts_back(&self, link: &str, lost: &[&str], pictures: &Path) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/whole/three_taps.mjs");
        let mut node = Command::new("node");
        node.arg(script).arg(link).arg(pictures).args(lost).env("STEAD_BROWSER", &self.room);
        let output = node.output().expect("node runs");
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}
