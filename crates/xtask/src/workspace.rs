//! Where things are: the workspace, Cargo's output, the peers, the user's home.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{self, Outcome};

/// The workspace's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// Where Cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// The folder of peers that tests look into (see `testkit::peer`).
pub(crate) fn peers() -> PathBuf {
    match std::env::var_os("STEAD_PEERS") {
        Some(folder) => folder.into(),
        None => home().join(".cache/stead-peers/bin"),
    }
}

fn home() -> PathBuf {
    std::env::var_os("HOME").unwrap_or_else(|| ".".into()).into()
}

/// The Cargo that started us, in the workspace's folder.
pub(crate) fn cargo<'w>(words: impl IntoIterator<Item = &'w str>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(words).current_dir(root());
    command
}

/// Builds the release binary of stead and gives its path.
pub(crate) fn release_binary() -> Outcome<PathBuf> {
    program::run(&mut cargo(["build", "--release", "--quiet", "--package", "stead", "--bin", "stead"]))?;
    Ok(target().join("release/stead"))
}

/// Every file that Git knows or would add, relative to the root.
pub(crate) fn files() -> Outcome<Vec<PathBuf>> {
    let git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listing = program::output(program::command(git).current_dir(root()))?;
    let names = listing.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    Ok(names.filter(|name| root().join(name).is_file()).collect())
}
