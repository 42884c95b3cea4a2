//! Two machines with caches of everything, one storage: whatever one of them deletes, the other does not build on it,
//! and whatever becomes of a cached file, nobody reads anything wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backend::Id;
use proptest::prelude::*;
use repo::prune::{MaxUnused, PruneOptions, PruneWhen};

use crate::workshop::{Files, Workshop, load};

#[derive(Clone, Debug)]
enum Act {
    Save(usize, Files),
    Read(usize),
    Forget(usize),
    Prune(usize),
    PruneWithDelay(usize),
    Wait(i64),
    /// The cached file of this number on a machine is cut, flipped or lost.
    Spoil(usize, usize, Harm),
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    Cut,
    Flip,
    Lose,
}

fn some_files() -> impl Strategy<Value = Files> {
    let path = prop_oneof!["[a-d]", "x/[ab]", "y/z/[ab]"];
    proptest::collection::btree_map(path, proptest::collection::vec(0..20u32, 0..4), 1..5)
}

fn an_act() -> impl Strategy<Value = Act> {
    let harm = prop_oneof![Just(Harm::Cut), Just(Harm::Flip), Just(Harm::Lose)];
    prop_oneof![
        4 => (0..2usize, some_files()).prop_map(|(machine, files)| Act::Save(machine, files)),
        2 => (0..2usize).prop_map(Act::Read),
        3 => any::<usize>().prop_map(Act::Forget),
        2 => (0..2usize).prop_map(Act::Prune),
        2 => (0..2usize).prop_map(Act::PruneWithDelay),
        1 => (1..60i64).prop_map(Act::Wait),
        3 => (0..2usize, any::<usize>(), harm).prop_map(|(machine, which, harm)| Act::Spoil(machine, which, harm)),
    ]
}

fn options(when: PruneWhen) -> PruneOptions {
    PruneOptions { max_unused: MaxUnused::Bytes(0), when, ..PruneOptions::default() }
}

fn delayed() -> PruneOptions {
    options(PruneWhen::Delayed(Duration::from_secs(48 * 3600)))
}

fn cached_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { cached_files(&path, found) } else { found.push(path) }
    }
}

fn spoil(machine: &Workshop, which: usize, harm: Harm) {
    let mut found = Vec::new();
    cached_files(machine.cache().unwrap(), &mut found);
    found.sort();
    let Some(path) = found.get(which % found.len().max(1)) else { return };
    let mut bytes = std::fs::read(path).unwrap();
    std::fs::remove_file(path).unwrap();
    match harm {
        Harm::Lose => return,
        Harm::Cut => bytes.truncate(bytes.len() / 2),
        Harm::Flip => {
            let middle = bytes.len() / 2;
            bytes.get_mut(middle).into_iter().for_each(|byte| *byte ^= 1);
        }
    }
    std::fs::write(path, bytes).unwrap();
}

fn everything_is_there(machine: &Workshop, live: &BTreeMap<Id, Files>) {
    let repo = machine.open();
    for (id, files) in live {
        assert_eq!(&load(&repo, *id).unwrap(), files);
    }
}

fn play(acts: Vec<Act>) {
    let first = Workshop::new().with_copies();
    let machines = [Workshop::sharing(&first).with_copies(), first];
    let mut live: BTreeMap<Id, Files> = BTreeMap::new();
    for act in acts {
        machines[0].wait(1);
        match act {
            Act::Save(machine, files) => drop(live.insert(machines[machine].save(&files), files)),
            Act::Read(machine) => everything_is_there(&machines[machine], &live),
            Act::Forget(which) => {
                let Some(id) = live.keys().nth(which % live.len().max(1)).copied() else { continue };
                machines[0].forget(id);
                live.remove(&id);
            }
            Act::Prune(machine) => drop(machines[machine].prune(&options(PruneWhen::Now))),
            Act::PruneWithDelay(machine) => drop(machines[machine].prune(&delayed())),
            Act::Wait(hours) => machines[0].wait(hours),
            Act::Spoil(machine, which, harm) => spoil(&machines[machine], which, harm),
        }
    }
    for machine in machines.iter().chain([&Workshop::sharing(&machines[0])]) {
        everything_is_there(machine, &live);
        assert_eq!(machine.check(), Vec::<String>::new());
    }
}

/// More where there is time.
fn cases() -> u32 {
    if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { 16 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 100, ..ProptestConfig::default() })]

    /// F33: in Proxmox' backup server a chunk that was written, one that was renamed as corrupt, the garbage collector and
    /// two layers of local markers took three attempts to get right.
    #[test]
    fn caches_of_two_machines_and_pruning_get_along(acts in proptest::collection::vec(an_act(), 1..24)) {
        play(acts);
    }
}
