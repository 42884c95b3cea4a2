//! Which snapshots a command means: by id, `latest`, host, tags and paths, as restic understands them.

use std::path::PathBuf;

use repo::repository::FoundSnapshot;
use repo::retention::Stored;
use repo::snapshot::SnapshotFilter;
use repo::{Id, Repository};

use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Filters by host, tags and paths.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct FilterArgs {
    /// Only snapshots of this host (may be repeated) [env: RESTIC_HOST]
    #[arg(short = 'H', long, value_name = "HOST")]
    host: Vec<String>,
    #[command(flatten)]
    more: MoreFilterArgs,
}

/// The same without the short `-H`, which `forget` needs for something else.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct LongFilterArgs {
    /// Only snapshots of this host (may be repeated) [env: RESTIC_HOST]
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    #[command(flatten)]
    more: MoreFilterArgs,
}

#[derive(clap::Args, Clone, Debug, Default)]
struct MoreFilterArgs {
    /// Only snapshots that have all of these tags (repeat for "or"; '' for those without tags)
    #[arg(long, value_name = "TAG[,TAG...]")]
    tag: Vec<String>,
    /// Only snapshots of this absolute path (repeat for "and")
    #[arg(long, value_name = "PATH")]
    path: Vec<PathBuf>,
}

impl FilterArgs {
    /// The filter that was asked for.
    pub(crate) fn filter(&self) -> SnapshotFilter {
        self.more.filter(&self.host)
    }
}

impl LongFilterArgs {
    /// The filter that was asked for.
    pub(crate) fn filter(&self) -> SnapshotFilter {
        self.more.filter(&self.host)
    }
}

impl MoreFilterArgs {
    fn filter(&self, hosts: &[String]) -> SnapshotFilter {
        let mut hosts: Vec<String> = hosts.to_vec();
        if hosts.is_empty() {
            hosts.extend(environment::text("HOST"));
        }
        hosts.retain(|host| !host.is_empty());
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        SnapshotFilter {
            hosts,
            tags: self.tag.iter().map(|list| split_tags(list)).collect(),
            paths: self.path.iter().map(|path| absolute(path).to_string_lossy().into_owned()).collect(),
        }
    }
}

/// Splits `a,b` into tags. The empty text stands for "no tags".
pub(crate) fn split_tags(list: &str) -> Vec<String> {
    list.split(',').map(|tag| tag.trim().to_owned()).collect()
}

/// All tags of several lists, each once, in order.
pub(crate) fn all_tags(lists: &[String]) -> Vec<String> {
    let mut tags = Vec::new();
    for tag in lists.iter().flat_map(|list| split_tags(list)) {
        if !tag.is_empty() && !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

/// All snapshots of a repository; those that cannot be read are told.
pub(crate) fn all(repo: &Repository, output: Output) -> Outcome<Vec<Stored>> {
    let found = repo.snapshots()?;
    for (id, error) in &found.damaged {
        output.warn(format_args!("snapshot {} cannot be read and is passed over: {error}", id.short()));
    }
    Ok(found.all)
}

/// The snapshots that `ids` name, or without any all that the filter lets through, oldest first. A name that means
/// nothing is told and passed over, as restic does.
pub(crate) fn several(
    repo: &Repository,
    ids: &[String],
    filter: &SnapshotFilter,
    output: Output,
) -> Outcome<Vec<Stored>> {
    if ids.is_empty() {
        return Ok(all(repo, output)?.into_iter().filter(|(_, snapshot)| filter.matches(snapshot)).collect());
    }
    let mut chosen: Vec<Stored> = Vec::new();
    for id in ids {
        match repo.find_snapshot(id, filter) {
            Ok(found) if chosen.iter().any(|(known, _)| *known == found.id) => {}
            Ok(found) => chosen.push((found.id, found.snapshot)),
            Err(error @ repo::Error::NoSuchSnapshot(_)) => output.warn(format_args!("ignoring {id:?}: {error}")),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(chosen)
}

/// The tree of what `ID` or `ID:FOLDER` found.
pub(crate) fn root(repo: &Repository, found: &FoundSnapshot) -> Outcome<Id> {
    match &found.subfolder {
        None => Ok(found.snapshot.tree),
        Some(folder) => Ok(files::locate::subfolder(repo, &found.snapshot.tree, folder.as_bytes())?),
    }
}

/// Parses a whole id.
pub(crate) fn whole_id(text: &str) -> Outcome<Id> {
    text.parse().map_err(|_| Failure::new(format!("`{text}` is no id: 64 hexadecimal digits are needed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_split_and_kept_once() {
        assert_eq!(all_tags(&["a,b".into(), "b,,c".into()]), ["a", "b", "c"]);
        assert_eq!(split_tags(""), [""], "no tags at all");
    }

    #[test]
    fn an_empty_host_stands_for_all() {
        let args = FilterArgs { host: vec![String::new()], more: MoreFilterArgs::default() };
        assert!(args.filter().hosts.is_empty());
    }
}
