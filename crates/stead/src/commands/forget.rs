//! `stead forget`: remove snapshots by retention rules. The plan is shown, then done as shown.

use repo::forget::{ForgetGroup, ForgetOptions, ForgetPlan, RemoveAll};
use repo::retention::{GroupBy, Policy, Quota, Span, Stored};
use repo::snapshot::SnapshotFilter;
use serde::Serialize;

use crate::commands::prune::PruneArgs;
use crate::failure::{Failure, Outcome};
use crate::open::{Context, Opened};
use crate::output::{self, Output};
use crate::render::snapshots::{Columns, Line, SnapshotJson, table};
use crate::select::{self, LongFilterArgs, split_tags};

/// Remove snapshots by retention rules
///
/// A snapshot is kept if any rule wants it; the reasons are shown. Space is freed by `prune`, or here with --prune.
///
/// Example: stead forget --keep-daily 7 --keep-weekly 5 --keep-monthly 12 --prune
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Remove exactly these snapshots
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<String>,
    #[command(flatten)]
    rules: Rules,
    #[command(flatten)]
    filter: LongFilterArgs,
    /// Apply the rules separately by host, paths and/or tags ('' for all together)
    #[arg(short, long, value_name = "GROUP", default_value = "host,paths")]
    group_by: GroupBy,
    /// Allow removing all snapshots that a filter chose
    #[arg(long)]
    unsafe_allow_remove_all: bool,
    /// Fewer columns
    #[arg(short, long)]
    compact: bool,
    /// Only show what would be removed
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Free the space if snapshots were removed
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    pruning: PruneArgs,
}

/// What to keep.
#[derive(clap::Args)]
#[command(next_help_heading = "What to keep (N may be `unlimited`, a duration looks like 1y5m7d2h)")]
struct Rules {
    /// Keep the last N snapshots
    #[arg(short = 'l', long, value_name = "N", allow_hyphen_values = true)]
    keep_last: Option<Quota>,
    /// Keep the newest of each of the last N hours that have one
    #[arg(short = 'H', long, value_name = "N", allow_hyphen_values = true)]
    keep_hourly: Option<Quota>,
    /// Keep the newest of each of the last N days that have one
    #[arg(short = 'd', long, value_name = "N", allow_hyphen_values = true)]
    keep_daily: Option<Quota>,
    /// Keep the newest of each of the last N weeks that have one
    #[arg(short = 'w', long, value_name = "N", allow_hyphen_values = true)]
    keep_weekly: Option<Quota>,
    /// Keep the newest of each of the last N months that have one
    #[arg(short = 'm', long, value_name = "N", allow_hyphen_values = true)]
    keep_monthly: Option<Quota>,
    /// Keep the newest of each of the last N quarters that have one
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    keep_quarter_yearly: Option<Quota>,
    /// Keep the newest of each of the last N half-years that have one
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    keep_half_yearly: Option<Quota>,
    /// Keep the newest of each of the last N years that have one
    #[arg(short = 'y', long, value_name = "N", allow_hyphen_values = true)]
    keep_yearly: Option<Quota>,
    /// Keep all within this duration before the newest
    #[arg(long, value_name = "DURATION")]
    keep_within: Option<Span>,
    /// Keep hourly ones within this duration before the newest
    #[arg(long, value_name = "DURATION")]
    keep_within_hourly: Option<Span>,
    /// Keep daily ones within this duration before the newest
    #[arg(long, value_name = "DURATION")]
    keep_within_daily: Option<Span>,
    /// Keep weekly ones within this duration before the newest
    #[arg(long, value_name = "DURATION")]
    keep_within_weekly: Option<Span>,
    /// Keep monthly ones within this duration before the newest
    #[arg(long, value_name = "DURATION")]
    keep_within_monthly: Option<Span>,
    /// Keep yearly ones within this duration before the newest
    #[arg(long, value_name = "DURATION")]
    keep_within_yearly: Option<Span>,
    /// Keep those that have all of these tags (may be repeated)
    #[arg(long, value_name = "TAG[,TAG...]")]
    keep_tag: Vec<String>,
}

impl Rules {
    fn policy(&self) -> Policy {
        Policy {
            last: self.keep_last.unwrap_or_default(),
            hourly: self.keep_hourly.unwrap_or_default(),
            daily: self.keep_daily.unwrap_or_default(),
            weekly: self.keep_weekly.unwrap_or_default(),
            monthly: self.keep_monthly.unwrap_or_default(),
            quarter_yearly: self.keep_quarter_yearly.unwrap_or_default(),
            half_yearly: self.keep_half_yearly.unwrap_or_default(),
            yearly: self.keep_yearly.unwrap_or_default(),
            within: self.keep_within.unwrap_or_default(),
            within_hourly: self.keep_within_hourly.unwrap_or_default(),
            within_daily: self.keep_within_daily.unwrap_or_default(),
            within_weekly: self.keep_within_weekly.unwrap_or_default(),
            within_monthly: self.keep_within_monthly.unwrap_or_default(),
            within_yearly: self.keep_within_yearly.unwrap_or_default(),
            tags: self.keep_tag.iter().map(|list| split_tags(list)).collect(),
        }
    }
}

/// A group as restic's JSON has it.
#[derive(Serialize)]
struct GroupJson<'p> {
    tags: Option<&'p [String]>,
    host: &'p str,
    paths: Option<&'p [String]>,
    keep: Option<Vec<SnapshotJson<'p>>>,
    remove: Option<Vec<SnapshotJson<'p>>>,
    reasons: Option<Vec<ReasonJson<'p>>>,
}

#[derive(Serialize)]
struct ReasonJson<'p> {
    snapshot: SnapshotJson<'p>,
    matches: &'p [String],
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let (policy, filter) = (self.rules.policy(), self.filter.filter());
        self.refuse_dangerous(&policy, &filter)?;
        let opened = if self.dry_run { context.open_for_dry_run()? } else { context.open_exclusive()? };
        let snapshots = select::several(&opened.repo, &self.ids, &filter, output)?;
        let plan = self.plan(policy, snapshots, context)?;
        let removed: Vec<String> = plan.removed().map(|id| id.short().to_string()).collect();
        if self.ids.is_empty() {
            self.show(output, &plan)?;
        }
        if self.dry_run {
            return self.show_dry_run(context, &opened, &plan, removed);
        }
        execute(&opened, output, &plan)?;
        if !self.prune || removed.is_empty() {
            return Ok(());
        }
        output.remark(format_args!("{} snapshots have been removed, running prune", removed.len()))?;
        self.pruning.prune(context, opened, &[])
    }

    /// Nothing is removed by mistake: no rules need ids, or a filter and an explicit word.
    fn refuse_dangerous(&self, policy: &Policy, filter: &SnapshotFilter) -> Outcome {
        if !self.ids.is_empty() {
            return match policy.is_empty() {
                true => Ok(()),
                false => {
                    Err(Failure::new("snapshots to remove and rules for what to keep were both given: choose one"))
                }
            };
        }
        let filtered = !(filter.hosts.is_empty() && filter.tags.is_empty() && filter.paths.is_empty());
        if self.unsafe_allow_remove_all && policy.is_empty() && !filtered {
            return Err(Failure::new("--unsafe-allow-remove-all needs a filter: --host, --tag or --path"));
        }
        Ok(())
    }

    fn plan(&self, policy: Policy, snapshots: Vec<Stored>, context: &Context) -> Outcome<ForgetPlan> {
        if !self.ids.is_empty() {
            return Ok(ForgetPlan::of(snapshots));
        }
        let remove_all = if self.unsafe_allow_remove_all { RemoveAll::Allow } else { RemoveAll::Refuse };
        let options = ForgetOptions { policy, group_by: self.group_by, remove_all, ..ForgetOptions::default() };
        ForgetPlan::by_policy(snapshots, &options, context.now()).map_err(|error| {
            Failure::from(error)
                .hint("say what to keep, for example `--keep-daily 7 --keep-weekly 5 --keep-monthly 12`")
        })
    }

    fn show(&self, output: Output, plan: &ForgetPlan) -> Outcome {
        output.message(&plan.groups.iter().map(group_json).collect::<Vec<_>>())?;
        if output.is_json() || output.level == 0 {
            return Ok(());
        }
        let policy = self.rules.policy();
        output.remark(format_args!("Applying Policy: {policy}"))?;
        for group in &plan.groups {
            if plan.groups.len() > 1 {
                output.remark(format_args!("snapshots for ({}):", group.key))?;
            }
            self.show_group(output, group)?;
        }
        Ok(())
    }

    fn show_group(&self, output: Output, group: &ForgetGroup) -> Outcome {
        if group.in_future > 0 {
            output.warn(format_args!("{} of them lie in the future: was a clock wrong?", group.in_future));
        }
        let columns = if self.compact { Columns::Compact } else { Columns::Full };
        let kept = group.keep.iter().rev().map(|kept| line(kept.id, &kept.snapshot, Some(&kept.reasons)));
        show_table(output, "keep", kept.collect(), columns)?;
        let removed = group.remove.iter().rev().map(|(id, snapshot)| line(*id, snapshot, None));
        show_table(output, "remove", removed.collect(), columns)
    }

    fn show_dry_run(&self, context: &Context, opened: &Opened, plan: &ForgetPlan, mut removed: Vec<String>) -> Outcome {
        let output = context.output();
        removed.sort();
        if !removed.is_empty() {
            output.remark(format_args!("Would have removed the following snapshots:\n{{{}}}\n", removed.join(" ")))?;
        }
        if self.prune && !removed.is_empty() {
            let gone: Vec<_> = plan.removed().collect();
            return self.pruning.show(context, opened, &gone);
        }
        Ok(())
    }
}

fn line<'s>(id: repo::Id, snapshot: &'s repo::snapshot::Snapshot, reasons: Option<&'s [String]>) -> Line<'s> {
    Line { id, snapshot, reasons }
}

fn show_table(output: Output, what: &str, lines: Vec<Line<'_>>, columns: Columns) -> Outcome {
    if lines.is_empty() {
        return Ok(());
    }
    output.remark(format_args!("{what} {} snapshots:", lines.len()))?;
    output.remark(table(&lines, columns).render(output::width()))
}

fn execute(opened: &Opened, output: Output, plan: &ForgetPlan) -> Outcome {
    let gone = std::sync::atomic::AtomicUsize::new(0);
    let result = plan.execute(&opened.repo, &|_| _ = gone.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
    let (gone, planned) = (gone.into_inner(), plan.removed().count());
    if planned > 0 {
        output.remark(format_args!("{gone} / {planned} snapshots removed"))?;
    }
    Ok(result?)
}

fn group_json(group: &ForgetGroup) -> GroupJson<'_> {
    let keep = group.keep.iter().map(|kept| SnapshotJson::new(kept.id, &kept.snapshot));
    let reasons = group
        .keep
        .iter()
        .map(|kept| ReasonJson { snapshot: SnapshotJson::new(kept.id, &kept.snapshot), matches: &kept.reasons });
    GroupJson {
        tags: some(&group.key.tags),
        host: &group.key.hostname,
        paths: some(&group.key.paths),
        keep: non_empty(keep.collect()),
        remove: non_empty(SnapshotJson::all(&group.remove)),
        reasons: non_empty(reasons.collect()),
    }
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// restic writes an empty list as null.
fn some(list: &[String]) -> Option<&[String]> {
    Some(list).filter(|list| !list.is_empty())
}
