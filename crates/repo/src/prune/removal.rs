//! The last part of a prune: new index files, then old ones go, then packs.

use std::collections::HashSet;

use backend::{FileKind, FileName};
use parking_lot::Mutex;

use super::rewrite::{self, Changes, Rewritten};
use super::{PruneOutcome, PrunePlan, marks};
use crate::progress::{Amount, Progress, Step};
use crate::workers::{self, Workers};
use crate::{Id, Repository, Result, known};

/// Under the exclusive lock: what is dead goes.
pub(super) fn prune_now(repo: &Repository, plan: &PrunePlan, progress: &dyn Progress) -> Result<PruneOutcome> {
    let leaving = [&plan.repack, &plan.remove, &plan.missing];
    let changes = Changes {
        drop: leaving.into_iter().flatten().copied().collect(),
        unmark: plan.sweep.iter().chain(&plan.void_marks).copied().collect(),
        recover: plan.recover.iter().copied().collect(),
        expected_unlisted: plan.unreferenced.iter().chain(&plan.sweep).copied().collect(),
        merge: true,
        ..Changes::default()
    };
    let listed = replace_index(repo, &changes, progress)?;
    let unlisted = plan.unreferenced.iter().chain(&plan.sweep).filter(|id| !listed.contains(id));
    let packs = plan.repack.iter().chain(&plan.remove).chain(unlisted);
    remove_packs(repo, packs.copied().collect(), progress)
}

/// Where writers may begin at any moment: what is dead is marked, what was marked long ago goes.
pub(super) fn mark_and_sweep(repo: &Repository, plan: &PrunePlan, progress: &dyn Progress) -> Result<PruneOutcome> {
    let changes = Changes {
        drop: plan.missing.iter().copied().collect(),
        unmark: plan.sweep.iter().chain(&plan.void_marks).copied().collect(),
        recover: plan.recover.iter().copied().collect(),
        mark: plan.repack.iter().chain(&plan.remove).copied().collect(),
        mark_unlisted: plan.unreferenced.iter().copied().collect(),
        marked_at: repo.clock().now().to_string(),
        expected_unlisted: plan.unreferenced.iter().chain(&plan.sweep).copied().collect(),
        merge: false,
    };
    let listed = replace_index(repo, &changes, progress)?;
    let marked = changes.mark.len() + changes.mark_unlisted.difference(&listed).count();
    let marked_packs = if take_back_if_disturbed(repo, plan, &changes, progress)? { 0 } else { marked as u64 };
    let sweep = plan.sweep.iter().filter(|id| !listed.contains(id)).copied().collect();
    let outcome = remove_packs(repo, sweep, progress)?;
    Ok(PruneOutcome { marked_packs, ..outcome })
}

/// Whoever holds a lock now, or has written a snapshot since the plan, may have read the index before the marking and count
/// on what was marked: it goes back into the index, and a later run marks it. Who takes a lock after this reads the new
/// index.
fn take_back_if_disturbed(
    repo: &Repository,
    plan: &PrunePlan,
    marked: &Changes,
    progress: &dyn Progress,
) -> Result<bool> {
    if marked.mark.is_empty() || !is_disturbed(repo, plan)? {
        return Ok(false);
    }
    let changes = Changes {
        recover: marked.mark.clone(),
        unmark: marked.mark_unlisted.clone(),
        marked_at: marked.marked_at.clone(),
        ..Changes::default()
    };
    replace_index(repo, &changes, progress)?;
    Ok(true)
}

/// In this order: whoever has released a lock has its snapshot listed.
fn is_disturbed(repo: &Repository, plan: &PrunePlan) -> Result<bool> {
    let somebody_is_at_work = !marks::nobody_else_is_at_work(repo)?;
    let snapshots = repo.backend().list(FileKind::Snapshot)?;
    Ok(somebody_is_at_work || snapshots.iter().any(|file| !plan.based_on.contains(&file.id)))
}

/// Returns the packs that are in the index against what the plan expected.
fn replace_index(repo: &Repository, changes: &Changes, progress: &dyn Progress) -> Result<HashSet<Id>> {
    let Rewritten { replaced, listed } = rewrite::rewrite(repo, changes, progress)?;
    repo.check_lock()?;
    repo.invalidate_cache()?;
    let backend = repo.backend();
    workers::for_each(
        Workers::requests(repo.backend()),
        &replaced,
        || (),
        |(), id| Ok(backend.remove(&FileName::new(FileKind::Index, *id))?),
    )?;
    known::note_removed(repo, FileKind::Index, &replaced);
    Ok(listed)
}

/// Removes packs that no index names. One that cannot be removed does no harm and does not keep the others.
fn remove_packs(repo: &Repository, packs: Vec<Id>, progress: &dyn Progress) -> Result<PruneOutcome> {
    repo.check_lock()?;
    repo.invalidate_cache()?;
    progress.begin(Step::RemovePacks, Amount { items: packs.len() as u64, bytes: 0 });
    let outcome = Mutex::new(PruneOutcome::default());
    let backend = repo.backend();
    workers::for_each(
        Workers::requests(repo.backend()),
        packs,
        || (),
        |(), id| {
            repo.cancel().check()?;
            let removed = backend.remove(&FileName::new(FileKind::Pack, id));
            let mut outcome = outcome.lock();
            match removed {
                Ok(()) => outcome.removed_packs += 1,
                Err(error) => outcome.not_removed.push((id, error)),
            }
            drop(outcome);
            progress.advance(Amount { items: 1, bytes: 0 });
            Ok(())
        },
    )?;
    Ok(outcome.into_inner())
}
