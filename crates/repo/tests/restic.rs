//! One repository, restic and this crate in turn.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backend::{Id, Local, SystemClock};
use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::key::{KdfParams, KeyOrigin};
use repo::lock::{self, Lock, LockKind, LockOptions, LockOwner};
use repo::repository::{InitOptions, OpenOptions};
use repo::snapshot::Snapshot;
use repo::writer::BlobWriter;
use repo::{BlobHandle, BlobKind, Cancel, Repository};
use stead_repo as repo;
use testkit::peer::Peer;

fn options(cache: Option<&Path>) -> OpenOptions {
    OpenOptions {
        key_hint: None,
        cache: cache.map(Path::to_owned),
        compression: Compression::Auto,
        pack_size: 4 << 20,
        clock: Arc::new(SystemClock),
        cancel: Cancel::default(),
    }
}

fn init(path: &Path, version: u32) -> Arc<Repository> {
    let init = InitOptions {
        chunker: ChunkerKind::Rabin,
        chunker_polynomial: None,
        version,
        kdf: KdfParams { n: 1 << 12, r: 8, p: 1 },
        origin: KeyOrigin { created: jiff::Zoned::now(), username: "ada".into(), hostname: "desk".into() },
    };
    Arc::new(Repository::init(Arc::new(Local::new(path, 2)), b"test", &init, options(None)).unwrap())
}

fn open(path: &Path, cache: Option<&Path>) -> Arc<Repository> {
    Arc::new(Repository::open(Arc::new(Local::new(path, 2)), b"test", options(cache)).unwrap())
}

/// Stores a file of `pieces` as one snapshot, with nothing but blobs.
fn back_up(repo: &Arc<Repository>, pieces: &[Vec<u8>]) -> Id {
    let writer = BlobWriter::new(repo);
    let mut scratch = writer.scratch();
    let mut save = |kind, plain: &[u8]| writer.save(kind, plain, &mut scratch).unwrap().id;
    let content: Vec<String> = pieces.iter().map(|piece| format!("\"{}\"", save(BlobKind::Data, piece))).collect();
    let size: usize = pieces.iter().map(Vec::len).sum();
    let time = "\"2026-11-22T02:00:00Z\"";
    let tree = format!(
        "{{\"nodes\":[{{\"name\":\"file\",\"type\":\"file\",\"mode\":420,\"mtime\":{time},\"atime\":{time},\"ctime\":{time},\
         \"uid\":0,\"gid\":0,\"size\":{size},\"links\":1,\"content\":[{}]}}]}}\n",
        content.join(",")
    );
    let tree = save(BlobKind::Tree, tree.as_bytes());
    writer.finish().unwrap();
    let snapshot = serde_json::json!({
        "time": jiff::Timestamp::now().to_string(), "tree": tree, "paths": ["/file"], "hostname": "desk", "username": "ada",
    });
    repo.write_snapshot(&serde_json::from_value::<Snapshot>(snapshot).unwrap()).unwrap()
}

fn pieces(seed: u64) -> Vec<Vec<u8>> {
    (0..60).map(|at| testkit::sample::random_bytes(seed * 1000 + at, 1 + at as usize * 5_000)).collect()
}

#[test]
fn restic_reads_checks_and_prunes_what_we_wrote() {
    let Some(restic) = Peer::find("restic") else { return };
    for version in [1, 2] {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("repo");
        let repo = init(&path, version);
        let (first, second) = (pieces(1), [pieces(2), vec![vec![b'x'; 3_000_000]]].concat());
        let forgotten = back_up(&repo, &first);
        back_up(&repo, &second);
        assert!(restic.succeeds(&path, ["check", "--read-data"]).contains("no errors were found"));
        let dumped = restic.on(&path, ["dump", "latest", "/file"]).stdout;
        assert!(dumped == second.concat());

        let cache = room.path().join("cache");
        assert!(open(&path, Some(&cache)).index().unwrap().contains(&data(&first[30])));
        restic.succeeds(&path, ["forget", &forgotten.to_string(), "--prune", "--max-unused", "0"]);
        restic.succeeds(&path, ["check", "--read-data"]);
        let after = open(&path, Some(&cache));
        assert!(!after.index().unwrap().contains(&data(&first[30])), "the cache did not outlive what restic pruned");
        assert!(after.read_blob(&data(&second[30])).unwrap() == second[30]);
    }
}

fn data(plain: &[u8]) -> BlobHandle {
    BlobHandle { kind: BlobKind::Data, id: Id::of(plain) }
}

#[test]
fn we_read_and_extend_what_restic_wrote() {
    let Some(restic) = Peer::find("restic") else { return };
    for version in ["1", "2"] {
        let room = tempfile::tempdir().unwrap();
        let (path, source) = (room.path().join("repo"), room.path().join("source"));
        restic.succeeds(&path, ["init", "--repository-version", version]);
        testkit::sample::office(&source, 5, 60);
        restic.succeeds(&path, ["backup", source.to_str().unwrap()]);

        let repo = open(&path, Some(&room.path().join("cache")));
        let found = repo.find_snapshot("latest", &Default::default()).unwrap();
        let mut trees = vec![found.snapshot.tree];
        let mut files = 0;
        while let Some(tree) = trees.pop() {
            for node in repo.read_tree(&tree).unwrap().nodes {
                trees.extend(node.subtree);
                let content = node.content.unwrap_or_default();
                let read =
                    |id: &Id| repo.read_blob(&BlobHandle { kind: BlobKind::Data, id: *id }).unwrap().len() as u64;
                assert_eq!(content.iter().map(read).sum::<u64>(), node.size);
                files += u32::from(node.size > 0);
            }
        }
        assert!(files > 10);
        back_up(&repo, &pieces(3));
        assert_eq!(restic.on(&path, ["dump", "latest", "/file"]).stdout, pieces(3).concat());
        restic.succeeds(&path, ["check", "--read-data"]);
    }
}

#[test]
fn restic_and_we_honour_each_others_locks() {
    let Some(restic) = Peer::find("restic") else { return };
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("repo");
    let repo = init(&path, 2);
    let owner = LockOwner::this_process("desk", "ada");
    let exclusive = LockOptions { kind: LockKind::Exclusive, owner: owner.clone(), wait: Duration::ZERO };
    let shared = LockOptions { kind: LockKind::Shared, ..exclusive.clone() };

    let held = Lock::acquire(&repo, &exclusive).unwrap();
    let refused = restic.on(&path, ["backup", "/etc/hostname"]);
    assert_eq!(refused.status.code(), Some(11), "{}", String::from_utf8_lossy(&refused.stderr));
    drop(held);
    let held = Lock::acquire(&repo, &shared).unwrap();
    restic.succeeds(&path, ["backup", "/etc/hostname"]);
    assert_eq!(restic.on(&path, ["prune"]).status.code(), Some(11));
    let shown = restic.succeeds(&path, ["--no-lock", "cat", "lock", &repo.own_lock().unwrap().to_string()]);
    assert!(shown.contains("\"username\": \"ada\""), "{shown}");
    drop(held);

    let mut waiting = restic.repository_command(&path).args(["backup", "--stdin"]).stdin(piped()).spawn().unwrap();
    let theirs = wait_for_lock(&repo);
    assert!(!theirs.exclusive && theirs.stead.is_none());
    assert!(matches!(Lock::acquire(&repo, &exclusive), Err(repo::Error::Locked { .. })));
    drop(Lock::acquire(&repo, &shared).unwrap());
    assert_eq!(lock::remove_stale(&repo, &owner).unwrap(), 0, "it lives");
    drop(waiting.stdin.take());
    assert!(!waiting.wait().unwrap().success(), "nothing came in");
    drop(Lock::acquire(&repo, &exclusive).unwrap());
}

fn piped() -> std::process::Stdio {
    std::process::Stdio::piped()
}

fn wait_for_lock(repo: &Repository) -> lock::LockContent {
    for _ in 0..600 {
        if let Some(lock) = lock::list(repo).unwrap().pop() {
            return lock.content.unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("restic did not lock")
}
