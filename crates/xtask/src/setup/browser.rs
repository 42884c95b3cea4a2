//! What drives Chromium in tests of the pages: playwright-core and axe-core, from Node's index, in a folder beside the peers.

use std::fs;
use std::path::PathBuf;

use crate::program::{self, Outcome, at};
use crate::workspace;

const PACKAGES: [(&str, &str); 2] = [("playwright-core", "1.65.1"), ("axe-core", "4.14.1")];

/// Names of those that are not there.
pub(super) fn missing() -> Vec<&'static str> {
    let is_missing = |(name, _): &&(&str, &str)| !room().join("node_modules").join(name).exists();
    PACKAGES.iter().filter(is_missing).map(|(name, _)| *name).collect()
}

/// Debian's Node, where no other is installed: it has npm in a package of its own.
const NODE: [&str; 2] = ["nodejs", "npm"];

/// Installs them if any is missing, and Node first where there is none.
pub(super) fn install() -> Outcome {
    if missing().is_empty() {
        return Ok(());
    }
    if program::output(&mut program::command(["npm", "--version"])).is_err() {
        super::install_packages(&NODE)?;
    }
    println!("setup: playwright-core and axe-core");
    at(&room(), fs::create_dir_all(room()))?;
    let words = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    let packages = PACKAGES.map(|(name, version)| format!("{name}@{version}"));
    program::output(program::command(words).args(packages).arg("--prefix").arg(room())).map(drop)
}

fn room() -> PathBuf {
    workspace::peers().with_file_name("browser")
}
