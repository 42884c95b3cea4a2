//! stead, restic, rustic and borg side by side on the same corpora, in turn, with the default settings of each.
//!
//! Page cache warm, repository on the same disk, caches and home of each run its own and new. The median of the rounds counts.

mod blobs;
mod contender;
mod corpus;
mod disks;
mod fleet;
mod floor;
mod gateway;
mod instructions;
mod measure;
mod picture;
mod report;
mod round;
mod up;

use std::fs;
use std::path::PathBuf;

use contender::Contender;
use corpus::Scale;
use report::Report;

use crate::program::{self, Outcome, at};
use crate::workspace;

/// What the words after `bench` ask for.
struct Options {
    scale: Scale,
    rounds: usize,
    only: Option<String>,
    programs: Option<Vec<String>>,
    blobs: Option<u64>,
    instructions: bool,
}

/// Runs what is asked for and writes the report.
pub(crate) fn run(words: &[&str]) -> Outcome {
    if let ["disks", words @ ..] = words {
        return disks::run(words);
    }
    if let ["gateway", words @ ..] = words {
        return gateway::run(words);
    }
    if let ["fleet", words @ ..] = words {
        return fleet::run(words);
    }
    if let ["up", words @ ..] = words {
        return up::run(words);
    }
    let options = Options::parse(words)?;
    match options.blobs {
        Some(count) => blobs::run(count),
        None if options.instructions => instructions::run(),
        None => compare(&options),
    }
}

fn compare(options: &Options) -> Outcome {
    let contenders = contenders(options)?;
    let mut report = Report::new(options.scale, options.rounds, contenders.iter().map(Contender::version).collect());
    if options.invites("stead") {
        report.floor = floor::measure()?;
    }
    for kind in corpus::KINDS.into_iter().filter(|kind| options.wants(kind.name())) {
        let corpus = kind.make(options.scale)?;
        println!("{}: {} files, {:.2} GB", corpus.name, corpus.files, corpus.bytes as f64 / 1e9);
        report.tools.extend(floor::tools(&corpus)?);
        for number in 1..=options.rounds {
            // Everybody is first once in a while, so that a machine that slows down hits all alike.
            for turn in 0..contenders.len() {
                let contender = &contenders[(turn + number - 1) % contenders.len()];
                println!("{}: {} (round {number} of {})", corpus.name, contender.name(), options.rounds);
                report.figures.extend(round::run(contender, &corpus, &room()?)?);
            }
        }
    }
    report.publish()
}

/// The programs that can be had; who is asked for by name and is not there is an error.
fn contenders(options: &Options) -> Outcome<Vec<Contender>> {
    let stead = if options.invites("stead") { workspace::release_binary()? } else { PathBuf::new() };
    let mut found = Vec::new();
    for contender in Contender::all(&stead).into_iter().filter(|contender| options.invites(contender.name())) {
        match contender.path().exists() {
            true => found.push(contender),
            false if options.programs.is_none() => println!("left out: {}, see `xtask setup`", contender.name()),
            false => return Err(format!("no {} here; `cargo xtask setup`", contender.name())),
        }
    }
    Ok(found)
}

/// An empty folder on the disk of the corpora for one contender's round.
fn room() -> Outcome<PathBuf> {
    let room = workspace::target().join("bench-room");
    clear(&room)?;
    at(&room, fs::create_dir_all(&room))?;
    Ok(room)
}

/// Removes a folder if it is there.
fn clear(folder: &PathBuf) -> Outcome {
    match folder.exists() {
        true => program::run(program::command(["rm", "-rf"]).arg(folder)),
        false => Ok(()),
    }
}

impl Options {
    fn parse(words: &[&str]) -> Outcome<Options> {
        let scale = if words.contains(&"--quick") { Scale::Quick } else { Scale::Full };
        let instructions = words.contains(&"--instructions");
        let rounds = if scale == Scale::Quick { 1 } else { 3 };
        let mut options = Options { scale, rounds, only: None, programs: None, blobs: None, instructions };
        let mut words = words.iter().filter(|word| !["--quick", "--instructions"].contains(word));
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            let number = || value.parse::<u64>().map_err(|_| format!("{word}: `{value}` is not a number"));
            match *word {
                "--rounds" => options.rounds = number()?.max(1) as usize,
                "--blobs" => options.blobs = Some(number()?),
                "--only" => options.only = Some((*value).to_owned()),
                "--programs" => options.programs = Some(value.split(',').map(str::to_owned).collect()),
                _ => return Err(format!("do not know `{word}`")),
            }
        }
        Ok(options)
    }

    /// True if a program takes part.
    fn invites(&self, program: &str) -> bool {
        self.programs.as_ref().is_none_or(|programs| programs.iter().any(|name| name == program))
    }

    /// True if a corpus is used.
    fn wants(&self, corpus: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == corpus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        let options = Options::parse(&["--quick", "--programs", "stead,restic", "--only", "tiny"]).unwrap();
        assert_eq!((options.rounds, options.wants("tiny"), options.wants("random")), (1, true, false));
        assert!(options.invites("restic") && !options.invites("borg"));
        assert_eq!(Options::parse(&["--blobs", "10000000"]).unwrap().blobs, Some(10_000_000));
        assert_eq!(Options::parse(&[]).unwrap().rounds, 3);
        for bad in [&["--blobs"][..], &["--blobs", "x"], &["--fast", "1"]] {
            assert!(Options::parse(bad).is_err(), "{bad:?}");
        }
    }
}
