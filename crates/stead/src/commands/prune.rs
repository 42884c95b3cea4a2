//! `stead prune`: free the space of what no snapshot uses. The plan is shown, then done as shown.

use std::collections::HashSet;
use std::time::Duration;

use repo::Id;
use repo::prune::{self, MaxUnused, PruneOptions, PruneOutcome, PrunePlan, PruneWhen};
use serde::Serialize;

use crate::failure::{Doing, Failure, Outcome};
use crate::open::{Context, Opened};
use crate::output::Output;
use crate::render::progress::StepLine;
use crate::render::size;
use crate::render::time::parse_duration;

/// Free the space of what no snapshot uses
///
/// Example: stead prune --dry-run
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    pruning: PruneArgs,
}

/// How to prune; `forget --prune` takes the same.
#[derive(clap::Args)]
#[command(next_help_heading = "How to free space")]
pub(crate) struct PruneArgs {
    /// Leave so much unused data in place: a size such as 500M, a share such as 5%, or `unlimited`
    #[arg(long, value_name = "LIMIT", default_value = "5%", value_parser = max_unused)]
    max_unused: MaxUnused,
    /// Copy at most this much
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    max_repack_size: Option<u64>,
    /// Copy only packs of trees, which are cached on this machine
    #[arg(long)]
    repack_cacheable_only: bool,
    /// Merge packs smaller than this
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    repack_smaller_than: Option<u64>,
    /// Compress what is stored uncompressed
    #[arg(long)]
    repack_uncompressed: bool,
    /// Let others work meanwhile: what is unused is marked now and removed by a run this much later, such as 48h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    delay: Option<Duration>,
}

fn max_unused(text: &str) -> Result<MaxUnused, String> {
    if text == "unlimited" {
        return Ok(MaxUnused::Unlimited);
    }
    match text.strip_suffix('%') {
        None => size::parse(text)
            .map(MaxUnused::Bytes)
            .map_err(|_| format!("`{text}` is neither a size such as 500M, nor a share such as 5%, nor `unlimited`")),
        Some(percent) => match percent.parse() {
            Ok(percent) if (0.0..100.0).contains(&percent) => Ok(MaxUnused::Percent(percent)),
            _ => Err(format!("`{text}` is no share between 0% and 100%")),
        },
    }
}

/// restic's figures, and whether anything was done.
#[derive(Serialize)]
struct SummaryJson<'p> {
    message_type: &'static str,
    dry_run: bool,
    #[serde(flatten)]
    stats: &'p prune::PruneStats,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        if self.dry_run {
            let opened = self.pruning.open_for_dry_run(context)?;
            return self.pruning.show(context, &opened, &[]);
        }
        let opened = self.pruning.open(context)?;
        self.pruning.prune(context, opened, &[])
    }
}

impl PruneArgs {
    fn options(&self) -> PruneOptions {
        PruneOptions {
            max_unused: self.max_unused,
            max_repack: self.max_repack_size,
            repack_cacheable_only: self.repack_cacheable_only,
            repack_uncompressed: self.repack_uncompressed,
            repack_smaller_than: self.repack_smaller_than,
            when: self.delay.map_or(PruneWhen::Now, PruneWhen::Delayed),
        }
    }

    /// With a delay others may work meanwhile.
    fn open(&self, context: &Context) -> Outcome<Opened> {
        if self.delay.is_some() { context.open_to_add() } else { context.open_exclusive() }
    }

    fn open_for_dry_run(&self, context: &Context) -> Outcome<Opened> {
        if self.delay.is_some() { context.open_shared() } else { context.open_for_dry_run() }
    }

    fn plan(&self, context: &Context, opened: &Opened, gone: &[Id]) -> Outcome<PrunePlan> {
        let output = context.output();
        output.remark("finding data that is still in use")?;
        let gone: HashSet<Id> = gone.iter().copied().collect();
        let line = StepLine::new(output);
        prune::plan_without(&opened.repo, &self.options(), &gone, &line).map_err(|error| {
            let interrupted = matches!(error.root(), repo::Error::Cancelled | repo::Error::Locked { .. });
            let failure = Failure::from(error).doing("cannot plan what to prune");
            if interrupted { failure } else { failure.hint("nothing was removed; `stead check` tells what is wrong") }
        })
    }

    /// Shows what pruning would do if the snapshots `gone` were forgotten.
    pub(crate) fn show(&self, context: &Context, opened: &Opened, gone: &[Id]) -> Outcome {
        let plan = self.plan(context, opened, gone)?;
        context.output().remark("\nWould have made the following changes:")?;
        show_plan(context.output(), &plan, true)?;
        show_packs(context.output(), &plan)
    }

    /// Plans, shows and does it. `gone` are snapshots that were forgotten just now.
    pub(crate) fn prune(&self, context: &Context, opened: Opened, gone: &[Id]) -> Outcome {
        let output = context.output();
        let plan = self.plan(context, &opened, gone)?;
        show_plan(output, &plan, false)?;
        let line = StepLine::new(output);
        let outcome = prune::execute(&opened.repo, plan, &line).doing(|| "cannot prune".into())?;
        drop(line);
        show_outcome(output, &outcome)?;
        opened.close(output);
        output.remark("done")
    }
}

fn show_plan(output: Output, plan: &PrunePlan, dry_run: bool) -> Outcome {
    let prune::PruneStats { blobs, bytes, packs } = &plan.stats;
    output.message(&SummaryJson { message_type: "summary", dry_run, stats: &plan.stats })?;
    let row = |name: &str, blobs: u64, bytes: u64| format!("{name:<16} {blobs:>10} blobs / {}", size::bytes(bytes));
    if output.is_verbose() {
        output.remark(row("\nused:", blobs.used, bytes.used))?;
        output.remark(row("duplicates:", blobs.duplicate, bytes.duplicate))?;
        output.remark(row("unused:", blobs.unused, bytes.unused))?;
        output.remark(row("total:", blobs.total, bytes.total))?;
    }
    output.remark(row("\nto repack:", blobs.repack, bytes.repack))?;
    output.remark(row("this removes:", blobs.repack_remove, bytes.repack_remove))?;
    output.remark(row("to delete:", blobs.remove, bytes.remove + bytes.unreferenced))?;
    output.remark(row("total prune:", blobs.remove_total, bytes.remove_total))?;
    output.remark(row("remaining:", blobs.remaining, bytes.remaining))?;
    let share = size::percent(bytes.remaining_unused, bytes.remaining);
    let unused = size::bytes(bytes.remaining_unused);
    output.remark(format_args!("unused size after prune: {unused} ({share} of remaining size)\n"))?;
    let (keep, repack, remove) = (packs.keep, packs.repack, packs.remove_total);
    output.detail(format_args!("packs to keep: {keep}, to repack: {repack}, to delete: {remove}\n"))?;
    warn(output, plan);
    Ok(())
}

fn warn(output: Output, plan: &PrunePlan) {
    if plan.snapshots == 0 && plan.stats.packs.total > 0 {
        output.warn("there are no snapshots: all data goes");
    }
    if plan.held_back > 0 {
        let held_back = plan.held_back;
        output.warn(format_args!("{held_back} packs stay as they are until others have released their locks"));
    }
}

fn show_packs(output: Output, plan: &PrunePlan) -> Outcome {
    let names = |ids: &[Id]| ids.iter().map(|id| id.short().to_string()).collect::<Vec<_>>().join(" ");
    output.detail(format_args!("Would have repacked these packs:\n{{{}}}\n", names(&plan.repack)))?;
    let removed: Vec<Id> = plan.remove.iter().chain(&plan.unreferenced).chain(&plan.sweep).copied().collect();
    output.detail(format_args!("Would have removed these packs:\n{{{}}}\n", names(&removed)))
}

fn show_outcome(output: Output, outcome: &PruneOutcome) -> Outcome {
    for (id, error) in &outcome.not_removed {
        output.warn(format_args!("pack {} could not be removed (the next run tries again): {error}", id.short()));
    }
    if outcome.marked_packs > 0 {
        let marked = outcome.marked_packs;
        output.remark(format_args!("{marked} packs are marked; a later run with --delay removes them"))?;
    }
    output.detail(format_args!("{} packs removed", outcome.removed_packs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_a_size_a_share_or_none() {
        assert_eq!(max_unused("5%"), Ok(MaxUnused::Percent(5.0)));
        assert_eq!(max_unused("1.5%"), Ok(MaxUnused::Percent(1.5)));
        assert_eq!(max_unused("2k"), Ok(MaxUnused::Bytes(2048)));
        assert_eq!(max_unused("unlimited"), Ok(MaxUnused::Unlimited));
        for text in ["100%", "-1%", "x", ""] {
            assert!(max_unused(text).is_err(), "{text}");
        }
    }
}
