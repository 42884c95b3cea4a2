//! What restic backed up we restore as restic does.

use std::path::Path;
use std::sync::Arc;

use backend::Local;
use files::restore::Options;
use repo::Repository;
use testkit::{Peer, Picture, sample};

use crate::world::{open_options, try_restore};

/// Restores restic's latest snapshot by us and by restic; the folders must look the same.
fn same_as_restic(fill: impl Fn(&Path), options: &Options<'_>) {
    let Some(restic) = Peer::find("restic") else { return };
    let room = tempfile::tempdir().unwrap();
    let [repository, source, ours, theirs] =
        ["repository", "source", "ours", "theirs"].map(|name| room.path().join(name));
    std::fs::create_dir(&source).unwrap();
    fill(&source);
    restic.succeeds(&repository, ["init"]);
    restic.succeeds(&repository, ["backup", source.to_str().unwrap()]);
    restic.succeeds(&repository, ["restore", "latest", "--target", theirs.to_str().unwrap()]);
    let repo = Repository::open(Arc::new(Local::new(&repository, 2)), b"test", open_options()).unwrap();
    let snapshots = repo.snapshots().unwrap();
    let (result, errors) = try_restore(&repo, snapshots.all[0].1.tree, &ours, options);
    assert_eq!(errors, [""; 0]);
    let summary = result.unwrap();
    assert_eq!(summary.total_files, summary.files_restored);
    Picture::of(&theirs).assert_same(&Picture::of(&ours));
    let below = |root: &Path| root.join(source.strip_prefix("/").unwrap());
    Picture::of(&source).assert_same(&Picture::of(&below(&ours)));
}

#[test]
fn a_small_office_comes_back_from_restics_repository() {
    same_as_restic(|root| sample::office(root, 1, 300), &Options { verify: true, ..Options::default() });
}

#[test]
fn everything_awkward_comes_back_from_restics_repository() {
    same_as_restic(sample::awkward, &Options { sparse: true, ..Options::default() });
}
