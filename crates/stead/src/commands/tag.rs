//! `stead tag`: tags of snapshots that exist already.

use backend::{FileKind, FileName};
use repo::retention::Stored;
use repo::{Id, Repository};
use serde::Serialize;

use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;
use crate::select::{self, FilterArgs, all_tags};

/// Change the tags of snapshots
///
/// Example: stead tag --add keep --remove nightly latest
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these snapshots (start of an id, or `latest`); without any, all that the filters let through
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<String>,
    /// Replace all tags by these
    #[arg(long, value_name = "TAGS", conflicts_with_all = ["add", "remove"])]
    set: Vec<String>,
    /// Add these tags
    #[arg(long, value_name = "TAGS")]
    add: Vec<String>,
    /// Remove these tags
    #[arg(long, value_name = "TAGS")]
    remove: Vec<String>,
    #[command(flatten)]
    filter: FilterArgs,
}

#[derive(Serialize)]
struct Changed {
    message_type: &'static str,
    old_snapshot_id: Id,
    new_snapshot_id: Id,
}

#[derive(Serialize)]
struct Summary {
    message_type: &'static str,
    changed_snapshots: usize,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        if self.set.is_empty() && self.add.is_empty() && self.remove.is_empty() {
            return Err(Failure::new("nothing to do").hint("say what to change with --set, --add or --remove"));
        }
        let output = context.output();
        let opened = context.open_exclusive()?;
        let mut changed_snapshots = 0;
        for (id, snapshot) in select::several(&opened.repo, &self.ids, &self.filter.filter(), output)? {
            let tags = self.tags_after(&snapshot.tags);
            if tags == snapshot.tags {
                continue;
            }
            let new = retag(&opened.repo, (id, snapshot), tags).doing(|| format!("cannot tag {}", id.short()))?;
            changed_snapshots += 1;
            output.message(&Changed { message_type: "changed", old_snapshot_id: id, new_snapshot_id: new })?;
            output.detail(format_args!("snapshot {} is now {}", id.short(), new.short()))?;
        }
        output.message(&Summary { message_type: "summary", changed_snapshots })?;
        output.remark(match changed_snapshots {
            0 => "no snapshots were modified".to_owned(),
            count => format!("modified {count} snapshots"),
        })
    }

    fn tags_after(&self, before: &[String]) -> Vec<String> {
        if !self.set.is_empty() {
            return all_tags(&self.set);
        }
        let (added, removed) = (all_tags(&self.add), all_tags(&self.remove));
        let mut tags = before.to_vec();
        tags.extend(added.into_iter().filter(|tag| !before.contains(tag)));
        tags.retain(|tag| !removed.contains(tag));
        tags
    }
}

/// Writes the changed snapshot before the old one goes: at no moment is there none.
fn retag(repo: &Repository, (id, mut snapshot): Stored, tags: Vec<String>) -> Outcome<Id> {
    snapshot.tags = tags;
    snapshot.original = snapshot.original.or(Some(id));
    let new = repo.write_snapshot(&snapshot)?;
    repo.backend().remove(&FileName::new(FileKind::Snapshot, id))?;
    Ok(new)
}
