//! `stead disk`: whole disks into a repository and back.

pub(crate) mod backup;
mod base;
mod cat;
mod cp;
mod figures;
mod hooks;
mod image;
mod job;
mod list;
mod ls;
mod own_files;
mod place;
mod plan;
mod rebuild;
mod report;
mod restore;
mod send;
mod source;
mod spool;
mod state;
mod unwatch;
mod view;
mod watch;

use crate::failure::Outcome;
use crate::open::Context;

/// Back up and restore whole disks
///
/// An image is a snapshot like any other: it is listed, checked, copied and forgotten with the same commands, and restic
/// restores it.
///
/// Example: stead disk backup /dev/sdb
///          stead disk restore latest:sdb /dev/sdc --dry-run
///          stead disk cp latest:sdb/1/etc/fstab .
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    Backup(backup::Args),
    Restore(restore::Args),
    List(list::Args),
    Send(send::Args),
    Watch(watch::Args),
    Unwatch(unwatch::Args),
    Ls(ls::Args),
    Cp(cp::Args),
    Cat(cat::Args),
    Rebuild(rebuild::Args),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        match self.verb {
            Verb::Backup(args) => args.run(context),
            Verb::Restore(args) => args.run(context),
            Verb::List(args) => args.run(context),
            Verb::Send(args) => args.run(context),
            Verb::Watch(args) => args.run(context),
            Verb::Unwatch(args) => args.run(context),
            Verb::Ls(args) => args.run(context),
            Verb::Cp(args) => args.run(context),
            Verb::Cat(args) => args.run(context),
            Verb::Rebuild(args) => args.run(context),
        }
    }
}
