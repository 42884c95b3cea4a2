//! The last part of a prune: new index files, then old ones go, then packs.

use backend::{FileKind, FileName};
use parking_lot::Mutex;

use super::rewrite::{self, Changes};
use super::{PruneOutcome, PrunePlan, marks};
use crate::progress::{Amount, Progress, Step};
use crate::workers::{self, Workers};
use crate::{Id, Repository, Result};

/// Under the exclusive lock: what is dead goes.
pub(super) fn prune_now(repo: &Repository, plan: &PrunePlan, progress: &dyn Progress) -> Result<PruneOutcome> {
    let leaving = [&plan.repack, &plan.remove, &plan.missing];
    let changes = Changes {
        drop: leaving.into_iter().flatten().copied().collect(),
        unmark: plan.sweep.iter().chain(&plan.void_marks).copied().collect(),
        recover: plan.recover.iter().copied().collect(),
        merge: true,
        ..Changes::default()
    };
    replace_index(repo, &changes, progress)?;
    let packs = [&plan.repack, &plan.remove, &plan.unreferenced, &plan.sweep];
    remove_packs(repo, packs.into_iter().flatten().copied().collect(), progress)
}

/// Beside running writers: what is dead is marked, what was marked long ago goes.
pub(super) fn mark_and_sweep(repo: &Repository, plan: &PrunePlan, progress: &dyn Progress) -> Result<PruneOutcome> {
    let known = [&plan.repack, &plan.remove].into_iter().flatten().map(|id| (*id, None));
    let unknown = plan.unreferenced.iter().map(|id| (*id, None));
    let changes = Changes {
        drop: plan.missing.iter().copied().collect(),
        unmark: plan.sweep.iter().chain(&plan.void_marks).copied().collect(),
        recover: plan.recover.iter().copied().collect(),
        mark: known.chain(unknown).collect(),
        marked_at: repo.clock().now().to_string(),
        merge: false,
    };
    // A program that came since the plan was made knows the index without these packs; one that was there holds a lock.
    let sweep = match plan.sweep.is_empty() || marks::nobody_else_is_at_work(repo)? {
        true => plan.sweep.clone(),
        false => Vec::new(),
    };
    let changes = Changes { unmark: sweep.iter().chain(&plan.void_marks).copied().collect(), ..changes };
    replace_index(repo, &changes, progress)?;
    let outcome = remove_packs(repo, sweep, progress)?;
    Ok(PruneOutcome { marked_packs: changes.mark.len() as u64, ..outcome })
}

fn replace_index(repo: &Repository, changes: &Changes, progress: &dyn Progress) -> Result<()> {
    let replaced = rewrite::rewrite(repo, changes, progress)?;
    repo.check_lock()?;
    repo.invalidate_cache()?;
    let backend = repo.backend();
    workers::for_each(
        Workers::requests(repo),
        replaced.0,
        || (),
        |(), id| Ok(backend.remove(&FileName::new(FileKind::Index, id))?),
    )
}

/// Removes packs that no index names. One that cannot be removed does no harm and does not keep the others.
fn remove_packs(repo: &Repository, packs: Vec<Id>, progress: &dyn Progress) -> Result<PruneOutcome> {
    repo.check_lock()?;
    repo.invalidate_cache()?;
    progress.begin(Step::RemovePacks, Amount { items: packs.len() as u64, bytes: 0 });
    let outcome = Mutex::new(PruneOutcome::default());
    let backend = repo.backend();
    workers::for_each(
        Workers::requests(repo),
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
