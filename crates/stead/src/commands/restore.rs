//! `stead restore`: write a snapshot's files out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use files::pattern::{Case, PatternList};
use files::restore::{self, Action, Observer, Options, Overwrite, Plan, Progress, Selection, Summary};
use repo::node::Node;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output::Output;
use crate::patterns::{ExcludeArgs, IncludeArgs, Patterns};
use crate::render::live::{Live, Picture};
use crate::render::snapshots::sentence;
use crate::render::table::printable;
use crate::render::{progress, size, time};
use crate::select::{self, FilterArgs};

/// Write a snapshot's files out
///
/// Only what differs is written, so a restore that was interrupted goes on where it ended when it is run again.
///
/// Example: stead restore latest --target /tmp/restored --include '*.docx'
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which snapshot: `latest`, or the start of an id; ID:FOLDER for a folder of it
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
    /// Directory to restore into; it is made if it is missing
    #[arg(short, long, value_name = "DIRECTORY")]
    target: Option<PathBuf>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    exclude: ExcludeArgs,
    #[command(flatten)]
    include: IncludeArgs,
    /// What happens to existing files that differ: always, if-changed, if-newer, never
    #[arg(long, value_name = "WHEN", default_value = "always", value_parser = overwrite)]
    overwrite: Overwrite,
    /// Remove from the target what the snapshot does not have
    #[arg(long)]
    delete: bool,
    /// Only show what would be done
    #[arg(long)]
    dry_run: bool,
    /// Read every restored file back and compare it with the snapshot
    #[arg(long)]
    verify: bool,
    /// Leave holes where files are zero
    #[arg(long)]
    sparse: bool,
    /// Give files to the users and groups of the same name, not of the same number
    #[arg(long)]
    ownership_by_name: bool,
    /// Leave out extended attributes whose name matches (may be repeated)
    #[arg(long, value_name = "PATTERN", conflicts_with = "include_xattr")]
    exclude_xattr: Vec<String>,
    /// Restore only extended attributes whose name matches (may be repeated)
    #[arg(long, value_name = "PATTERN")]
    include_xattr: Vec<String>,
}

fn overwrite(text: &str) -> Result<Overwrite, String> {
    match text {
        "always" => Ok(Overwrite::Always),
        "if-changed" => Ok(Overwrite::IfChanged),
        "if-newer" => Ok(Overwrite::IfNewer),
        "never" => Ok(Overwrite::Never),
        _ => Err(format!("`{text}` is not one of always, if-changed, if-newer, never")),
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let target = self.target.clone().ok_or_else(|| {
            Failure::new("where to? A directory is missing")
                .hint("name it with `--target`; it may be empty or not exist")
        })?;
        let rules = Rules::new(&self)?;
        self.refuse_dangerous(&target, &rules)?;
        let opened = context.open_shared()?;
        let found = opened.repo.find_snapshot(&self.snapshot, &self.filter.filter())?;
        let root = select::root(&opened.repo, &found)?;
        opened.repo.index()?;
        let verb = if self.dry_run { "would restore" } else { "restoring" };
        output.remark(format_args!("{verb} {} to {}", sentence(found.id, &found.snapshot), target.display()))?;
        let (summary, elapsed) = self.restore(context, &opened.repo, &root, &target, &rules)?;
        report(output, &summary, elapsed)?;
        if self.verify {
            output.remark(format_args!("{} files were read back and are right", summary.files_verified))?;
        }
        opened.close(output);
        match summary.errors {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} items could not be restored as the snapshot has them"))
                .hint("they are named above; run the command again to try only them")),
        }
    }

    fn refuse_dangerous(&self, target: &Path, rules: &Rules) -> Outcome {
        if self.delete && target == Path::new("/") && rules.include.is_empty() {
            return Err(Failure::new("`--delete` with the root directory as target needs --include"));
        }
        Ok(())
    }

    fn restore(
        &self,
        context: &Context,
        repo: &repo::Repository,
        root: &repo::Id,
        target: &Path,
        rules: &Rules,
    ) -> Outcome<(Summary, Duration)> {
        let accounts = platform::Accounts::load();
        let owner =
            |node: &Node| (accounts.uid(&node.user).unwrap_or(node.uid), accounts.gid(&node.group).unwrap_or(node.gid));
        let select = |path: &[u8], is_directory: bool| rules.select(path, is_directory);
        let attributes = |name: &str| rules.takes_attribute(name);
        let options = Options {
            overwrite: self.overwrite,
            delete: self.delete,
            dry_run: self.dry_run,
            verify: self.verify,
            sparse: self.sparse,
            select: &select,
            attributes: &attributes,
            owner: self.ownership_by_name.then_some(&owner),
            threads: None,
        };
        let (figures, start) = (Arc::new(Progress::default()), Instant::now());
        let plan = restore::plan(repo, root, target, &options)?;
        tell_plan(context.output(), &plan, self.dry_run)?;
        let live = Live::show(&context.settings, Arc::new(RestorePicture(Arc::clone(&figures))));
        let told = Told { output: context.output(), live: &live };
        let summary = plan.execute(&figures, &told)?;
        Ok((summary, start.elapsed()))
    }
}

/// Says what cannot be undone before it is done.
fn tell_plan(output: Output, plan: &Plan<'_>, dry_run: bool) -> Outcome {
    let items = plan.deletions().len();
    if items == 0 {
        return Ok(());
    }
    let bytes = size::bytes(plan.deletions().map(|deletion| deletion.size).sum());
    let verb = if dry_run { "would be" } else { "will be" };
    output.remark(format_args!("{items} items ({bytes}) that the snapshot does not have {verb} deleted"))
}

/// What is to be restored.
struct Rules {
    exclude: Patterns,
    include: Patterns,
    exclude_attributes: PatternList,
    include_attributes: PatternList,
}

impl Rules {
    fn new(args: &Args) -> Outcome<Rules> {
        let (exclude, include) = (args.exclude.patterns()?, args.include.patterns()?);
        if !exclude.is_empty() && !include.is_empty() {
            return Err(Failure::new("exclude and include patterns are mutually exclusive"));
        }
        Ok(Rules {
            exclude,
            include,
            exclude_attributes: PatternList::new(&args.exclude_xattr, Case::Sensitive)?,
            include_attributes: PatternList::new(&args.include_xattr, Case::Sensitive)?,
        })
    }

    fn select(&self, path: &[u8], is_directory: bool) -> Selection {
        if !self.include.is_empty() {
            let (itself, below) = (self.include.matches(path), self.include.may_match_below(path));
            return Selection { itself, below: is_directory && below };
        }
        let itself = self.exclude.is_empty() || !self.exclude.matches(path);
        Selection { itself, below: itself }
    }

    fn takes_attribute(&self, name: &str) -> bool {
        let path = format!("/{name}");
        let included = self.include_attributes.is_empty() || self.include_attributes.matches(path.as_bytes());
        let excluded = self.exclude_attributes.matches(path.as_bytes());
        included && !excluded
    }
}

/// Tells what happens to single items.
struct Told<'l> {
    output: Output,
    live: &'l Live,
}

impl Observer for Told<'_> {
    fn item(&self, path: &[u8], action: Action, size: u64) {
        let word = match action {
            Action::Restored => "restored",
            Action::Updated => "updated",
            Action::Unchanged => "unchanged",
            Action::Deleted => "deleted",
        };
        let item = String::from_utf8_lossy(path);
        if self.output.is_json() {
            let message = json!({ "message_type": "verbose_status", "action": word, "item": item, "size": size });
            // If standard output is gone, the end of the command tells.
            _ = self.output.message(&message);
            return;
        }
        let amount = if size > 0 { format!(" with size {}", size::bytes(size)) } else { String::new() };
        self.live.above(|| drop(self.output.remark(format_args!("{word:<9} {}{amount}", printable(&item)))));
    }

    fn wants_items(&self) -> bool {
        self.output.level >= 3
    }

    fn failed(&self, error: &restore::ItemError) {
        let item = String::from_utf8_lossy(&error.path);
        let words = format!("cannot {} {}: {}", error.action, printable(&item), error.cause);
        if self.output.is_json() {
            let error = json!({ "message": words });
            return self.output.error_message(&json!({
                "message_type": "error", "error": error, "during": "restore", "item": item,
            }));
        }
        self.live.above(|| self.output.warn(words));
    }
}

struct RestorePicture(Arc<Progress>);

impl Picture for RestorePicture {
    fn lines(&self, elapsed: Duration, _width: usize) -> Vec<String> {
        let figures = self.0.summary();
        let done = figures.bytes_restored + figures.bytes_skipped;
        let files = figures.files_restored + figures.files_skipped;
        let clock = time::clock(elapsed.as_secs());
        if !self.0.is_total_known() {
            return vec![format!("[{clock}] {files} files/dirs {}, looking for more", size::bytes(done))];
        }
        let percent = size::percent(done, figures.total_bytes);
        let rate = progress::rate(done, elapsed.as_secs_f64());
        let left = crate::render::live::remaining(done, figures.total_bytes, elapsed);
        let left = left.map(|seconds| format!(", {} left", time::clock(seconds))).unwrap_or_default();
        let (of_files, of_bytes) = (figures.total_files, size::bytes(figures.total_bytes));
        vec![format!(
            "[{clock}] {percent} {rate}{left}  {files}/{of_files} files/dirs {}/{of_bytes}",
            size::bytes(done)
        )]
    }

    fn message(&self, elapsed: Duration) -> serde_json::Value {
        let figures = self.0.summary();
        let mut message = json!({ "message_type": "status", "percent_done": share(&figures) });
        add(&mut message, "seconds_elapsed", elapsed.as_secs());
        add_figures(&mut message, &figures);
        message
    }
}

fn share(figures: &Summary) -> f64 {
    let done = figures.bytes_restored + figures.bytes_skipped;
    if figures.total_bytes == 0 { 0.0 } else { done as f64 / figures.total_bytes as f64 }
}

/// restic leaves figures out that are zero.
fn add(message: &mut serde_json::Value, name: &str, figure: u64) {
    if figure > 0 {
        message[name] = figure.into();
    }
}

fn add_figures(message: &mut serde_json::Value, figures: &Summary) {
    add(message, "total_files", figures.total_files);
    add(message, "files_restored", figures.files_restored);
    add(message, "files_skipped", figures.files_skipped);
    add(message, "files_deleted", figures.files_deleted);
    add(message, "total_bytes", figures.total_bytes);
    add(message, "bytes_restored", figures.bytes_restored);
    add(message, "bytes_skipped", figures.bytes_skipped);
}

fn report(output: Output, summary: &Summary, elapsed: Duration) -> Outcome {
    let mut message = json!({ "message_type": "summary" });
    add(&mut message, "seconds_elapsed", elapsed.as_secs());
    add_figures(&mut message, summary);
    output.message(&message)?;
    let (files, bytes) = (summary.files_restored, size::bytes(summary.bytes_restored));
    let mut words = format!("Summary: Restored {files} files/dirs ({bytes}) in {}", time::clock(elapsed.as_secs()));
    if summary.files_skipped > 0 {
        let (files, bytes) = (summary.files_skipped, size::bytes(summary.bytes_skipped));
        words.push_str(&format!(", skipped {files} files/dirs {bytes}"));
    }
    if summary.files_deleted > 0 {
        words.push_str(&format!(", deleted {} files/dirs", summary.files_deleted));
    }
    output.remark(words)
}
