//! Pruning: removing what no snapshot uses. A plan first, with figures; then exactly that.
//!
//! # Order
//! New packs, new index files, then old index files go, then old packs. Each step is durable before the next, so that an
//! interruption anywhere leaves a good repository, and the next run finishes. The local index cache is invalidated before
//! anything is removed. A blob that a snapshot uses and nobody has, a pack of the wrong size, a snapshot that cannot be read
//! or that vanishes meanwhile, and files that this machine knows, the storage has and its listing leaves out make the plan fail:
//! deletion is never decided on incomplete knowledge, nor on one listing's word that something is missing.
//!
//! # Immediately
//! The caller holds the exclusive lock: no writer is at work, and what is unused now stays unused.
//!
//! # With a delay
//! The caller holds a shared lock; writers go on. Nothing that a running writer may rely on is removed:
//! - While anybody else holds a lock nothing is marked: what a backup has stored so far no snapshot uses yet, and its
//!   snapshot would name what the index does not. Whoever came while it was marked is found by a second look at locks
//!   and snapshots, after the old index files are gone, and then everything is taken back.
//! - A dead pack leaves the index and is listed with the time of marking (rustic's `packs_to_delete`). Packs that no index
//!   knows may be a writer's that has not stored its index yet: they are listed, too, and not touched.
//! - A writer that loaded the index before the marking may refer to blobs of a marked pack in the snapshot that it will
//!   write. It took its lock before it loaded the index, and keeps a lock file until after it wrote the snapshot (stopped
//!   or asleep as well: a writer whose lock file was removed notices and gives up before it writes a snapshot). So a marked
//!   pack is swept only by a run that finds the delay over *and no lock but its own*, and that finds the pack unused by all
//!   snapshots that it lists *after* it looked at the locks: whoever held one before has its snapshot listed. Locks are not
//!   judged by their times: clocks differ, and restic's locks show their last refresh.
//! - Before packs are removed all index files are read anyway, as they are then: a pack that one of them names, against
//!   what the plan knew, stays.
//! - A writer that loads the index after the marking does not find the blobs and stores them again.
//! - A marked pack that a snapshot turns out to use is taken back into the index by the next run, with all its blobs.
//!   Until then plain restic calls those blobs missing, though they are not.
//! - Programs without locks (rustic's) are protected by the delay alone, as they are from each other.

mod choose;
mod marks;
mod options;
mod removal;
mod repack;
mod rewrite;
mod stats;
mod survey;

use std::collections::HashSet;
use std::sync::Arc;

use backend::FileKind;

use crate::pack::PackedBlob;
use crate::progress::Progress;
use crate::used::used_blobs_also;
use crate::{Error, Id, Repository, Result, known, presence};

pub use options::{MaxUnused, PruneOptions, PruneWhen};
pub use stats::{BlobStats, ByteStats, PackStats, PruneStats};

use marks::Marks;

/// What pruning would do. Executed as it is or not at all.
#[derive(Debug)]
pub struct PrunePlan {
    /// Figures, as restic prints them.
    pub stats: PruneStats,
    /// How many snapshots decide what is used. None of them in a repository with packs means that everything goes: worth
    /// a question, since a storage that answers a listing wrongly looks just like that.
    pub snapshots: usize,
    /// Packs that are partly used: what is used of them is copied to new packs.
    pub repack: Vec<Id>,
    /// Packs of which nothing is used.
    pub remove: Vec<Id>,
    /// Packs that no index knows.
    pub unreferenced: Vec<Id>,
    /// Packs that are missing and not needed: the index forgets them.
    pub missing: Vec<Id>,
    /// Packs that were marked for deletion and are used again.
    pub recover: Vec<Id>,
    /// Packs that were marked for deletion long enough ago.
    pub sweep: Vec<Id>,
    /// Packs that would be marked, or were marked and due, but stay while other programs hold locks.
    pub held_back: usize,
    when: PruneWhen,
    repack_uncompressed: bool,
    copies: Vec<PackCopies>,
    void_marks: HashSet<Id>,
    based_on: HashSet<Id>,
}

/// The blobs to copy out of one pack.
#[derive(Debug)]
struct PackCopies {
    pack: Id,
    blobs: Vec<PackedBlob>,
}

/// What pruning did.
#[derive(Debug, Default)]
pub struct PruneOutcome {
    /// Packs that are gone.
    pub removed_packs: u64,
    /// Packs that were marked for a later run.
    pub marked_packs: u64,
    /// Packs that could not be removed, with the reason. They do no harm; the next run tries again.
    pub not_removed: Vec<(Id, backend::Error)>,
}

impl PrunePlan {
    /// Marks nothing: somebody is at work, whose new packs no snapshot uses yet.
    fn wait_for_quiet(&mut self) {
        let waits = [&mut self.repack, &mut self.remove, &mut self.unreferenced];
        self.held_back += waits.iter().map(|packs| packs.len()).sum::<usize>();
        waits.into_iter().for_each(Vec::clear);
        self.copies.clear();
    }

    /// True if executing it would change nothing.
    pub fn is_empty(&self) -> bool {
        let lists = [&self.repack, &self.remove, &self.unreferenced, &self.missing, &self.recover, &self.sweep];
        lists.iter().all(|list| list.is_empty()) && self.void_marks.is_empty()
    }
}

/// Finds out what pruning would do. Reads all trees, removes nothing.
///
/// # Errors
/// A snapshot or tree that cannot be read, a used blob that the index does not know, a used pack that is missing or of the
/// wrong size: [`Error::Invalid`] or the error of reading, with the advice to run `check` left to the caller.
pub fn plan_prune(repo: &Repository, options: &PruneOptions, progress: &dyn Progress) -> Result<PrunePlan> {
    plan_without(repo, options, &HashSet::new(), progress)
}

/// As [`plan_prune`], but as if these snapshots were forgotten already: for showing what `forget --prune` would do.
pub fn plan_without(
    repo: &Repository,
    options: &PruneOptions,
    forgotten: &HashSet<Id>,
    progress: &dyn Progress,
) -> Result<PrunePlan> {
    options.validate(repo)?;
    // Before the snapshots are listed: see the argument above.
    let nobody_else = options.when == PruneWhen::Now || marks::nobody_else_is_at_work(repo)?;
    let (based_on, roots) = snapshot_roots(repo, forgotten)?;
    let index = repo.index()?;
    let marks = Marks::new(index.packs_to_delete());
    let used = used_blobs_also(repo, &roots, &marks.only_there(index), progress)?;
    refuse_if_vanished(repo, &based_on)?;
    let index_files = listed(repo, FileKind::Index)?;
    known::refuse_if_hidden(repo, FileKind::Snapshot, &based_on)?;
    known::refuse_if_hidden(repo, FileKind::Index, &index_files)?;
    let stored = choose::stored_packs(repo)?;
    let survey = survey::survey(index, &used)?;
    index.health()?;
    let mut plan = choose::choose(repo, options, survey, &stored, &used)?;
    if !nobody_else {
        plan.wait_for_quiet();
    }
    presence::refuse_if_there(repo, FileKind::Pack, &plan.missing)?;
    marks.decide(repo, options.when, nobody_else, &used, &stored, &mut plan)?;
    plan.snapshots = roots.len();
    known::replace(repo, FileKind::Snapshot, &based_on);
    known::replace(repo, FileKind::Index, &index_files);
    plan.based_on = based_on;
    Ok(plan)
}

/// All snapshots, and the roots of those that stay.
fn snapshot_roots(repo: &Repository, forgotten: &HashSet<Id>) -> Result<(HashSet<Id>, Vec<Id>)> {
    let listed = repo.snapshots()?;
    if let Some((_, error)) = listed.damaged.into_iter().next() {
        return Err(error);
    }
    if let Some(gone) = listed.vanished.first() {
        return Err(vanished_meanwhile(gone));
    }
    let based_on = listed.all.iter().map(|(id, _)| *id).collect();
    let stay = listed.all.iter().filter(|(id, _)| !forgotten.contains(id));
    Ok((based_on, stay.map(|(_, snapshot)| snapshot.tree).collect()))
}

/// F6: a storage that answers a listing with less than there is must not decide what is deleted. Everything that was
/// listed before is listed still, and what cannot be listed is an error anyway.
fn refuse_if_vanished(repo: &Repository, based_on: &HashSet<Id>) -> Result<()> {
    match based_on.difference(&listed(repo, FileKind::Snapshot)?).next() {
        None => Ok(()),
        Some(gone) => Err(vanished_meanwhile(gone)),
    }
}

fn listed(repo: &Repository, kind: FileKind) -> Result<HashSet<Id>> {
    Ok(repo.backend().list(kind)?.into_iter().map(|file| file.id).collect())
}

fn vanished_meanwhile(gone: &Id) -> Error {
    Error::Invalid(format!("snapshot {} vanished meanwhile: nothing was pruned", gone.short()))
}

/// Does what the plan says. Safe to interrupt anywhere and to repeat with a new plan.
///
/// An immediate plan needs the exclusive lock and is refused if a snapshot came since; a delayed one needs a shared lock.
pub fn execute(repo: &Arc<Repository>, mut plan: PrunePlan, progress: &dyn Progress) -> Result<PruneOutcome> {
    let listed = repo.backend().list(FileKind::Snapshot)?;
    let came = listed.iter().map(|file| file.id).find(|id| !plan.based_on.contains(id));
    if let (PruneWhen::Now, Some(new)) = (plan.when, came) {
        let new = new.short();
        return Err(Error::Invalid(format!(
            "snapshot {new} came since the plan was made: nothing was pruned, make a new plan"
        )));
    }
    if plan.is_empty() {
        return Ok(PruneOutcome::default());
    }
    repack::repack(repo, std::mem::take(&mut plan.copies), plan.repack_uncompressed, progress)?;
    match plan.when {
        PruneWhen::Now => removal::prune_now(repo, &plan, progress),
        PruneWhen::Delayed(_) => removal::mark_and_sweep(repo, &plan, progress),
    }
}
