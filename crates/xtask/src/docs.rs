//! `docs/reference`: one page per command, written by the binary from its own help, so that it cannot be out of date unnoticed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{self, Outcome, at};
use crate::{tidy, workspace};

/// Pages by file name.
type Pages = BTreeMap<String, String>;

/// Writes the pages and removes those of commands that are gone.
pub(crate) fn write() -> Outcome {
    let (folder, pages) = (reference(), generate()?);
    at(&folder, fs::create_dir_all(&folder))?;
    for name in existing(&folder)?.keys().filter(|name| !pages.contains_key(*name)) {
        at(&folder.join(name), fs::remove_file(folder.join(name)))?;
    }
    for (name, text) in &pages {
        at(&folder.join(name), fs::write(folder.join(name), text))?;
    }
    println!("docs: {} pages in {}", pages.len(), tidy::relative(&folder).display());
    Ok(())
}

/// Fails with the names of pages that differ from what the binary would write.
pub(crate) fn check() -> Outcome {
    let (there, right) = (existing(&reference())?, generate()?);
    let names = there.keys().chain(right.keys()).collect::<std::collections::BTreeSet<_>>();
    let stale: Vec<&str> =
        names.into_iter().filter(|name| there.get(*name) != right.get(*name)).map(String::as_str).collect();
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!("docs/reference is out of date ({}); run `cargo xtask docs`", stale.join(", ")))
}

fn reference() -> PathBuf {
    workspace::root().join("docs/reference")
}

/// What the binary writes today. Its debug build does: the help is the same and it is there after the tests.
fn generate() -> Outcome<Pages> {
    let room = workspace::target().join("xtask/reference");
    let _ = fs::remove_dir_all(&room);
    at(&room, fs::create_dir_all(&room))?;
    program::run(&mut workspace::cargo(["build", "--quiet", "--package", "stead", "--bin", "stead"]))?;
    let binary = workspace::target().join("debug/stead");
    program::output(std::process::Command::new(binary).args(["generate", "--markdown"]).arg(&room))?;
    existing(&room)
}

fn existing(folder: &Path) -> Outcome<Pages> {
    let mut pages = Pages::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = at(folder, entry)?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            pages.insert(name, at(&path, fs::read_to_string(&path))?);
        }
    }
    Ok(pages)
}
