//! `stead gateway add`: a credential, shown once.

use gateway::{Holder, Limits, NewAccount, Reach, RepositoryName};
use serde::Serialize;

use super::place::{PlaceArgs, repository_name};
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::render::size;

/// Make a credential for a machine and its repository, and print it once
///
/// Until `stead gateway seal` the machine may set the repository up: write its config and its keys.
///
/// Example: stead gateway add office-pc --access gateway.json --url https://backup.example.org:8000 --quota 500G
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the account, and of the repository unless --repository names another
    name: String,
    #[command(flatten)]
    place: PlaceArgs,
    /// The repository, where several machines share one
    #[arg(long, value_name = "NAME", value_parser = repository_name)]
    repository: Option<RepositoryName>,
    /// For a keeper, who may also remove; tends all repositories, or those that --repository names
    #[arg(long, conflicts_with_all = ["quota", "daily_bytes", "daily_snapshots"])]
    keeper: bool,
    /// How machines reach the gateway
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000/", value_parser = url)]
    url: String,
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
struct Added<'a> {
    message_type: &'static str,
    account: &'a str,
    role: &'static str,
    repository: Option<&'a RepositoryName>,
    secret: &'a str,
    location: String,
}

fn url(text: &str) -> Result<String, String> {
    let (scheme, rest) = text.split_once("://").ok_or("expected http://host:port/ or https://host:port/")?;
    let good = matches!(scheme, "http" | "https") && !rest.is_empty() && !rest.contains('@');
    if good {
        Ok(format!("{scheme}://{}/", rest.trim_end_matches('/')))
    } else {
        Err(format!("`{text}` is no address"))
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let repository = match (&self.repository, self.keeper) {
            (None, true) => None,
            (None, false) => Some(repository_name(&self.name).map_err(Failure::new)?),
            (Some(repository), _) => Some(repository.clone()),
        };
        let holder = match (&repository, self.keeper) {
            (None, _) => Holder::Keeper(Reach::All),
            (Some(tended), true) => Holder::Keeper(Reach::Only(vec![tended.clone()])),
            (Some(own), false) => Holder::Machine(own.clone()),
        };
        let secret = self.place.access().add(NewAccount { name: self.name.clone(), holder, limits: self.limits() })?;
        let shown = repository.as_ref().map_or("REPOSITORY", RepositoryName::as_str);
        let (scheme, host) = self.url.split_once("://").unwrap_or(("http", &self.url));
        let location = format!("rest:{scheme}://{}:{}@{host}{shown}/", self.name, secret.reveal());
        let output = context.output();
        output.message(&Added {
            message_type: "gateway_account",
            account: &self.name,
            role: if self.keeper { "keeper" } else { "machine" },
            repository: repository.as_ref(),
            secret: secret.reveal(),
            location: location.clone(),
        })?;
        let verb = if self.keeper { "snapshots" } else { "init" };
        output.result(format_args!("restic -r {location} {verb}"))?;
        output.remark("\nThis is shown once: the gateway keeps only a hash of the password.")
    }

    /// Limits that were given; none leaves those that the repository has.
    fn limits(&self) -> Option<Limits> {
        let limits =
            Limits { stored_bytes: self.quota, daily_bytes: self.daily_bytes, daily_snapshots: self.daily_snapshots };
        (limits != Limits::default()).then_some(limits)
    }
}
