//! `stead gateway seal`: the end of a machine's enrolment.

use gateway::RepositoryName;

use super::place::{PlaceArgs, repository_name};
use crate::failure::Outcome;
use crate::open::Context;

/// End enrolment: from now on only a keeper changes the repository's config and keys
///
/// Example: stead gateway seal office-pc --access gateway.json
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The repository
    #[arg(value_parser = repository_name)]
    name: RepositoryName,
    #[command(flatten)]
    place: PlaceArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        self.place.access().seal(&self.name)?;
        context.output().remark(format_args!("{} is sealed: its config and keys are a keeper's now", self.name))
    }
}
