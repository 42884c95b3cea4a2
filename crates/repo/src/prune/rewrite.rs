//! Writing index files anew: without packs that go, without repetitions, with marks as they shall be.
//!
//! Two entries for one pack are the same only if they name the same blobs: packs that an old restic split over two index
//! files keep both halves (F13).

use std::collections::HashSet;

use backend::FileKind;
use parking_lot::Mutex;

use crate::index::{IndexFile, IndexPack, MAX_BLOBS};
use crate::progress::{Amount, Progress, Step};
use crate::workers::{self, Workers};
use crate::{Id, Repository, Result};

/// What changes in the index.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Packs that leave it.
    pub(super) drop: HashSet<Id>,
    /// Packs whose marks go.
    pub(super) unmark: HashSet<Id>,
    /// Marked packs that come back.
    pub(super) recover: HashSet<Id>,
    /// Packs that are marked now.
    pub(super) mark: HashSet<Id>,
    /// Packs that are marked now if still no index file names them: a writer's may have come since.
    pub(super) mark_unlisted: HashSet<Id>,
    /// When that is.
    pub(super) marked_at: String,
    /// Packs that are about to be marked or removed because no index file names them as stored.
    pub(super) expected_unlisted: HashSet<Id>,
    /// Also merge files that are not full: only where nobody else reads them meanwhile.
    pub(super) merge: bool,
}

/// What rewriting left.
pub(super) struct Rewritten {
    /// Index files that were replaced: to be removed now that everything new is stored.
    pub(super) replaced: Vec<Id>,
    /// Packs that should not have been in the index, but are.
    pub(super) listed: HashSet<Id>,
}

/// Stores new index files; the old ones are still there.
pub(super) fn rewrite(repo: &Repository, changes: &Changes, progress: &dyn Progress) -> Result<Rewritten> {
    let files = repo.backend().list(FileKind::Index)?;
    progress.begin(Step::RewriteIndex, Amount { items: files.len() as u64, bytes: 0 });
    let rewriter = Rewriter { changes, state: Mutex::default() };
    workers::for_each(
        Workers::processors(),
        &files,
        || (),
        |(), file| {
            repo.cancel().check()?;
            let content = repo.read_index_file(&file.id)?;
            for full in rewriter.take_in(file.id, content) {
                repo.write_index_file(&full)?;
            }
            progress.advance(Amount { items: 1, bytes: 0 });
            Ok(())
        },
    )?;
    let State { mut builder, replaced, listed, .. } = rewriter.state.into_inner();
    builder.mark_unknown(changes, &listed);
    for last in builder.finish() {
        repo.write_index_file(&last)?;
    }
    Ok(Rewritten { replaced, listed })
}

struct Rewriter<'c> {
    changes: &'c Changes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    builder: Builder,
    /// Hashes of entries that are in a file that stays, or in a new one.
    seen: HashSet<Id>,
    recovered: HashSet<Id>,
    replaced: Vec<Id>,
    listed: HashSet<Id>,
}

impl Rewriter<'_> {
    /// Takes over a file's content unless the file may stay; returns files that became full.
    fn take_in(&self, id: Id, content: IndexFile) -> Vec<IndexFile> {
        let hashes: Vec<Id> = content.packs.iter().map(IndexPack::fingerprint).collect();
        let mut state = self.state.lock();
        let named = content.packs.iter().map(|pack| pack.id);
        state.listed.extend(named.filter(|id| self.changes.expected_unlisted.contains(id)));
        let is_new = hashes.iter().all(|hash| !state.seen.contains(hash)) && all_differ(&hashes);
        if is_new && self.may_stay(&content) {
            state.seen.extend(hashes);
            return Vec::new();
        }
        state.replaced.push(id);
        for (pack, hash) in content.packs.into_iter().zip(hashes) {
            if state.seen.insert(hash) {
                self.take_pack(pack, &mut state);
            }
        }
        for pack in content.packs_to_delete {
            self.take_mark(pack, &mut state);
        }
        state.builder.take_full()
    }

    fn may_stay(&self, content: &IndexFile) -> bool {
        let changes = self.changes;
        let touches_pack = |pack: &IndexPack| changes.drop.contains(&pack.id) || changes.mark.contains(&pack.id);
        let touches_mark = |pack: &IndexPack| changes.unmark.contains(&pack.id) || changes.recover.contains(&pack.id);
        let blobs: usize = content.packs.iter().map(|pack| pack.blobs.len()).sum();
        // Our own files are never quite full, restic's a little more than that. A giant one stays only if it is one pack.
        let is_good_size = blobs >= MAX_BLOBS / 2 && (blobs <= 2 * MAX_BLOBS || content.packs.len() == 1);
        let is_changed = content.packs.iter().any(touches_pack) || content.packs_to_delete.iter().any(touches_mark);
        !is_changed && (is_good_size || !changes.merge)
    }

    fn take_pack(&self, mut pack: IndexPack, state: &mut State) {
        if self.changes.mark.contains(&pack.id) {
            pack.time = Some(self.changes.marked_at.clone());
            state.builder.marked.insert(pack.id);
            state.builder.add_marked(pack);
        } else if !self.changes.drop.contains(&pack.id) {
            state.builder.add(pack);
        }
    }

    fn take_mark(&self, mut pack: IndexPack, state: &mut State) {
        if self.changes.recover.contains(&pack.id) {
            // Several marks for one pack: the first that names blobs is taken back.
            if !pack.blobs.is_empty() && state.recovered.insert(pack.id) {
                pack.time = None;
                state.builder.add(pack);
            }
        } else if !self.changes.unmark.contains(&pack.id) {
            state.builder.add_marked(pack);
        }
    }
}

fn all_differ(hashes: &[Id]) -> bool {
    let distinct: HashSet<&Id> = hashes.iter().collect();
    distinct.len() == hashes.len()
}

/// Fills index files up to the limit. An entry of a pack is never split.
#[derive(Default)]
struct Builder {
    file: IndexFile,
    blobs: usize,
    full: Vec<IndexFile>,
    marked: HashSet<Id>,
}

impl Builder {
    fn add(&mut self, pack: IndexPack) {
        self.make_room(pack.blobs.len());
        self.file.packs.push(pack);
    }

    fn add_marked(&mut self, pack: IndexPack) {
        self.make_room(pack.blobs.len().max(1));
        self.file.packs_to_delete.push(pack);
    }

    /// Marks the packs that no index file named.
    fn mark_unknown(&mut self, changes: &Changes, listed: &HashSet<Id>) {
        let wanted = changes.mark.iter().chain(&changes.mark_unlisted);
        let unknown: Vec<Id> = wanted.filter(|id| !self.marked.contains(id) && !listed.contains(id)).copied().collect();
        for id in unknown {
            self.add_marked(IndexPack { id, blobs: Vec::new(), time: Some(changes.marked_at.clone()), size: None });
        }
    }

    fn make_room(&mut self, blobs: usize) {
        if self.blobs > 0 && self.blobs + blobs > MAX_BLOBS {
            self.full.push(std::mem::take(&mut self.file));
            self.blobs = 0;
        }
        self.blobs += blobs;
    }

    fn take_full(&mut self) -> Vec<IndexFile> {
        std::mem::take(&mut self.full)
    }

    fn finish(mut self) -> Vec<IndexFile> {
        if self.blobs > 0 {
            self.full.push(self.file);
        }
        self.full
    }
}
