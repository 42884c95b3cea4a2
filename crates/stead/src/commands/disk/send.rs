//! `stead disk send`: what waits in a spool goes to the repository.

use std::path::PathBuf;

use super::spool::{send_all, tell, usual};
use crate::failure::{Failure, Outcome};
use crate::open::Context;

/// Send images that wait in a spool to the repository
///
/// It may be cut off and run again as often as needed: what the repository has is not sent again. A snapshot appears when
/// everything that it needs is there; then it leaves the spool.
///
/// Example: stead disk send --spool /mnt/stick
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// The directory that `stead disk backup --spool` was given [default: `spool` below the state directory]
    #[arg(long, value_name = "DIRECTORY")]
    spool: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let directory =
            self.spool.or_else(usual).ok_or_else(|| Failure::new("there is no spool: name it with --spool"))?;
        if !directory.is_dir() {
            let why = format!("there is no spool at {}", directory.display());
            return Err(Failure::new(why).hint("name the directory that `stead disk backup --spool` was given"));
        }
        let spooled = context.open_spooled(&directory, None)?;
        let sent = send_all(context, &directory, &spooled)?;
        tell(context.output(), &directory, &sent)
    }
}
