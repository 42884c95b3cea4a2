//! `stead gateway`: repositories of many machines on one storage, over restic's REST protocol.

mod add;
mod books;
pub(crate) mod gate;
mod list;
pub(crate) mod place;
mod run;
mod scrub;
mod scrubs;
mod seal;
mod serve;

use crate::failure::Outcome;
use crate::open::Context;

/// Keep repositories of other machines: append-only, with a credential each
///
/// Machines speak restic's REST protocol: restic, rustic and stead back up to it. A machine's credential adds and reads; it
/// removes nothing, overwrites nothing and sees no other repository. What was received when is written down by the gateway's
/// own clock.
///
/// Example: stead gateway add office-pc --access gateway.json
///          stead gateway serve --data /srv/backups --access gateway.json
///          stead gateway seal office-pc --access gateway.json
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Serve(serve::Args),
    Run(Box<run::Args>),
    Add(add::Args),
    Seal(seal::Args),
    List(list::Args),
    Scrub(scrub::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        match self.verb {
            Verb::Serve(args) => args.run(context),
            Verb::Run(args) => args.run(context),
            Verb::Add(args) => args.run(context),
            Verb::Seal(args) => args.run(context),
            Verb::List(args) => args.run(context),
            Verb::Scrub(args) => args.run(context),
        }
    }
}
