//! Looking into snapshots: ls, find, diff and dump, measured against restic's own answers.

extern crate stead_files as files;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend::{Id, Local, SystemClock};
use files::diff::{Metadata, diff};
use files::dump::{self, Format};
use files::find::{BlobFinder, Blobs, Finder, Found, IdKind, Wanted};
use files::locate::{LocateError, locate, subfolder};
use files::ls::{self, Listed};
use files::pattern::{Case, PatternList};
use repo::compress::Compression;
use repo::node::NodeKind;
use repo::repository::OpenOptions;
use repo::{BlobKind, Cancel, Repository};
use serde_json::Value;
use testkit::{Peer, sample};

/// A repository that restic made, with two snapshots of one folder.
struct Library {
    restic: Peer,
    repo: Repository,
    room: tempfile::TempDir,
    /// Snapshots, oldest first, and their trees.
    snapshots: Vec<(Id, Id)>,
}

impl Library {
    fn open(change: impl Fn(&Path)) -> Option<Library> {
        let restic = Peer::find("restic")?;
        let room = tempfile::tempdir().unwrap();
        let (repository, source) = (room.path().join("repository"), room.path().join("source"));
        std::fs::create_dir(&source).unwrap();
        sample::office(&source, 1, 120);
        std::fs::create_dir(source.join("awkward")).unwrap();
        sample::awkward(&source.join("awkward"));
        restic.succeeds(&repository, ["init"]);
        restic.succeeds(&repository, ["backup", source.to_str().unwrap()]);
        change(&source);
        restic.succeeds(&repository, ["backup", source.to_str().unwrap()]);
        let options = OpenOptions {
            key_hint: None,
            cache: None,
            compression: Compression::Auto,
            pack_size: 16 << 20,
            clock: Arc::new(SystemClock),
            cancel: Cancel::default(),
        };
        let repo = Repository::open(Arc::new(Local::new(&repository, 2)), b"test", options).unwrap();
        let snapshots = repo.snapshots().unwrap().all.iter().map(|(id, snapshot)| (*id, snapshot.tree)).collect();
        Some(Library { restic, repo, room, snapshots })
    }

    fn restic(&self, words: &[&str]) -> String {
        self.restic.succeeds(&self.room.path().join("repository"), words)
    }

    fn root(&self, at: usize) -> &Id {
        &self.snapshots[at].1
    }

    fn name(&self, at: usize) -> String {
        self.snapshots[at].0.to_string()
    }

    fn source(&self) -> PathBuf {
        self.room.path().join("source")
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_listing_is_restics() {
    let Some(library) = Library::open(|_| {}) else { return };
    let source = library.source();
    let within = source.join("client-0");
    for (directories, recursive) in [(vec![], false), (vec![&within], false), (vec![&within], true)] {
        let mut words = vec!["ls", "--json"];
        if recursive {
            words.push("--recursive");
        }
        let name = library.name(0);
        words.push(&name);
        words.extend(directories.iter().map(|directory| directory.to_str().unwrap()));
        let mut theirs = lines(&library.restic(&words));
        theirs.retain(|line| line["message_type"] == "node");
        let directories = directories.iter().map(|directory| directory.to_str().unwrap().as_bytes().to_vec()).collect();
        let options = ls::Options { directories, recursive };
        let mut ours = Vec::new();
        ls::list::<repo::Error>(&library.repo, library.root(0), b"/", &options, &mut |listed| {
            if let Listed::Node { path, node, on_the_way: false } = listed {
                ours.push(serde_json::from_slice::<Value>(&ls::json(path, node)).unwrap());
            }
            Ok(())
        })
        .unwrap();
        assert!(!ours.is_empty());
        assert_eq!(ours, theirs);
    }
}

#[test]
fn an_ncdu_export_is_restics() {
    let Some(library) = Library::open(|_| {}) else { return };
    let theirs: Value = serde_json::from_str(&library.restic(&["ls", "--ncdu", &library.name(0)])).unwrap();
    let mut out = Vec::new();
    let mut ncdu = ls::Ncdu::begin(&mut out, b"{}").unwrap();
    ls::list::<repo::Error>(&library.repo, library.root(0), b"/", &ls::Options::default(), &mut |listed| {
        match listed {
            Listed::Node { node, .. } => ncdu.node(node).unwrap(),
            Listed::Leave => ncdu.leave().unwrap(),
            Listed::Unreadable { error, .. } => return Err(error),
        }
        Ok(())
    })
    .unwrap();
    ncdu.end().unwrap();
    let ours: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(ours[3], theirs[3]);
}

#[test]
fn a_difference_is_restics() {
    let change = |source: &Path| {
        sample::a_day_of_work(source, 2, 5);
        std::fs::remove_file(source.join("latest")).unwrap();
        std::fs::write(source.join("latest"), "a file now").unwrap();
        std::fs::create_dir_all(source.join("new/folder")).unwrap();
        std::fs::write(source.join("new/folder/file"), sample::random_bytes(9, 3 << 20)).unwrap();
    };
    let Some(library) = Library::open(change) else { return };
    for metadata in [Metadata::Ignored, Metadata::Compared] {
        let [first, second] = [library.name(0), library.name(1)];
        let mut words = vec!["diff", "--json", &first, &second];
        if metadata == Metadata::Compared {
            words.push("--metadata");
        }
        let theirs = lines(&library.restic(&words));
        let mut ours = Vec::new();
        let figures =
            diff::<repo::Error>(&library.repo, (library.root(0), library.root(1)), metadata, &mut |path, change| {
                ours.push((String::from_utf8_lossy(path).into_owned(), change.letters()));
                Ok(())
            })
            .unwrap();
        let word = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
        let (last, changes) = theirs.split_last().unwrap();
        let theirs: Vec<_> = changes.iter().map(|line| (word(line, "path"), word(line, "modifier"))).collect();
        assert!(!ours.is_empty());
        assert_eq!(ours, theirs);
        let figures = serde_json::to_value(figures).unwrap();
        for key in ["changed_files", "added", "removed"] {
            assert_eq!(figures[key], last[key], "{key}");
        }
    }
}

#[test]
fn finding_by_pattern_gives_restics_paths_in_all_snapshots() {
    let Some(library) = Library::open(|source| sample::a_day_of_work(source, 2, 5)) else { return };
    for (pattern, case) in
        [("*1*", Case::Sensitive), ("client-*/**/*2*", Case::Sensitive), ("LATEST", Case::Insensitive)]
    {
        let mut words = vec!["find", "--json", "--reverse", pattern];
        if case == Case::Insensitive {
            words.push("--ignore-case");
        }
        let theirs: Value = serde_json::from_str(&library.restic(&words)).unwrap();
        let mut finder = Finder::new(
            &library.repo,
            Wanted { patterns: PatternList::new([pattern], case).unwrap(), ..Wanted::default() },
        );
        for snapshot in 0..2 {
            let mut ours = Vec::new();
            finder
                .search::<repo::Error>(library.root(snapshot), &mut |found| {
                    if let Found::Path { path, .. } = found {
                        ours.push(String::from_utf8_lossy(path).into_owned());
                    }
                    Ok(())
                })
                .unwrap();
            let of_this =
                theirs.as_array().unwrap().iter().find(|hit| hit["snapshot"] == library.name(snapshot).as_str());
            let hits = of_this.map(|hits| hits["matches"].as_array().unwrap().clone()).unwrap_or_default();
            let theirs: Vec<_> = hits.iter().map(|hit| hit["path"].as_str().unwrap().to_owned()).collect();
            assert_eq!(ours, theirs, "{pattern}");
            assert!(!ours.is_empty(), "{pattern}");
        }
    }
}

#[test]
fn finding_by_time_keeps_the_bounds() {
    let Some(library) = Library::open(|source| std::fs::write(source.join("late"), "x").unwrap()) else { return };
    let path = library.source().join("late");
    let node = locate(&library.repo, library.root(1), path.to_str().unwrap().as_bytes()).unwrap().unwrap();
    let moment = jiff::Timestamp::new(node.mtime.seconds, node.mtime.nanoseconds as i32).unwrap();
    let count = |oldest, newest| {
        let patterns = PatternList::new(["late"], Case::Sensitive).unwrap();
        let mut hits = 0;
        let mut finder = Finder::new(&library.repo, Wanted { patterns, oldest, newest });
        finder
            .search::<repo::Error>(library.root(1), &mut |_| {
                let _: () = hits += 1;
                Ok(())
            })
            .unwrap();
        hits
    };
    let nanosecond = jiff::SignedDuration::from_nanos(1);
    assert_eq!(count(Some(moment), Some(moment)), 1);
    assert_eq!(count(Some(moment + nanosecond), None), 0);
    assert_eq!(count(None, Some(moment - nanosecond)), 0);
}

#[test]
fn blobs_trees_and_packs_are_found_where_they_are_used() {
    let Some(library) = Library::open(|source| std::fs::write(source.join("new"), "new").unwrap()) else { return };
    let path = library.source().join("new");
    let path = path.to_str().unwrap().as_bytes();
    let node = locate(&library.repo, library.root(1), path).unwrap().unwrap();
    let blob = node.content.unwrap()[0];
    let hits = |kind, text: &str| {
        let mut blobs = Blobs::default();
        blobs.add(&library.repo, text, kind).unwrap();
        let mut finder = BlobFinder::new(&library.repo, blobs);
        let mut hits = Vec::new();
        for snapshot in 0..2 {
            finder
                .search::<repo::Error>(library.root(snapshot), &mut |found| {
                    if let Found::Blob { blob, path, .. } = found {
                        hits.push((snapshot, blob.id, path.to_vec()));
                    }
                    Ok(())
                })
                .unwrap();
        }
        hits
    };
    let only = vec![(1, blob, path.to_vec())];
    assert_eq!(hits(IdKind::Blob(BlobKind::Data), &blob.to_string()), only);
    assert_eq!(hits(IdKind::Blob(BlobKind::Data), &blob.to_string()[..8]), only);
    assert_eq!(hits(IdKind::Blob(BlobKind::Tree), &blob.to_string()), []);
    let root = library.root(1);
    assert_eq!(hits(IdKind::Blob(BlobKind::Tree), &root.to_string()), [(1, *root, b"/".to_vec())]);
    let handle = repo::BlobHandle { kind: BlobKind::Data, id: blob };
    let pack = library.repo.index().unwrap().find(&handle).unwrap().pack;
    assert!(hits(IdKind::Pack, &pack.to_string()).contains(&only[0]));
    assert!(Blobs::default().add(&library.repo, "nonsense", IdKind::Pack).is_err());
    assert!(Blobs::default().add(&library.repo, "0000000000000000000000", IdKind::Pack).is_err());
}

#[test]
fn a_dumped_file_is_the_file() {
    let content = sample::random_bytes(3, 12 << 20);
    let Some(library) = Library::open(|source| std::fs::write(source.join("large"), &content).unwrap()) else { return };
    let path = library.source().join("large");
    let node = locate(&library.repo, library.root(1), path.to_str().unwrap().as_bytes()).unwrap().unwrap();
    let mut out = Vec::new();
    dump::file(&library.repo, &node, &mut out).unwrap();
    assert!(out == content);
}

#[test]
fn a_dumped_folder_unpacks_to_the_folder() {
    let Some(library) = Library::open(|source| std::fs::write(source.join("new"), "x").unwrap()) else { return };
    let source = library.source();
    let path = source.to_str().unwrap().as_bytes();
    let tree = subfolder(&library.repo, library.root(1), path).unwrap();
    let unpacked = library.room.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let archive = library.room.path().join("archive.tar");
    dump::folder(&library.repo, &tree, b"/", Format::Tar, &mut std::fs::File::create(&archive).unwrap()).unwrap();
    let tar = std::process::Command::new("tar")
        .args(["--extract", "--xattrs", "--xattrs-include=*", "--same-permissions", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(&unpacked)
        .output()
        .unwrap();
    assert!(tar.status.success() && tar.stderr.is_empty(), "{}", String::from_utf8_lossy(&tar.stderr));
    let clean = library.room.path().join("clean");
    let words = ["restore", "latest", "--target", clean.to_str().unwrap()];
    library.restic(&words);
    let clean = clean.join(source.strip_prefix("/").unwrap());
    let names = |root: &Path| {
        walk(root)
            .iter()
            .map(|path| path.strip_prefix(root).unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(&clean), names(&unpacked));
    for path in walk(&clean) {
        let other = unpacked.join(path.strip_prefix(&clean).unwrap());
        let (a, b) = (std::fs::symlink_metadata(&path).unwrap(), std::fs::symlink_metadata(&other).unwrap());
        use std::os::unix::fs::MetadataExt;
        assert_eq!(
            (a.mode(), a.uid(), a.gid(), a.rdev(), a.mtime()),
            (b.mode(), b.uid(), b.gid(), b.rdev(), b.mtime()),
            "{}",
            path.display()
        );
        if a.is_file() {
            assert!(std::fs::read(&path).unwrap() == std::fs::read(&other).unwrap(), "{}", path.display());
        }
    }
}

fn walk(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if std::fs::symlink_metadata(&path).unwrap().is_dir() {
                left.push(path.clone());
            }
            found.push(path);
        }
    }
    found
}

#[test]
fn a_zip_holds_files_folders_and_links() {
    let Some(library) = Library::open(|_| {}) else { return };
    let source = library.source();
    let tree = subfolder(&library.repo, library.root(0), source.join("client-0").to_str().unwrap().as_bytes()).unwrap();
    let mut out = Vec::new();
    dump::folder(&library.repo, &tree, b"/client-0", Format::Zip, &mut out).unwrap();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(out)).unwrap();
    let mut files = 0;
    let mut expected = 0;
    ls::list::<repo::Error>(&library.repo, &tree, b"/client-0", &ls::Options::default(), &mut |listed| {
        let Listed::Node { path, node, .. } = listed else { return Ok(()) };
        if node.kind == NodeKind::File {
            expected += 1;
            let name = std::str::from_utf8(&path[1..]).unwrap();
            let mut entry = archive.by_name(name).unwrap();
            let mut content = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            assert!(content == std::fs::read(source.join(name)).unwrap(), "{name}");
            assert_eq!(entry.unix_mode().unwrap() & 0o777, node.mode & 0o777);
            files += 1;
        }
        Ok(())
    })
    .unwrap();
    assert!(files > 0);
    assert_eq!(files, expected);
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let Some(library) = Library::open(|_| {}) else { return };
    let root = library.root(0);
    assert!(locate(&library.repo, root, b"/").unwrap().is_none());
    let missing = locate(&library.repo, root, b"/no/such/thing").unwrap_err();
    assert!(matches!(&missing, LocateError::NotFound { path } if path == "/no"), "{missing}");
    let file = library.source().join("latest");
    let error = subfolder(&library.repo, root, file.to_str().unwrap().as_bytes()).unwrap_err();
    assert!(matches!(error, LocateError::NotADirectory { .. }), "{error}");
}
