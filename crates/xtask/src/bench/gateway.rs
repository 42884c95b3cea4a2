//! restic and stead through our gateway beside the same through `restic-rest-server`, without TLS and with.
//!
//! One corpus that cannot be compressed; each server has a directory of its own on the disk below and is started anew for each
//! run. The gateway asks for its password, hashes what comes and writes receipts; the other runs with `--no-auth`.

mod report;
mod servant;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use report::{Figure, Report};
use servant::Servant;

use super::corpus::{self, Corpus};
use super::measure;
use crate::bench::corpus::Scale;
use crate::program::{self, Outcome, at};
use crate::workspace;

/// Who receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiver {
    Gateway,
    RestServer,
}

/// How it is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Plain,
    Tls,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Backup,
    Restore,
}

/// What the words after `bench gateway` ask for.
struct Options {
    scale: Scale,
    rounds: usize,
    stead: Option<PathBuf>,
}

/// Runs the rounds and writes the page.
pub(super) fn run(words: &[&str]) -> Outcome {
    let options = Options::parse(words)?;
    let stead = options.stead.map_or_else(workspace::release_binary, Ok)?;
    let programs = [("restic", workspace::peers().join("restic")), ("stead", stead.clone())];
    let room = super::room()?;
    make_certificate(&room)?;
    let corpus = corpus::Kind::Random.make(options.scale)?;
    let mut report = Report::new(options.scale == Scale::Quick, options.rounds, &corpus, &stead)?;
    for number in 1..=options.rounds {
        for (name, program) in &programs {
            for wire in [Wire::Plain, Wire::Tls] {
                let mut receivers = [Receiver::Gateway, Receiver::RestServer];
                // Everybody is first once in a while.
                receivers.rotate_left(number % 2);
                for receiver in receivers {
                    println!("round {number} of {}: {name}, {receiver:?}, {wire:?}", options.rounds);
                    let round = Round { room: &room, stead: &stead, program, corpus: &corpus, wire, receiver };
                    report.figures.extend(round.run(name)?);
                }
            }
        }
    }
    super::clear(&room)?;
    report.publish()
}

impl Options {
    fn parse(words: &[&str]) -> Outcome<Options> {
        let is_quick = words.contains(&"--quick");
        let scale = if is_quick { Scale::Quick } else { Scale::Full };
        let mut options = Options { scale, rounds: if is_quick { 1 } else { 3 }, stead: None };
        let mut words = words.iter().filter(|word| **word != "--quick");
        while let Some(word) = words.next() {
            let value = words.next().copied();
            match (*word, value, value.and_then(|value| value.parse().ok())) {
                ("--rounds", _, Some(rounds @ 1..)) => options.rounds = rounds,
                ("--stead", Some(path), _) => options.stead = Some(path.into()),
                _ => {
                    return Err(format!(
                        "do not know `{word}`: bench gateway [--quick] [--rounds N] [--stead PROGRAM]"
                    ));
                }
            }
        }
        Ok(options)
    }
}

/// An authority, and a certificate of it for this machine.
fn make_certificate(room: &Path) -> Outcome {
    let names = room.join("names.cnf");
    at(&names, std::fs::write(&names, "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n"))?;
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for words in [
        format!("openssl req -x509 {key} -days 30 -subj /CN=authority -keyout authority.key -out authority.pem"),
        format!("openssl req -new {key} -subj /CN=bench -keyout key.pem -out bench.csr"),
        "openssl x509 -req -in bench.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 30 \
         -extfile names.cnf -out certificate.pem"
            .into(),
    ] {
        program::output(program::command(words.split_whitespace()).current_dir(room))?;
    }
    Ok(())
}

/// One program, one server, one repository.
struct Round<'r> {
    room: &'r Path,
    stead: &'r Path,
    program: &'r Path,
    corpus: &'r Corpus,
    wire: Wire,
    receiver: Receiver,
}

impl Round<'_> {
    fn run(&self, name: &'static str) -> Outcome<Vec<Figure>> {
        let room = self.room.join("round");
        let target = room.join("target");
        program::run(program::command(["mkdir", "-p"]).arg(&target))?;
        let servant = Servant::start(self.stead, self.receiver, self.wire, self.room, &room)?;
        program::run(self.command(&servant, &room, &["init", "-q"]).stdout(Stdio::null()))?;
        let mut backup = self.command(&servant, &room, &["backup", "-q"]);
        let backed_up = measure::run(backup.arg(&self.corpus.folder), &room)?;
        let mut restore = self.command(&servant, &room, &["restore", "-q", "latest", "--target"]);
        let restored = measure::run(restore.arg(&target), &room)?;
        drop(servant);
        let found = program::output(Command::new("find").arg(&target).args(["-type", "f", "-printf", "x"]))?;
        if found.len() as u64 != self.corpus.files {
            return Err(format!("{} of {} files were restored", found.len(), self.corpus.files));
        }
        super::clear(&room)?;
        println!("  backup {:.2} s, restore {:.2} s", backed_up.wall, restored.wall);
        let figure = |step, cost| Figure { program: name, receiver: self.receiver, wire: self.wire, step, cost };
        Ok(vec![figure(Step::Backup, backed_up), figure(Step::Restore, restored)])
    }

    fn command(&self, servant: &Servant, room: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command.env("RESTIC_REPOSITORY", servant.location()).env("RESTIC_PASSWORD", "benchmark");
        for variable in ["HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"] {
            command.env(variable, room.join("home"));
        }
        if self.wire == Wire::Tls {
            command.arg("--cacert").arg(self.room.join("authority.pem"));
        }
        command.args(words);
        command
    }
}
