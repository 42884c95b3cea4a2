//! Runs every test: those of all crates (arrows and tidy are tests of this one), with peers found and none silently skipped
//! where the machine is a gate.

use crate::program::{self, Outcome};
use crate::{setup, workspace};

/// How much of the long suites is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What a change needs; minutes.
    Usual,
    /// More kills, longer fuzzing, and the tests that are marked to be left out otherwise.
    All,
}

/// Sets up, then runs; the runner's own summary comes last.
pub(crate) fn run(extent: Extent) -> Outcome {
    setup::install_or_tell()?;
    program::run(&mut with_environment(extent, workspace::cargo(["test", "--workspace", "--doc", "--quiet"])))?;
    let words: &[&str] = match (program::succeeds(&mut workspace::cargo(["nextest", "--version"])), extent) {
        (true, Extent::Usual) => &["nextest", "run", "--workspace", "--no-fail-fast"],
        (true, Extent::All) => &["nextest", "run", "--workspace", "--no-fail-fast", "--run-ignored", "all"],
        (false, Extent::Usual) => &["test", "--workspace", "--all-targets", "--no-fail-fast"],
        (false, Extent::All) => &["test", "--workspace", "--all-targets", "--no-fail-fast", "--", "--include-ignored"],
    };
    program::run(&mut with_environment(extent, workspace::cargo(words.iter().copied())))
}

fn with_environment(extent: Extent, mut command: std::process::Command) -> std::process::Command {
    command.env("STEAD_PEERS", workspace::peers());
    if std::env::var_os("CI").is_some() {
        command.env("STEAD_NO_SKIP", "1");
    }
    if extent == Extent::All {
        command.env("STEAD_ROUNDS", "50").env("STEAD_ALL", "1");
        command.env("STEAD_KILLS", "2000").env("BOLERO_RANDOM_TEST_TIME_MS", "60000").env("PROPTEST_CASES", "5000");
    }
    command
}
