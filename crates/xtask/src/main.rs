//! `cargo xtask`: everything about this workspace that Cargo does not do by itself.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that talks to developers")]

mod arrows;
mod bench;
mod docs;
mod failures;
mod package;
mod program;
mod setup;
mod tests;
mod tidy;
mod workspace;

use std::process::ExitCode;

use program::Outcome;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  setup                  install what tests and benchmarks need (as root on Debian); quick when all is there
  test [--all]           run every test; --all: more kills, longer fuzzing
  tidy                   file sizes, leftovers, machine paths, changelog form, reference pages up to date
  docs [--check]         write docs/reference from the command line's own help, or only compare
  package [--program FILE]  a Debian package of the release build, or of this program, in target/debian
          [--into FOLDER] [--quick]   somewhere else; compressed less
  bench [--quick]        stead, restic, rustic and borg side by side; table and picture in docs/performance
        [--only CORPUS]  one of: source, random, tiny
        [--programs A,B] only these; others are left out
        [--rounds N]     default 3, with --quick 1
  bench disks [--quick]  images of a disk beside restic, partclone and dd (as root); page in docs/performance
  bench gateway [--quick] restic and stead through the gateway beside restic-rest-server; page in docs/performance
  bench up [--program FILE] `stead up` from the command to the first finished backup of 100 MB and its page
  bench --instructions   instructions of the hot loops, counted by valgrind; page in docs/performance
  bench --blobs N        a repository of N blobs: time to open it, anonymous memory of a backup into it
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Outcome {
    match words {
        ["setup"] => setup::install(),
        ["test"] => tests::run(tests::Extent::Usual),
        ["test", "--all"] => tests::run(tests::Extent::All),
        ["tidy"] => tidy::report(),
        ["docs"] => docs::write(),
        ["docs", "--check"] => docs::check(),
        ["package", options @ ..] => package::make(options),
        ["bench", options @ ..] => bench::run(options),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(format!("do not know `{}`\n\n{USAGE}", words.join(" "))),
    }
}
