//! `stead ls`: what is in a snapshot.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use files::ls::{self, Listed, Ncdu, Options, Sort};
use repo::Id;
use repo::node::Node;
use repo::repository::FoundSnapshot;
use serde::Serialize;

use crate::failure::{Failure, Outcome, OutputFailed};
use crate::open::{Context, Opened};
use crate::output::{Lines, Output};
use crate::render::node::FormArgs;
use crate::render::snapshots::{SnapshotJson, sentence};
use crate::render::table::printable;
use crate::select::{self, FilterArgs};

/// List what is in a snapshot
///
/// Example: stead ls latest /home/anna --long
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which snapshot: `latest`, or the start of an id; ID:FOLDER for a folder of it
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
    /// Only what is in these absolute directories
    #[arg(value_name = "DIRECTORY")]
    directories: Vec<OsString>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    form: FormArgs,
    /// With directories: also what is deeper in them
    #[arg(long)]
    recursive: bool,
    /// Order: name, size, time (or mtime), atime, ctime, extension
    #[arg(short, long, value_name = "ORDER", default_value = "name", value_parser = sort)]
    sort: Sort,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    /// Write an export for ncdu (`ncdu -f -`)
    #[arg(long, conflicts_with_all = ["sort", "reverse"])]
    ncdu: bool,
}

fn sort(text: &str) -> Result<Sort, String> {
    match text {
        "name" => Ok(Sort::Name),
        "size" => Ok(Sort::Size),
        "time" | "mtime" => Ok(Sort::Time),
        "atime" => Ok(Sort::Atime),
        "ctime" => Ok(Sort::Ctime),
        "extension" => Ok(Sort::Extension),
        _ => Err(format!("`{text}` is not one of name, size, time, mtime, atime, ctime, extension")),
    }
}

#[derive(Serialize)]
struct SnapshotMessage<'s> {
    #[serde(flatten)]
    snapshot: SnapshotJson<'s>,
    message_type: &'static str,
    struct_type: &'static str,
}

/// Where entries go: at once, or after they have been sorted.
struct Listing<'a> {
    args: &'a Args,
    output: Output,
    lines: Lines,
    kept: Vec<(Vec<u8>, Node)>,
    unreadable: u64,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let directories = self.directories()?;
        let opened = context.open_shared()?;
        let found = opened.repo.find_snapshot(&self.snapshot, &self.filter.filter())?;
        let root = select::root(&opened.repo, &found)?;
        let folder = found.subfolder.as_deref().unwrap_or_default().trim_matches('/').to_owned();
        let path = format!("/{folder}").into_bytes();
        let options = Options { directories, recursive: self.recursive };
        opened.repo.index()?;
        if self.ncdu {
            return ncdu(&opened, &found, &root, &path, &options);
        }
        let mut listing =
            Listing { args: &self, output: context.output(), lines: Lines::new(), kept: Vec::new(), unreadable: 0 };
        listing.head(&found)?;
        ls::list(&opened.repo, &root, &path, &options, &mut |listed| listing.take(listed))?;
        listing.finish()
    }

    fn directories(&self) -> Outcome<Vec<Vec<u8>>> {
        let clean = |directory: &OsString| {
            let bytes = directory.as_bytes();
            if !bytes.starts_with(b"/") {
                let name = directory.to_string_lossy();
                return Err(Failure::new(format!("{name} is not absolute"))
                    .hint(format!("folders of a snapshot are named from the top, as in `/home/anna/{name}`")));
            }
            let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(1, |last| last + 1);
            Ok(bytes[..end].to_vec())
        };
        self.directories.iter().map(clean).collect()
    }

    fn is_sorted_by_name(&self) -> bool {
        self.sort == Sort::Name && !self.reverse
    }
}

impl Listing<'_> {
    fn head(&mut self, found: &FoundSnapshot) -> Outcome {
        if self.output.is_json() {
            let snapshot = SnapshotJson::new(found.id, &found.snapshot);
            return self.lines.message(&SnapshotMessage {
                snapshot,
                message_type: "snapshot",
                struct_type: "snapshot",
            });
        }
        if self.output.level == 0 {
            return Ok(());
        }
        let directories: Vec<_> = self.args.directories.iter().map(|directory| directory.to_string_lossy()).collect();
        let sentence = sentence(found.id, &found.snapshot);
        self.lines.line(format_args!("{sentence} filtered by [{}]:", directories.join(" ")))
    }

    fn take(&mut self, listed: Listed<'_>) -> Outcome {
        match listed {
            Listed::Node { on_the_way: true, .. } | Listed::Leave => Ok(()),
            Listed::Node { path, node, .. } if self.args.is_sorted_by_name() => self.print(path, node),
            Listed::Node { path, node, .. } => {
                self.kept.push((path.to_vec(), node.clone()));
                Ok(())
            }
            Listed::Unreadable { path, error } => {
                self.unreadable += 1;
                let path = printable(&String::from_utf8_lossy(path));
                self.output.warn(format_args!("cannot list {path}: {error}"));
                Ok(())
            }
        }
    }

    fn print(&mut self, path: &[u8], node: &Node) -> Outcome {
        if self.output.is_json() {
            self.lines.bytes(&ls::json(path, node))?;
            return self.lines.bytes(b"\n");
        }
        self.lines.line(self.args.form.line(path, node))
    }

    fn finish(mut self) -> Outcome {
        let mut kept = std::mem::take(&mut self.kept);
        let sort = self.args.sort;
        kept.sort_by(|a, b| sort.compare((&a.0, &a.1), (&b.0, &b.1)));
        if self.args.reverse {
            kept.reverse();
        }
        for (path, node) in &kept {
            self.print(path, node)?;
        }
        self.lines.finish()?;
        match self.unreadable {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} directories could not be listed"))),
        }
    }
}

fn ncdu(opened: &Opened, found: &FoundSnapshot, root: &Id, path: &[u8], options: &Options) -> Outcome {
    let snapshot = serde_json::to_vec(&found.snapshot)?;
    let mut ncdu = Ncdu::begin(Lines::new(), &snapshot).map_err(OutputFailed)?;
    ls::list(&opened.repo, root, path, options, &mut |listed| -> Outcome {
        match listed {
            Listed::Node { node, .. } => ncdu.node(node).map_err(OutputFailed)?,
            Listed::Leave => ncdu.leave().map_err(OutputFailed)?,
            Listed::Unreadable { error, .. } => return Err(error.into()),
        }
        Ok(())
    })?;
    Ok(ncdu.end().map_err(OutputFailed)?)
}
