//! `stead server limit`: how much a machine's repository may take.

use fleet::MachineId;
use serde::Serialize;
use store::RepositoryRules;

use super::Site;
use crate::failure::{Doing, Outcome};
use crate::output::Output;
use crate::render::size;

/// Say how much a machine's repository may take; what is not named has no limit
///
/// The gateway holds to it from the next request on.
///
/// Example: stead server limit 0198c2e0-7a1b-7000-8000-0123456789ab --quota 500G --daily-bytes 20G
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The machine's identity, as its page's address shows it
    machine: MachineId,
    /// Bytes that the repository may have, such as 500G
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    quota: Option<u64>,
    /// Bytes that it may receive a day (UTC)
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    daily_bytes: Option<u64>,
    /// Snapshots that it may receive a day
    #[arg(long, value_name = "NUMBER")]
    daily_snapshots: Option<u64>,
}

#[derive(Serialize)]
struct Limited {
    message_type: &'static str,
    machine: String,
    quota: Option<u64>,
    daily_bytes: Option<u64>,
    daily_snapshots: Option<u64>,
}

impl Args {
    pub(super) async fn run(self, site: &Site, output: Output) -> Outcome {
        let Args { machine, quota, daily_bytes, daily_snapshots } = self;
        let store = site.open().await?;
        let limits = RepositoryRules { closed: false, quota, daily_bytes, daily_snapshots };
        let doing = || format!("cannot limit the repository of machine {machine}");
        store.system().limit_repository(machine, &limits).await.doing(doing)?;
        let told = machine.to_string();
        output.message(&Limited { message_type: "limited", machine: told, quota, daily_bytes, daily_snapshots })?;
        output.remark(format_args!("the limits of {machine} hold from now on"))
    }
}
