//! `stead copy`: snapshots to another repository.

use repo::copy::{self, Copied};
use repo::retention::Stored;

use crate::failure::{Doing, Outcome};
use crate::open::{Context, SourceArgs};
use crate::output::Output;
use crate::render::progress::StepLine;
use crate::render::size;
use crate::render::snapshots::sentence;
use crate::select::{self, FilterArgs};

/// Copy snapshots from another repository
///
/// What was copied before is passed over.
///
/// Example: stead copy -r sftp:nas:/offsite --from-repo /backup --host laptop
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these snapshots (start of an id, or `latest`); without any, all that the filters let through
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    from: SourceArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let from = self.from.open(context)?;
        let to = context.open_to_add()?;
        let snapshots = select::several(&from.repo, &self.ids, &self.filter.filter(), output)?;
        let line = StepLine::new(output);
        let mut told = Ok(());
        let mut each = |stored: &Stored, copied| {
            if told.is_ok() {
                told = line.above(|| tell(output, stored, copied));
            }
        };
        let outcome = copy::copy(&from.repo, &to.repo, snapshots, &mut each, &line).doing(|| "cannot copy".into())?;
        drop(line);
        told?;
        to.close(output);
        from.close(output);
        let (copied, skipped) = (outcome.snapshots, outcome.skipped);
        let (blobs, bytes) = (outcome.blobs, size::bytes(outcome.bytes));
        output.remark(format_args!(
            "{copied} snapshots copied, {skipped} were there already; {blobs} blobs, {bytes} stored"
        ))
    }
}

fn tell(output: Output, (id, snapshot): &Stored, copied: Copied) -> Outcome {
    match copied {
        Copied::New(new) => {
            output.remark(format_args!("\n{}", sentence(*id, snapshot)))?;
            output.remark(format_args!("snapshot {} saved, copied from source snapshot {}", new.short(), id.short()))
        }
        Copied::Already(there) => output.detail(format_args!(
            "\n{}\nskipping source snapshot {}, was already copied to snapshot {}",
            sentence(*id, snapshot),
            id.short(),
            there.short()
        )),
    }
}
