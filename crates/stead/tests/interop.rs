//! Gate 1: repositories go back and forth between stead, restic and rustic, and nobody notices.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use testkit::{Peer, Picture, sample};

/// A source, a repository and room for restores.
struct Desk {
    room: TempDir,
    stead: Peer,
}

impl Desk {
    fn new() -> Desk {
        let desk = Desk { room: TempDir::new().expect("room"), stead: Peer::at(env!("CARGO_BIN_EXE_stead")) };
        fs::create_dir(desk.source()).expect("a folder");
        desk
    }

    fn with_office() -> Desk {
        let desk = Desk::new();
        sample::office(&desk.source(), 1, 300);
        desk
    }

    fn source(&self) -> PathBuf {
        self.room.path().join("source")
    }

    fn repository(&self) -> PathBuf {
        self.room.path().join("repository")
    }

    fn backup_with(&self, program: &Peer) {
        let source = self.source();
        program.succeeds(&self.repository(), ["backup", source.to_str().expect("a path")]);
    }

    /// Restores the latest snapshot and compares it with the source.
    fn restores_with(&self, program: &Peer) {
        self.restored_looks_like(program, "latest", &Picture::of(&self.source()));
    }

    fn restored_looks_like(&self, program: &Peer, snapshot: &str, expected: &Picture) {
        let target = tempfile::tempdir_in(self.room.path()).expect("room");
        if program.path().ends_with("rustic") {
            program.succeeds(&self.repository(), ["restore", snapshot, path_str(target.path())]);
        } else {
            program.succeeds(&self.repository(), ["restore", snapshot, "--target", path_str(target.path())]);
        }
        let below = self.source();
        expected.assert_same(&Picture::of(&target.path().join(below.strip_prefix("/").expect("absolute"))));
    }

    /// Backs up `source` by a relative name, so that no folder above it, which other tests change, is in the tree.
    fn backup_in_zone(&self, program: &Peer, zone: &str) {
        let mut command = program.repository_command(&self.repository());
        command.env("TZ", zone).current_dir(self.room.path()).args(["backup", "--force", "source"]);
        let done = command.output().expect("runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn latest_tree(&self, program: &Peer) -> String {
        let printed = program.succeeds(&self.repository(), ["snapshots", "--json", "latest"]);
        let snapshots: serde_json::Value = serde_json::from_str(&printed).expect("JSON");
        snapshots[0]["tree"].as_str().expect("a tree").to_owned()
    }
}

fn path_str(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[test]
fn restic_checks_rewrites_prunes_and_restores_what_stead_wrote() {
    let Some(restic) = Peer::find("restic") else { return };
    let desk = Desk::with_office();
    desk.stead.succeeds(&desk.repository(), ["init"]);
    desk.backup_with(&desk.stead);
    sample::a_day_of_work(&desk.source(), 2, 5);
    desk.backup_with(&desk.stead);
    restic.succeeds(&desk.repository(), ["check", "--read-data"]);
    desk.restores_with(&restic);
    restic.succeeds(&desk.repository(), ["rewrite", "--exclude", "letter 7.txt", "--forget"]);
    restic.succeeds(&desk.repository(), ["forget", "--keep-last", "1", "--prune", "--max-unused", "0"]);
    desk.stead.succeeds(&desk.repository(), ["check", "--read-data"]);
    desk.backup_with(&restic);
    desk.restores_with(&desk.stead);
}

#[test]
fn stead_checks_prunes_and_restores_what_restic_wrote() {
    let Some(restic) = Peer::find("restic") else { return };
    let desk = Desk::with_office();
    restic.succeeds(&desk.repository(), ["init"]);
    desk.backup_with(&restic);
    sample::a_day_of_work(&desk.source(), 3, 5);
    desk.backup_with(&desk.stead);
    desk.stead.succeeds(&desk.repository(), ["check", "--read-data"]);
    desk.restores_with(&desk.stead);
    desk.restores_with(&restic);
    desk.stead.succeeds(&desk.repository(), ["forget", "--keep-last", "1", "--prune", "--max-unused", "0"]);
    restic.succeeds(&desk.repository(), ["check", "--read-data"]);
    desk.restores_with(&restic);
}

#[test]
fn stead_reads_a_repository_of_version_1() {
    let Some(restic) = Peer::find("restic") else { return };
    let desk = Desk::with_office();
    restic.succeeds(&desk.repository(), ["init", "--repository-version", "1"]);
    desk.backup_with(&restic);
    desk.stead.succeeds(&desk.repository(), ["check", "--read-data"]);
    desk.restores_with(&desk.stead);
    desk.backup_with(&desk.stead);
    restic.succeeds(&desk.repository(), ["check", "--read-data"]);
    desk.restores_with(&restic);
}

/// F13: index files that several programs wrote, through all their ways of rewriting them.
#[test]
fn rustic_and_stead_share_a_repository() {
    let Some(rustic) = Peer::find("rustic") else { return };
    let Some(restic) = Peer::find("restic") else { return };
    let desk = Desk::with_office();
    desk.stead.succeeds(&desk.repository(), ["init"]);
    desk.backup_with(&desk.stead);
    rustic.succeeds(&desk.repository(), ["check", "--read-data"]);
    desk.restores_with(&rustic);
    rustic.succeeds(&desk.repository(), ["config", "--set-treepack-size", "8MiB"]);
    sample::a_day_of_work(&desk.source(), 4, 5);
    desk.backup_with(&desk.stead);
    desk.backup_with(&rustic);
    sample::a_day_of_work(&desk.source(), 5, 5);
    desk.backup_with(&desk.stead);
    rustic.succeeds(
        &desk.repository(),
        ["forget", "--keep-last", "1", "--prune", "--instant-delete", "--max-unused", "0%"],
    );
    for program in [&desk.stead, &rustic, &restic] {
        program.succeeds(&desk.repository(), ["check", "--read-data"]);
        desk.restores_with(program);
    }
}

#[test]
fn stead_prunes_a_repository_that_rustic_made() {
    let Some(rustic) = Peer::find("rustic") else { return };
    let Some(restic) = Peer::find("restic") else { return };
    let desk = Desk::with_office();
    rustic.succeeds(&desk.repository(), ["init"]);
    desk.backup_with(&rustic);
    sample::a_day_of_work(&desk.source(), 6, 3);
    desk.backup_with(&rustic);
    desk.stead.succeeds(&desk.repository(), ["check", "--read-data"]);
    desk.stead.succeeds(&desk.repository(), ["forget", "--keep-last", "1", "--prune", "--max-unused", "0"]);
    desk.backup_with(&desk.stead);
    for program in [&desk.stead, &rustic, &restic] {
        program.succeeds(&desk.repository(), ["check", "--read-data"]);
        desk.restores_with(program);
    }
}

#[test]
fn restic_and_stead_make_the_same_tree_of_everything_awkward() {
    let Some(restic) = Peer::find("restic") else { return };
    let desk = Desk::new();
    sample::awkward(&desk.source());
    restic.succeeds(&desk.repository(), ["init"]);
    desk.backup_in_zone(&restic, "Europe/Berlin");
    let theirs = desk.latest_tree(&restic);
    desk.backup_in_zone(&desk.stead, "Europe/Berlin");
    assert_eq!(desk.latest_tree(&desk.stead), theirs, "the root trees differ");
    let below = desk.room.path().join("restored");
    for program in [&desk.stead, &restic] {
        program.succeeds(&desk.repository(), ["restore", "latest", "--target", path_str(&below)]);
        Picture::of(&desk.source()).assert_same(&Picture::of(&below.join("source")));
        fs::remove_dir_all(&below).expect("a folder");
    }
}

#[test]
fn a_tree_is_the_same_under_another_time_zone_too() {
    let Some(restic) = Peer::find("restic") else { return };
    let desk = Desk::new();
    sample::office(&desk.source(), 9, 30);
    restic.succeeds(&desk.repository(), ["init"]);
    let mut trees = Vec::new();
    for program in [&restic, &desk.stead] {
        desk.backup_in_zone(program, "America/St_Johns");
        trees.push(desk.latest_tree(&restic));
    }
    assert_eq!(trees[0], trees[1], "the root trees differ");
}

#[test]
fn snapshots_travel_between_repositories_with_either_program() {
    let Some(restic) = Peer::find("restic") else { return };
    let desk = Desk::with_office();
    desk.stead.succeeds(&desk.repository(), ["init", "--chunker", "rabin"]);
    desk.backup_with(&desk.stead);
    for (program, reader) in [(&desk.stead, &restic), (&restic, &desk.stead)] {
        let second = tempfile::tempdir_in(desk.room.path()).expect("room");
        for words in [&["init", "--copy-chunker-params"][..], &["copy"]] {
            let mut command = program.repository_command(second.path());
            command.env("RESTIC_FROM_REPOSITORY", desk.repository()).env("RESTIC_FROM_PASSWORD", "test").args(words);
            let done = command.output().expect("runs");
            assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
        }
        reader.succeeds(second.path(), ["check", "--read-data"]);
        let target = tempfile::tempdir_in(desk.room.path()).expect("room");
        reader.succeeds(second.path(), ["restore", "latest", "--target", path_str(target.path())]);
        let below = desk.source();
        Picture::of(&below).assert_same(&Picture::of(&target.path().join(below.strip_prefix("/").expect("absolute"))));
    }
}
