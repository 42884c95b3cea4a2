//! One contender, one corpus, one new repository: all steps in order.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::contender::{Contender, Places, Step};
use super::corpus::Corpus;
use super::measure::{self, Cost};
use crate::program::{self, Outcome, at};

/// A measured step.
pub(super) struct Figure {
    pub(super) corpus: &'static str,
    pub(super) program: &'static str,
    pub(super) step: Step,
    pub(super) cost: Cost,
    /// Bytes of the repository's folder afterwards.
    pub(super) repository: u64,
}

/// Runs every step in an empty folder, which is emptied in the end.
pub(super) fn run(contender: &Contender, corpus: &Corpus, room: &Path) -> Outcome<Vec<Figure>> {
    let [repository, target, home] = ["repository", "target", "home"].map(|name| room.join(name));
    for folder in [&target, &home] {
        at(folder, fs::create_dir_all(folder))?;
    }
    let places =
        Places { repository: &repository, source: &corpus.folder, half: &corpus.half, target: &target, home: &home };
    let mut figures = Vec::new();
    for step in Step::ALL {
        let cost = measure::run(&contender.command(step, &places), room)?;
        if let Some(title) = step.title() {
            let stored = bytes_in(&repository)?;
            tell(title, &cost, stored);
            let (corpus, program) = (corpus.name, contender.name());
            figures.push(Figure { corpus, program, step, cost, repository: stored });
        }
        if step == Step::Restore {
            check_restored(corpus, &target)?;
        }
    }
    program::run(Command::new("rm").arg("-rf").arg(room))?;
    Ok(figures)
}

fn tell(title: &str, cost: &Cost, stored: u64) {
    let (memory, stored) = (cost.memory >> 20, stored >> 20);
    println!("  {title:<28}{:>8.2} s {:>8.2} s cpu {memory:>6} MiB   repository {stored:>6} MiB", cost.wall, cost.cpu);
}

/// A fast restore that restores nothing would win: the number of files must be right. Then makes room.
fn check_restored(corpus: &Corpus, target: &Path) -> Outcome {
    let listing = program::output(Command::new("find").arg(target).args(["-type", "f", "-printf", "x"]))?;
    if listing.len() as u64 != corpus.files {
        return Err(format!("{} files were restored, {} were backed up", listing.len(), corpus.files));
    }
    program::run(Command::new("find").arg(target).args(["-mindepth", "1", "-delete"]))
}

fn bytes_in(folder: &Path) -> Outcome<u64> {
    let said = program::output(Command::new("du").args(["-s", "--block-size=1", "--apparent-size"]).arg(folder))?;
    let first = said.split_whitespace().next().and_then(|word| word.parse().ok());
    first.ok_or_else(|| format!("du said `{said}`"))
}
