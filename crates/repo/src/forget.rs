//! Forgetting snapshots: a plan that says what stays, why, and what goes; then exactly that.
//!
//! Nothing is removed that the plan did not show, and nothing at all when a snapshot that the plan relied on has gone
//! since: what it kept may have been the reason to remove others. Snapshots that are new since then do no harm.

use std::collections::HashSet;

use backend::{FileKind, FileName};

use crate::retention::{self, GroupBy, GroupKey, Kept, Policy, Stored, Times};
use crate::workers::{self, Workers};
use crate::{Error, Id, Repository, Result, known};

/// Whether a policy without rules may remove everything it is applied to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RemoveAll {
    /// No rules mean a mistake.
    #[default]
    Refuse,
    /// No rules mean "remove all"; for groups that a filter chose (`--unsafe-allow-remove-all`).
    Allow,
}

/// What to forget.
#[derive(Clone, Debug, Default)]
pub struct ForgetOptions {
    /// What to keep.
    pub policy: Policy,
    /// To what it is applied separately.
    pub group_by: GroupBy,
    /// What an empty policy means.
    pub remove_all: RemoveAll,
    /// By which time snapshots are counted.
    pub times: Times,
}

/// What happens to one group. Both lists are newest first.
#[derive(Clone, Debug)]
pub struct ForgetGroup {
    /// What its snapshots have in common.
    pub key: GroupKey,
    /// Those that stay, with reasons.
    pub keep: Vec<Kept>,
    /// Those that go.
    pub remove: Vec<Stored>,
    /// How many of them lie in the future: worth a warning, they may count out real ones.
    pub in_future: usize,
}

/// What forgetting would do. Shown first, executed as it is or not at all.
#[derive(Clone, Debug, Default)]
pub struct ForgetPlan {
    /// By group, in order of host, paths, tags.
    pub groups: Vec<ForgetGroup>,
}

impl ForgetPlan {
    /// Applies a policy to `snapshots`, the ones that a filter chose.
    pub fn by_policy(snapshots: Vec<Stored>, options: &ForgetOptions, now: jiff::Timestamp) -> Result<ForgetPlan> {
        if options.policy.is_empty() && options.remove_all == RemoveAll::Refuse {
            return Err(Error::Invalid("no policy was specified, no snapshots will be removed".into()));
        }
        let mut groups = Vec::new();
        for (key, snapshots) in retention::group_snapshots(snapshots, options.group_by) {
            let decision = retention::apply_by(&options.policy, &key, snapshots, &options.times, now)?;
            let retention::Decision { keep, remove, in_future } = decision;
            groups.push(ForgetGroup { key, keep, remove, in_future });
        }
        Ok(ForgetPlan { groups })
    }

    /// Removes exactly these, which somebody named.
    pub fn of(snapshots: Vec<Stored>) -> ForgetPlan {
        let group = ForgetGroup { key: GroupKey::default(), keep: Vec::new(), remove: snapshots, in_future: 0 };
        ForgetPlan { groups: vec![group] }
    }

    /// Ids of the snapshots that go.
    pub fn removed(&self) -> impl Iterator<Item = Id> + '_ {
        self.groups.iter().flat_map(|group| &group.remove).map(|(id, _)| *id)
    }

    /// Ids of the snapshots that stay.
    pub fn kept(&self) -> impl Iterator<Item = Id> + '_ {
        self.groups.iter().flat_map(|group| &group.keep).map(|kept| kept.id)
    }

    /// Removes what the plan says and calls `each` with every snapshot that is gone. A snapshot that cannot be removed
    /// does not keep the others; the first error is returned at the end.
    pub fn execute(&self, repo: &Repository, each: &(dyn Fn(Id) + Sync)) -> Result<()> {
        self.refuse_if_changed(repo)?;
        let backend = repo.backend();
        let (gone, first_error) = (parking_lot::Mutex::new(Vec::new()), parking_lot::Mutex::new(None));
        workers::for_each(
            Workers::requests(repo.backend()),
            self.removed(),
            || (),
            |(), id| {
                repo.cancel().check()?;
                match backend.remove(&FileName::new(FileKind::Snapshot, id)) {
                    Ok(()) => {
                        gone.lock().push(id);
                        each(id);
                    }
                    Err(error) => drop(first_error.lock().get_or_insert(error)),
                }
                Ok(())
            },
        )?;
        known::note_removed(repo, FileKind::Snapshot, &gone.into_inner());
        first_error.into_inner().map_or(Ok(()), |error| Err(error.into()))
    }

    fn refuse_if_changed(&self, repo: &Repository) -> Result<()> {
        let listed = repo.backend().list(FileKind::Snapshot)?;
        let listed: HashSet<Id> = listed.into_iter().map(|file| file.id).collect();
        match self.kept().chain(self.removed()).find(|id| !listed.contains(id)) {
            None => Ok(()),
            Some(gone) => Err(Error::Invalid(format!(
                "snapshot {} was removed by somebody else since the plan was made: nothing was removed, make a new plan",
                gone.short()
            ))),
        }
    }
}
