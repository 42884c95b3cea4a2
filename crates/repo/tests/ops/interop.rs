//! restic works on what we tended, and we on what restic tended.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backend::{Backend, Local};
use rand::{RngCore, SeedableRng};
use repo::progress::Silent;
use repo::prune::{MaxUnused, PruneOptions, PruneWhen};
use repo::stats::{self, StatsMode};
use testkit::Peer;

use crate::workshop::{Workshop, files};

fn thorough(when: PruneWhen) -> PruneOptions {
    PruneOptions { max_unused: MaxUnused::Bytes(0), when, ..PruneOptions::default() }
}

/// A folder whose content changes with every call.
fn change(folder: &Path, round: u8) {
    let mut random = rand::rngs::StdRng::seed_from_u64(round.into());
    std::fs::create_dir_all(folder.join(format!("d{round}/e"))).unwrap();
    for number in 0..30u8 {
        let mut bytes = vec![0; 1000 * usize::from(number) + 1];
        if number % 3 > 0 {
            random.fill_bytes(&mut bytes);
        }
        let place = ["", "d0/", "d0/e/"][usize::from(number) % 3];
        if number % 4 == round % 4 || round == 0 {
            std::fs::write(folder.join(format!("{place}{number}")), &bytes).unwrap();
        }
    }
    let _ = std::fs::hard_link(folder.join("0"), folder.join("hard link"));
    let _ = std::os::unix::fs::symlink("elsewhere", folder.join("link"));
}

/// A repository on disk, and restic.
struct Shared {
    room: tempfile::TempDir,
    restic: Peer,
    workshop: Workshop,
}

impl Shared {
    fn new() -> Option<Shared> {
        let restic = Peer::find("restic")?;
        let room = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Backend> = Arc::new(Local::new(room.path().join("repo"), 2));
        let workshop = Workshop::on(storage, 2);
        Some(Shared { room, restic, workshop })
    }

    fn restic(&self, words: &[&str]) -> String {
        self.restic.succeeds(&self.room.path().join("repo"), words)
    }

    fn back_up(&self, rounds: std::ops::Range<u8>) {
        let work = self.room.path().join("work");
        for round in rounds {
            change(&work, round);
            self.restic(&["backup", "--quiet", work.to_str().unwrap()]);
        }
    }

    fn restic_is_content(&self) {
        self.restic(&["check", "--read-data"]);
        let target = self.room.path().join("restored");
        self.restic(&["restore", "latest", "--verify", "--target", target.to_str().unwrap()]);
    }
}

/// restic's figures of a prune: the first number behind each label, blobs and packs apart.
fn figures(output: &str) -> Vec<(String, u64)> {
    let line = |line: &str| {
        let (label, rest) = line.split_once(':')?;
        let mut words = rest.split_whitespace();
        let number = words.next()?.parse().ok()?;
        let label = label.trim();
        Some((if words.next() == Some("blobs") { format!("{label} blobs") } else { label.to_owned() }, number))
    };
    output.lines().filter(|line| !line.starts_with("unused size")).filter_map(line).collect()
}

/// Ours under restic's labels.
fn our_figures(stats: &repo::prune::PruneStats) -> Vec<(String, u64)> {
    let repo::prune::PruneStats { blobs, packs, .. } = stats;
    let mut figures = vec![("used blobs", blobs.used)];
    if blobs.duplicate > 0 {
        figures.push(("duplicates blobs", blobs.duplicate));
    }
    figures.extend([
        ("unused blobs", blobs.unused),
        ("total blobs", blobs.total),
        ("to repack blobs", blobs.repack),
        ("this removes blobs", blobs.repack_remove),
        ("to delete blobs", blobs.remove),
        ("total prune blobs", blobs.remove_total),
        ("remaining blobs", blobs.remaining),
        ("totally used packs", packs.used),
        ("partly used packs", packs.partly_used),
        ("unused packs", packs.unused),
        ("to keep", packs.keep),
        ("to repack", packs.repack),
        ("to delete", packs.remove),
    ]);
    figures.into_iter().map(|(label, number)| (label.to_owned(), number)).collect()
}

#[test]
fn restic_is_content_with_a_repository_that_we_pruned() {
    let Some(shared) = Shared::new() else { return };
    shared.back_up(0..5);
    shared.restic(&["forget", "--keep-last", "2"]);
    assert!(shared.workshop.prune(&thorough(PruneWhen::Now)).removed_packs > 0);
    shared.restic_is_content();
    let figures = figures(&shared.restic(&["prune", "--dry-run", "-v", "--max-unused", "0"]));
    assert!(figures.contains(&("unused blobs".into(), 0)), "{figures:?}");
    assert!(!figures.iter().any(|(label, _)| label == "duplicates blobs"), "{figures:?}");
}

#[test]
fn our_plan_has_restics_figures() {
    let Some(shared) = Shared::new() else { return };
    shared.back_up(0..6);
    shared.restic(&["forget", "--keep-last", "2"]);
    for (percent, word) in [(0.0, "0"), (30.0, "30%")] {
        let options = PruneOptions { max_unused: MaxUnused::Percent(percent), ..PruneOptions::default() };
        let plan = repo::prune::plan_prune(&shared.workshop.open(), &options, &Silent).unwrap();
        let theirs = figures(&shared.restic(&["prune", "--dry-run", "-v", "--max-unused", word]));
        assert_eq!(our_figures(&plan.stats), theirs);
    }
}

#[test]
fn we_are_content_with_a_repository_that_restic_pruned() {
    let Some(shared) = Shared::new() else { return };
    shared.back_up(0..4);
    shared.restic(&["forget", "--keep-last", "1"]);
    shared.restic(&["prune", "--max-unused", "0"]);
    assert_eq!(shared.workshop.check(), Vec::<String>::new());
    let plan = repo::prune::plan_prune(&shared.workshop.open(), &thorough(PruneWhen::Now), &Silent).unwrap();
    assert_eq!(plan.stats.blobs.unused, 0);
}

#[test]
fn restic_copes_with_packs_that_wait_for_deletion() {
    let Some(shared) = Shared::new() else { return };
    shared.back_up(0..4);
    shared.restic(&["forget", "--keep-last", "1"]);
    let delayed = thorough(PruneWhen::Delayed(Duration::from_secs(3600)));
    assert!(shared.workshop.prune(&delayed).marked_packs > 0);
    shared.restic_is_content();
    shared.back_up(4..6);
    shared.restic_is_content();
    assert_eq!(shared.workshop.check(), Vec::<String>::new());
    shared.workshop.wait(2);
    assert!(shared.workshop.prune(&delayed).removed_packs > 0);
    shared.restic_is_content();
    shared.restic(&["prune", "--max-unused", "0"]);
    assert_eq!(shared.workshop.check(), Vec::<String>::new());
}

#[test]
fn our_counts_are_restics() {
    let Some(shared) = Shared::new() else { return };
    shared.back_up(0..3);
    let repo = shared.workshop.open();
    let all = repo.snapshots().unwrap().all;
    for (mode, word) in [
        (StatsMode::RestoreSize, "restore-size"),
        (StatsMode::FilesByContents, "files-by-contents"),
        (StatsMode::BlobsPerFile, "blobs-per-file"),
        (StatsMode::RawData, "raw-data"),
    ] {
        let ours = serde_json::to_value(stats::stats(&repo, &all, mode, &Silent).unwrap()).unwrap();
        let theirs = shared.restic(&["stats", "--json", "--mode", word]);
        let theirs: serde_json::Value = serde_json::from_str(theirs.lines().last().unwrap()).unwrap();
        for (name, number) in theirs.as_object().unwrap() {
            let (ours, theirs) = (ours[name].as_f64().unwrap(), number.as_f64().unwrap());
            assert!((ours - theirs).abs() < 1e-6, "{word} {name}: {ours} is not {theirs}");
        }
    }
}

#[test]
fn restic_reads_what_we_copied() {
    let Some(shared) = Shared::new() else { return };
    let source = Workshop::new();
    source.save(&files(&[("a", &[1, 2]), ("d/b", &[3])]));
    let from = source.open();
    let all = from.snapshots().unwrap().all;
    repo::copy::copy(&from, &shared.workshop.open(), all, &mut |_, _| {}, &Silent).unwrap();
    shared.restic_is_content();
}

#[test]
fn rustic_and_we_understand_each_others_marks() {
    let Some(shared) = Shared::new() else { return };
    let Some(rustic) = Peer::find("rustic") else { return };
    let repository = shared.room.path().join("repo");
    shared.back_up(0..4);
    shared.restic(&["forget", "--keep-last", "1"]);
    // rustic marks; we see no damage, and remove what it marked once its delay and ours have passed.
    rustic.succeeds(&repository, ["prune", "--max-unused", "0"]);
    let marked = shared.workshop.open().index().unwrap().packs_to_delete().len();
    assert!(marked > 0, "rustic marked nothing");
    assert_eq!(shared.workshop.check(), Vec::<String>::new());
    shared.workshop.wait_until(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2));
    let delayed = thorough(PruneWhen::Delayed(Duration::from_secs(3600)));
    assert_eq!(shared.workshop.prune(&delayed).removed_packs, marked as u64);
    rustic.succeeds(&repository, ["check", "--read-data"]);
    // We mark; rustic sees no damage, and removes what we marked.
    shared.back_up(4..7);
    shared.restic(&["forget", "--keep-last", "1"]);
    shared.workshop.wait_until("2026-01-01T00:00:00Z".parse().unwrap());
    let marked = shared.workshop.prune(&delayed).marked_packs;
    assert!(marked > 0);
    rustic.succeeds(&repository, ["check", "--read-data"]);
    let before = shared.workshop.list(backend::FileKind::Pack).len();
    rustic.succeeds(&repository, ["prune", "--keep-delete", "1h", "--max-unused", "unlimited"]);
    assert_eq!(shared.workshop.list(backend::FileKind::Pack).len(), before - marked as usize);
    shared.restic_is_content();
}
