//! Drill: a sample of files is restored to a temporary place, read back, and compared with the machine's own where they are
//! still the same.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use aws_lc_rs::digest::{Context, Digest, SHA256};
use files::restore::Options;
use fleet::{Drill, Phase, size_in_words};
use repo::node::NodeKind;
use repo::snapshot::{Snapshot, SnapshotFilter};
use repo::{Id, Repository};

use super::restore::{self, chosen};
use super::{Done, Halt, Task};
use crate::storage;

/// How many files a sample has.
const FILES: usize = 20;

/// How many bytes.
const BYTES: u64 = 256 << 20;

/// How often a way down the folders is tried.
const TRIES: usize = 400;

/// Practises a restore.
pub(super) fn drill(task: &Task, drill: Drill) -> Result<Done, Halt> {
    if let Some(why) = impossible(drill) {
        return Err(Halt::Failed(why.into()));
    }
    task.watch.enter(Phase::Preparing);
    let opened = storage::open(task)?;
    let filter = SnapshotFilter { hosts: vec![task.core.setup.host.clone()], ..SnapshotFilter::default() };
    let (id, snapshot) = opened.repo.latest_snapshot(&filter)?;
    let sample = sample(&opened.repo, &snapshot)?;
    if sample.paths.is_empty() {
        return Err(Halt::Failed(format!("snapshot {} has no files to sample", id.short())));
    }
    let room = task.core.setup.place.drills().join(task.ongoing.run.to_string());
    let compared = compare(task, &opened.repo, &snapshot.tree, &sample, &room);
    _ = std::fs::remove_dir_all(&room);
    let evidence = Some(words(&id, &sample, &compared?));
    Ok(Done { snapshots: Vec::new(), evidence })
}

/// Why a machine cannot practise this by itself, if so.
pub(crate) fn impossible(drill: Drill) -> Option<&'static str> {
    match drill {
        Drill::FileSample => None,
        Drill::ImageCheck | Drill::BootTest => Some("images are practised by a keeper, not by the machine itself"),
    }
}

/// Files that were drawn.
#[derive(Default)]
struct Sample {
    paths: Vec<Vec<u8>>,
    bytes: u64,
}

/// Draws files: again and again a way down from the root, at each folder to any of its entries.
fn sample(repo: &Repository, snapshot: &Snapshot) -> Result<Sample, Halt> {
    let (mut drawn, mut seen) = (Sample::default(), BTreeSet::new());
    for _ in 0..TRIES {
        if drawn.paths.len() == FILES {
            break;
        }
        let Some((path, size)) = draw(repo, snapshot.tree)? else { continue };
        if drawn.bytes + size <= BYTES && seen.insert(path.clone()) {
            drawn.bytes += size;
            drawn.paths.push(path);
        }
    }
    Ok(drawn)
}

fn draw(repo: &Repository, root: Id) -> Result<Option<(Vec<u8>, u64)>, Halt> {
    let (mut tree, mut path) = (root, b"/".to_vec());
    loop {
        let nodes = repo.read_tree(&tree)?.nodes;
        if nodes.is_empty() {
            return Ok(None);
        }
        let node = &nodes[rand::random_range(0..nodes.len())];
        path = files::path::child(&path, &node.name);
        match (node.kind, node.subtree) {
            (NodeKind::Dir, Some(below)) => tree = below,
            // A name that is no text could not be told.
            (NodeKind::File, _) if std::str::from_utf8(&path).is_ok() => return Ok(Some((path, node.size))),
            _ => return Ok(None),
        }
    }
}

/// What a comparison came to.
#[derive(Default)]
struct Compared {
    same: usize,
    changed: usize,
    gone: usize,
}

fn compare(task: &Task, repo: &Repository, tree: &Id, sample: &Sample, room: &Path) -> Result<Compared, Halt> {
    crate::place::make_private(room).map_err(Halt::failed)?;
    let select = |path: &[u8], _: bool| chosen(&sample.paths, path);
    let options = Options { verify: true, select: &select, ..Options::default() };
    restore::run(task, repo, tree, room, &options)?;
    task.watch.enter(Phase::Verifying);
    let mut compared = Compared::default();
    for path in &sample.paths {
        let inner = String::from_utf8_lossy(path);
        let restored = room.join(inner.trim_start_matches('/'));
        let Ok(ours) = hash(&restored) else {
            task.watch.miss(&inner, "it was not restored");
            continue;
        };
        match hash(Path::new(&*inner)) {
            Ok(theirs) if theirs.as_ref() == ours.as_ref() => compared.same += 1,
            Ok(_) => compared.changed += 1,
            Err(_) => compared.gone += 1,
        }
    }
    Ok(compared)
}

fn hash(path: &Path) -> io::Result<Digest> {
    let (mut file, mut context, mut bytes) = (File::open(path)?, Context::new(&SHA256), vec![0; 64 << 10]);
    loop {
        match file.read(&mut bytes)? {
            0 => return Ok(context.finish()),
            read => context.update(&bytes[..read]),
        }
    }
}

/// "20 files (3 MB) of snapshot abcd1234 were restored and read back; 18 equal the machine's own, 2 changed since."
fn words(snapshot: &Id, sample: &Sample, compared: &Compared) -> String {
    let (count, size) = (sample.paths.len(), size_in_words(sample.bytes));
    let files = if count == 1 { "file".to_owned() } else { "files".to_owned() };
    let Compared { same, changed, gone } = compared;
    format!(
        "{count} {files} ({size}) of snapshot {} restored and read back against their hashes; {same} equal the machine's \
         own files by SHA-256, {changed} changed since, {gone} are not there any more.",
        snapshot.short()
    )
}
