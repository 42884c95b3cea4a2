//! `stead find`: where is it, and since when? By pattern, or by the id of a blob, tree or pack.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use files::find::{BlobFinder, Blobs, Finder, Found, IdKind, Wanted};
use files::ls::permissions;
use files::pattern::{Case, PatternList};
use repo::node::{Node, NodeTime};
use repo::retention::Stored;
use repo::{BlobHandle, BlobKind, Repository};
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output::Output;
use crate::render::node::FormArgs;
use crate::render::table::printable;
use crate::render::time;
use crate::select::{self, FilterArgs};

/// Find files in all snapshots
///
/// Example: stead find '*.docx' --newest 2026-03-01
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Patterns for names or paths; with --blob, --tree or --pack, ids
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<OsString>,
    /// Only in these snapshots (may be repeated)
    #[arg(short, long, value_name = "ID")]
    snapshot: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
    /// Upper and lower case alike
    #[arg(short, long)]
    ignore_case: bool,
    /// Modified then or later, such as 2026-03-01 or '2026-03-01 14:00'
    #[arg(short = 'O', long, value_name = "TIME")]
    oldest: Option<String>,
    /// Modified then or earlier
    #[arg(short = 'N', long, value_name = "TIME")]
    newest: Option<String>,
    #[command(flatten)]
    form: FormArgs,
    /// Oldest snapshot first
    #[arg(short = 'R', long)]
    reverse: bool,
    /// Find what holds data blobs with these ids
    #[arg(long, conflicts_with_all = ["tree", "pack"])]
    blob: bool,
    /// Find directories whose trees have these ids
    #[arg(long, conflicts_with = "pack")]
    tree: bool,
    /// Find what needs packs with these ids
    #[arg(long)]
    pack: bool,
    /// Also tell which pack holds a blob or tree
    #[arg(long)]
    show_pack_id: bool,
}

/// What was found in one snapshot, for JSON.
#[derive(Default)]
struct Matches(Vec<Value>);

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let output = context.output();
        let opened = context.open_shared()?;
        let mut snapshots = select::several(&opened.repo, &self.snapshot, &self.filter.filter(), output)?;
        snapshots.sort_by_cached_key(|(id, snapshot)| (snapshot.timestamp().unwrap_or_default(), *id));
        if !self.reverse {
            snapshots.reverse();
        }
        opened.repo.index()?;
        match self.blob || self.tree || self.pack {
            true => self.find_ids(&opened.repo, output, &snapshots),
            false => self.find_paths(context, &opened.repo, &snapshots),
        }
    }

    fn wanted(&self, context: &Context) -> Outcome<Wanted> {
        let now = context.now().to_zoned(jiff::tz::TimeZone::system());
        let moment = |text: &Option<String>| -> Outcome<_> {
            let parse = |text: &String| time::parse_moment(text, &now).map(|zoned| zoned.timestamp());
            text.as_ref().map(parse).transpose().map_err(Failure::new)
        };
        let case = if self.ignore_case { Case::Insensitive } else { Case::Sensitive };
        let patterns = PatternList::new(self.patterns.iter().map(|pattern| pattern.as_bytes()), case)?;
        Ok(Wanted { patterns, oldest: moment(&self.oldest)?, newest: moment(&self.newest)? })
    }

    fn find_paths(&self, context: &Context, repo: &Repository, snapshots: &[Stored]) -> Outcome {
        let output = context.output();
        let mut finder = Finder::new(repo, self.wanted(context)?);
        let mut all = Vec::new();
        let mut unreadable = 0;
        let mut is_first = true;
        for stored in snapshots {
            let mut matches = Matches::default();
            let mut count = 0;
            finder.search(&stored.1.tree, &mut |found| -> Outcome {
                match found {
                    Found::Path { path, node } if output.is_json() => matches.0.push(path_json(path, node)),
                    Found::Path { path, node } => {
                        if count == 0 {
                            heading(output, stored, std::mem::take(&mut is_first))?;
                        }
                        count += 1;
                        output.result(self.form.line(path, node))?;
                    }
                    Found::Unreadable { path, error } => {
                        unreadable += 1;
                        warn(output, path, &error);
                    }
                    Found::Blob { .. } => {}
                }
                Ok(())
            })?;
            if !matches.0.is_empty() {
                all.push(json!({ "matches": matches.0, "hits": matches.0.len(), "snapshot": stored.0 }));
            }
        }
        output.message(&all)?;
        finish(unreadable)
    }

    fn blobs(&self, repo: &Repository) -> Outcome<Blobs> {
        let kind = match () {
            () if self.blob => IdKind::Blob(BlobKind::Data),
            () if self.tree => IdKind::Blob(BlobKind::Tree),
            () => IdKind::Pack,
        };
        let mut blobs = Blobs::default();
        for id in &self.patterns {
            blobs.add(repo, &id.to_string_lossy(), kind)?;
        }
        Ok(blobs)
    }

    fn find_ids(&self, repo: &Repository, output: Output, snapshots: &[Stored]) -> Outcome {
        let mut finder = BlobFinder::new(repo, self.blobs(repo)?);
        let mut all = Vec::new();
        let mut unreadable = 0;
        for stored in snapshots {
            finder.search(&stored.1.tree, &mut |found| -> Outcome {
                match found {
                    Found::Blob { blob, path, tree, node } if output.is_json() => {
                        all.push(blob_json(stored, blob, path, tree, node));
                    }
                    Found::Blob { blob, path, .. } => self.tell_blob(repo, output, stored, (blob, path))?,
                    Found::Unreadable { path, error } => {
                        unreadable += 1;
                        warn(output, path, &error);
                    }
                    Found::Path { .. } => {}
                }
                Ok(())
            })?;
        }
        output.message(&all)?;
        finish(unreadable)
    }

    fn tell_blob(&self, repo: &Repository, output: Output, stored: &Stored, at: (BlobHandle, &[u8])) -> Outcome {
        let ((id, snapshot), (blob, path)) = (stored, at);
        let path = printable(&String::from_utf8_lossy(path));
        match blob.kind {
            BlobKind::Data => output.result(format_args!("Found blob {}\n ... in file {path}", blob.id))?,
            BlobKind::Tree => output.result(format_args!("Found tree {}\n ... path {path}", blob.id))?,
        }
        output.result(format_args!(" ... in snapshot {} ({})", id.short(), time::local_text(&snapshot.time)))?;
        match repo.index()?.find(&blob) {
            Some(location) if self.show_pack_id => output.result(format_args!(
                "Object belongs to pack {}\n ... Pack {}: offset {}, length {}",
                location.pack,
                location.pack.short(),
                location.offset,
                location.length
            )),
            _ => Ok(()),
        }
    }
}

fn heading(output: Output, (id, snapshot): &Stored, is_first: bool) -> Outcome {
    let gap = if is_first { "" } else { "\n" };
    let time = time::local_text(&snapshot.time);
    output.remark(format_args!("{gap}Found matching entries in snapshot {} from {time}", id.short()))
}

fn warn(output: Output, path: &[u8], error: &repo::Error) {
    output.warn(format_args!("cannot search {}: {error}", printable(&String::from_utf8_lossy(path))));
}

fn finish(unreadable: u64) -> Outcome {
    match unreadable {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} directories could not be searched"))),
    }
}

fn time_text(time: NodeTime) -> String {
    let mut text = Vec::new();
    time.write(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// restic's JSON of a match: the node without its content, and its path.
fn path_json(path: &[u8], node: &Node) -> Value {
    let mut message = json!({
        "path": String::from_utf8_lossy(path),
        "permissions": permissions(node.mode),
        "type": node.kind.name(),
        "mode": node.mode,
        "mtime": time_text(node.mtime),
        "atime": time_text(node.atime),
        "ctime": time_text(node.ctime),
        "uid": node.uid,
        "gid": node.gid,
    });
    let texts = [("user", node.user.to_string()), ("group", node.group.to_string())];
    for (name, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        message[name] = text.into();
    }
    let figures = [("inode", node.inode), ("device_id", node.device_id), ("size", node.size), ("links", node.links)];
    // restic leaves figures out that are zero.
    for (name, figure) in figures.into_iter().filter(|(_, figure)| *figure > 0) {
        message[name] = figure.into();
    }
    if !node.link_target.is_empty() {
        message["linktarget"] = String::from_utf8_lossy(&node.link_target).into();
    }
    message
}

/// restic's JSON of a place where a blob is used.
fn blob_json(
    (id, snapshot): &Stored,
    blob: BlobHandle,
    path: &[u8],
    tree: Option<&repo::Id>,
    node: Option<&Node>,
) -> Value {
    let mut message = json!({
        "object_type": match blob.kind { BlobKind::Data => "blob", BlobKind::Tree => "tree" },
        "id": blob.id,
        "path": String::from_utf8_lossy(path),
        "snapshot": id,
        "time": node.map_or_else(|| snapshot.time.clone(), |node| time_text(node.mtime)),
    });
    if let Some(tree) = tree {
        message["parent_tree"] = json!(tree);
    }
    message
}
