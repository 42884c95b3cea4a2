//! A repository against a model: whatever is done to it in whatever order, every snapshot that was not forgotten reads back,
//! and a full check finds nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use backend::Id;
use proptest::prelude::*;
use repo::prune::{MaxUnused, PruneOptions, PruneWhen};

use crate::workshop::{Files, NUMBERS, Workshop, load};

#[derive(Clone, Debug)]
enum Act {
    Save(Files),
    /// Backs up with a repository that was opened before the last prune.
    SaveWithOldIndex(Files),
    Forget(usize),
    Prune(u8),
    PruneWithDelay,
    Wait(i64),
}

fn a_path() -> impl Strategy<Value = String> {
    prop_oneof!["[a-d]", "[a-c]/[a-c]", "x/[ab]/[ab]"]
        .prop_map(|path| path.replace("a/", "e/").replace("b/", "f/").replace("c/", "g/"))
}

fn some_files() -> impl Strategy<Value = Files> {
    proptest::collection::btree_map(a_path(), proptest::collection::vec(0..NUMBERS, 0..4), 0..6)
}

fn an_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => some_files().prop_map(Act::Save),
        1 => some_files().prop_map(Act::SaveWithOldIndex),
        3 => any::<usize>().prop_map(Act::Forget),
        2 => (0..3u8).prop_map(Act::Prune),
        2 => Just(Act::PruneWithDelay),
        1 => (1..60i64).prop_map(Act::Wait),
    ]
}

fn options(kind: u8) -> PruneOptions {
    let max_unused = match kind {
        0 => MaxUnused::Bytes(0),
        1 => MaxUnused::Percent(5.0),
        _ => MaxUnused::Unlimited,
    };
    PruneOptions { max_unused, ..PruneOptions::default() }
}

fn delayed() -> PruneOptions {
    PruneOptions { when: PruneWhen::Delayed(Duration::from_secs(48 * 3600)), ..options(0) }
}

fn play(acts: Vec<Act>) {
    let workshop = Workshop::new().with_cache();
    let mut live: BTreeMap<Id, Files> = BTreeMap::new();
    let mut old = workshop.open();
    old.load_index().unwrap();
    for act in acts {
        workshop.wait(1);
        match act {
            Act::Save(files) => drop(live.insert(workshop.save(&files), files)),
            Act::SaveWithOldIndex(files) => drop(live.insert(workshop.save_with(&old, &files), files)),
            Act::Forget(which) if !live.is_empty() => {
                let id = *live.keys().nth(which % live.len()).unwrap();
                workshop.forget(id);
                live.remove(&id);
            }
            Act::Forget(_) => {}
            Act::Prune(kind) => {
                drop(workshop.prune(&options(kind)));
                old = workshop.open();
                old.load_index().unwrap();
            }
            Act::PruneWithDelay => drop(workshop.prune(&delayed())),
            Act::Wait(hours) => {
                workshop.wait(hours);
                // No backup lasts longer than the delay here: this one has no lock.
                old = workshop.open();
                old.load_index().unwrap();
            }
        }
    }
    // A writer with an old index may have used what was marked; the next run takes it back.
    workshop.prune(&delayed());
    everything_is_there(&workshop, &live);
    workshop.prune(&options(0));
    everything_is_there(&workshop, &live);
    nothing_else_is_there(&workshop, &live);
}

fn everything_is_there(workshop: &Workshop, live: &BTreeMap<Id, Files>) {
    assert_eq!(workshop.check(), Vec::<String>::new());
    let repo = workshop.open();
    for (id, files) in live {
        assert_eq!(&load(&repo, *id).unwrap(), files);
    }
}

/// After a prune that tolerates nothing unused, every data blob that is stored is used, and stored once.
fn nothing_else_is_there(workshop: &Workshop, live: &BTreeMap<Id, Files>) {
    let used: BTreeSet<u32> = live.values().flat_map(|files| files.values().flatten().copied()).collect();
    let mut stored = 0;
    let mut data = |_: &Id, blobs: &[repo::pack::PackedBlob]| {
        stored += blobs.iter().filter(|entry| entry.blob.kind == repo::BlobKind::Data).count();
    };
    workshop.open().index().unwrap().for_each_pack(&mut data).unwrap();
    assert_eq!(stored, used.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_done_every_snapshot_reads_back(acts in proptest::collection::vec(an_act(), 1..16)) {
        play(acts);
    }
}
