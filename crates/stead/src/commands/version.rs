//! `stead version`: which program this is.

use serde::Serialize;

use crate::environment;
use crate::failure::Outcome;
use crate::output::Output;

/// Tell which version this is
///
/// Example: stead version --json
#[derive(clap::Args)]
pub(crate) struct Args {}

/// restic's message; `go_version` is there because programs written for restic read it.
#[derive(Serialize)]
struct VersionJson {
    message_type: &'static str,
    version: &'static str,
    go_version: &'static str,
    go_os: &'static str,
    go_arch: &'static str,
}

impl Args {
    pub(crate) fn run(self, output: Output) -> Outcome {
        let (go_os, go_arch) = environment::go_platform();
        let version = env!("CARGO_PKG_VERSION");
        output.message(&VersionJson { message_type: "version", version, go_version: "none", go_os, go_arch })?;
        output.result(format_args!("stead {version} on {go_os}/{go_arch}"))
    }
}
