//! `stead backup`: files of this machine become a snapshot.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use files::backup::{self, BackupOptions, CheckpointPolicy, CommandOutput, Outcome as Backed, Source, Stream};
use files::exclude::{Excludes, Marker};
use files::listing;
use files::metadata::Ignore;
use files::parent::ParentChoice;
use repo::retention::GroupBy;
use repo::snapshot::SnapshotFilter;
use serde_json::json;

use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::global::chosen;
use crate::open::{Context, Opened, Writes};
use crate::output::Output;
use crate::patterns::{ExcludeArgs, Patterns, read_file};
use crate::render::backup::{BackupPicture, BackupWatch, Scan};
use crate::render::live::Live;
use crate::render::{size, time};
use crate::select::all_tags;

/// Back up files and folders
///
/// Where no repository is named with -r, one below your data directory is used, and made on first use.
///
/// Examples: stead backup ~/Documents
///           stead backup -r sftp:nas:/backup --exclude-caches --one-file-system /home /etc
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// What to back up, with everything below it; with --stdin-from-command, the command
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    #[command(flatten)]
    exclude: ExcludeArgs,
    #[command(flatten)]
    leave_out: LeaveOutArgs,
    #[command(flatten)]
    lists: ListArgs,
    #[command(flatten)]
    stream: StreamArgs,
    #[command(flatten)]
    snapshot: SnapshotArgs,
    #[command(flatten)]
    how: HowArgs,
}

#[derive(clap::Args)]
struct LeaveOutArgs {
    /// Leave out directories that are marked as caches by a CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,
    /// Leave out directories that hold such a file, of which only that file stays (may be repeated)
    #[arg(long, value_name = "NAME[:HEADER]")]
    exclude_if_present: Vec<OsString>,
    /// Leave out files larger than this, such as 500M
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    exclude_larger_than: Option<u64>,
    /// Stay on the file system of each path
    #[arg(short = 'x', long)]
    one_file_system: bool,
}

#[derive(clap::Args)]
struct ListArgs {
    /// Read paths from a file, one pattern a line (`-` for standard input)
    #[arg(long, value_name = "FILE")]
    files_from: Vec<PathBuf>,
    /// Read paths from a file, one a line, taken as they are
    #[arg(long, value_name = "FILE")]
    files_from_verbatim: Vec<PathBuf>,
    /// Read paths from a file, each ended by a zero byte
    #[arg(long, value_name = "FILE")]
    files_from_raw: Vec<PathBuf>,
}

#[derive(clap::Args)]
struct StreamArgs {
    /// Back up what comes in on standard input, as one file
    #[arg(long, conflicts_with = "stdin_from_command")]
    stdin: bool,
    /// Run a command and back up what it prints; no snapshot if it fails
    #[arg(long)]
    stdin_from_command: bool,
    /// The name of that file
    #[arg(long, value_name = "NAME", default_value = "stdin")]
    stdin_filename: OsString,
}

#[derive(clap::Args)]
struct SnapshotArgs {
    /// Tags for the snapshot (may be repeated)
    #[arg(long, value_name = "TAG[,TAG...]")]
    tag: Vec<String>,
    /// Host name for the snapshot [env: RESTIC_HOST]
    #[arg(short = 'H', long, value_name = "NAME")]
    host: Option<String>,
    /// Time of the snapshot, such as '2012-11-01 22:08:41'
    #[arg(long, value_name = "TIME")]
    time: Option<String>,
    /// Take unchanged files from this snapshot, not from the newest of the group
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "force")]
    parent: Option<String>,
    /// What the newest snapshot must have in common to be taken: host, paths and/or tags
    #[arg(short, long, value_name = "GROUP", default_value = "host,paths")]
    group_by: GroupBy,
    /// Read all files, changed or not
    #[arg(short, long)]
    force: bool,
    /// Make no snapshot if nothing has changed
    #[arg(long)]
    skip_if_unchanged: bool,
}

#[derive(clap::Args)]
struct HowArgs {
    /// Write nothing, only tell what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Do not take a new inode number (or ctime) for a change
    #[arg(long)]
    ignore_inode: bool,
    /// Do not take a new ctime for a change
    #[arg(long)]
    ignore_ctime: bool,
    /// Store times of last access, too
    #[arg(long)]
    with_atime: bool,
    /// Do not count ahead what there is
    #[arg(long)]
    no_scan: bool,
    /// How many files to read at once [env: RESTIC_READ_CONCURRENCY; default: one per processor]
    #[arg(long, value_name = "N", value_parser = concurrency)]
    read_concurrency: Option<usize>,
}

fn concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1024) => Ok(count),
        _ => Err(format!("`{text}` is no number from 1 to 1024")),
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let directory = std::env::current_dir().map_err(|error| Failure::io("find", Path::new("."), error))?;
        let source = self.source(output, &directory)?;
        let patterns = self.exclude.patterns()?;
        let excludes = self.excludes(patterns)?;
        let writes = if self.how.dry_run { Writes::Nothing } else { Writes::Snapshots };
        let opened = context.open_for_backup(writes)?;
        let options = self.options(context, &opened, &directory, excludes)?;
        let scan = if self.how.no_scan { Scan::None } else { Scan::Ahead };
        let watch = Arc::new(BackupWatch::new(output, scan));
        watch.beside(Live::show(&context.settings, Arc::new(BackupPicture(Arc::clone(&watch)))));
        let backed = backup::backup(&opened.repo, source, options, &*watch);
        watch.end();
        let backed = backed.map_err(|error| cancelled(error, output))?;
        self.report(output, &backed, watch.elapsed())?;
        opened.close(output);
        match backed.is_complete() {
            true => Ok(()),
            false => Err(Failure::incomplete("at least one source file could not be read")
                .hint("the snapshot holds everything else; what is missing is named above")),
        }
    }

    fn source(&self, output: Output, directory: &Path) -> Outcome<Source> {
        let stream = |reader: Box<dyn std::io::Read + Send>| {
            Source::Stream(Stream { name: self.stream.stdin_filename.as_bytes().to_vec(), reader })
        };
        if self.stream.stdin_from_command {
            let output = CommandOutput::start(&self.paths, Stdio::inherit());
            return Ok(stream(Box::new(output.map_err(|error| Failure::from(error).doing("cannot run the command"))?)));
        }
        let mut paths: Vec<Vec<u8>> = self.paths.iter().cloned().map(OsString::into_vec).collect();
        paths.extend(self.lists.paths(output, directory)?);
        if self.stream.stdin {
            return match paths.is_empty() {
                true => Ok(stream(Box::new(std::io::stdin()))),
                false => Err(Failure::new("--stdin and paths were both given: choose one")),
            };
        }
        if paths.is_empty() {
            return Err(
                Failure::new("nothing to back up: no path was given").hint("for example: stead backup ~/Documents")
            );
        }
        Ok(Source::Paths(paths))
    }

    fn excludes(&self, patterns: Patterns) -> Outcome<(Excludes, Vec<String>)> {
        let mut markers = Vec::new();
        if self.leave_out.exclude_caches {
            markers.push(Marker::cache_directory());
        }
        for marker in &self.leave_out.exclude_if_present {
            markers.push(Marker::parse(marker.as_bytes())?);
        }
        let excludes = Excludes {
            patterns: patterns.sensitive,
            insensitive: patterns.insensitive,
            markers,
            larger_than: self.leave_out.exclude_larger_than,
            other_file_systems: self.leave_out.one_file_system,
        };
        Ok((excludes, patterns.given))
    }

    fn options(
        &self,
        context: &Context,
        opened: &Opened,
        directory: &Path,
        (excludes, excludes_shown): (Excludes, Vec<String>),
    ) -> Outcome<BackupOptions> {
        let SnapshotArgs { tag, host, time, skip_if_unchanged, .. } = &self.snapshot;
        let now = context.now().to_zoned(jiff::tz::TimeZone::system());
        let time =
            time.as_deref().map_or(Ok(now.clone()), |text| time::parse_moment(text, &now)).map_err(Failure::new)?;
        let host = host.clone().or_else(|| environment::text("HOST")).unwrap_or_else(platform::hostname);
        Ok(BackupOptions {
            working_directory: directory.as_os_str().as_bytes().to_vec(),
            excludes,
            excludes_shown,
            own: own_directories(context, opened),
            host,
            tags: all_tags(tag),
            time,
            program_version: format!("stead {}", env!("CARGO_PKG_VERSION")),
            parent: self.parent(opened)?,
            ignore: Ignore { inode: self.how.ignore_inode, ctime: self.how.ignore_ctime },
            with_atime: self.how.with_atime,
            dry_run: self.how.dry_run,
            skip_if_unchanged: *skip_if_unchanged,
            scan: !self.how.no_scan,
            read_concurrency: chosen(self.how.read_concurrency, "READ_CONCURRENCY", concurrency)?,
            checkpoints: Some(CheckpointPolicy::default()),
            cancel: context.cancel.clone(),
        })
    }

    fn parent(&self, opened: &Opened) -> Outcome<ParentChoice> {
        if self.snapshot.force {
            return Ok(ParentChoice::Nothing);
        }
        match &self.snapshot.parent {
            Some(id) => Ok(ParentChoice::Given(opened.repo.find_snapshot(id, &SnapshotFilter::default())?.id)),
            None => Ok(ParentChoice::Newest(self.snapshot.group_by)),
        }
    }

    fn report(&self, output: Output, backed: &Backed, elapsed: std::time::Duration) -> Outcome {
        if output.is_json() {
            return output.message(&summary_message(backed, self.how.dry_run, elapsed)?);
        }
        let figures = &backed.summary;
        let row = |name: &str, new: u64, changed: u64, unmodified: u64| {
            format!("{name:<12} {new:>5} new, {changed:>5} changed, {unmodified:>5} unmodified")
        };
        output.remark(format_args!(
            "\n{}",
            row("Files:", figures.files_new, figures.files_changed, figures.files_unmodified)
        ))?;
        output.remark(row("Dirs:", figures.dirs_new, figures.dirs_changed, figures.dirs_unmodified))?;
        output.detail(format_args!("Data Blobs:  {:>5} new", figures.data_blobs))?;
        output.detail(format_args!("Tree Blobs:  {:>5} new", figures.tree_blobs))?;
        let verb = if self.how.dry_run { "Would add" } else { "Added" };
        let (added, packed) = (size::bytes(figures.data_added), size::bytes(figures.data_added_packed));
        output.remark(format_args!("{verb} to the repository: {added:<5} ({packed:<5} stored)\n"))?;
        let (files, bytes) = (figures.total_files_processed, size::bytes(figures.total_bytes_processed));
        output.remark(format_args!("processed {files} files, {bytes} in {}", time::clock(elapsed.as_secs())))?;
        match backed.snapshot {
            Some(id) => output.remark(format_args!("snapshot {} saved", id.short())),
            None if self.how.dry_run => Ok(()),
            None => output.remark("nothing has changed: no snapshot was made"),
        }
    }
}

impl ListArgs {
    fn paths(&self, output: Output, directory: &Path) -> Outcome<Vec<Vec<u8>>> {
        let mut paths = Vec::new();
        let from = directory.as_os_str().as_bytes();
        let unmatched = |pattern: &[u8]| {
            output.warn(format_args!(
                "pattern {:?} does not match any files, skipping",
                String::from_utf8_lossy(pattern)
            ));
        };
        for file in &self.files_from {
            let listed = listing::parse_patterns(&read_file(file)?, from, unmatched);
            paths.extend(listed.map_err(|error| Failure::from(error).doing(format!("cannot use {}", file.display())))?);
        }
        for file in &self.files_from_verbatim {
            paths.extend(listing::parse_verbatim(&read_file(file)?));
        }
        for file in &self.files_from_raw {
            paths.extend(listing::parse_raw(&read_file(file)?)?);
        }
        Ok(paths)
    }
}

/// Where this program keeps its own things: a backup never swallows them.
fn own_directories(context: &Context, opened: &Opened) -> Vec<PathBuf> {
    let cache = context.settings.cache.clone().or_else(environment::cache_directory);
    let own = [opened.directory.clone(), cache, environment::state_directory()];
    own.into_iter().flatten().collect()
}

/// A stop on request may have left something to go on from.
fn cancelled(error: backup::BackupError, output: Output) -> Failure {
    if let backup::BackupError::Cancelled { checkpoint: Some(id) } = &error {
        output.warn(format_args!("checkpoint {} saved: the next backup goes on from there", id.short()));
    }
    Failure::from(error)
}

fn summary_message(backed: &Backed, dry_run: bool, elapsed: std::time::Duration) -> Outcome<serde_json::Value> {
    let mut message = serde_json::to_value(&backed.summary)?;
    message["message_type"] = json!("summary");
    message["total_duration"] = json!(elapsed.as_secs_f64());
    if let Some(id) = backed.snapshot {
        message["snapshot_id"] = json!(id);
    }
    if dry_run {
        message["dry_run"] = json!(true);
    }
    Ok(message)
}
