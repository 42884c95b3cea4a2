//! Things in the place of other things: restic's format does not bind a file's content to its kind, nor a blob's to its
//! own, so everything must look at what it got.

use backend::{FileKind, FileName, Id};
use repo::check::Problem;
use repo::lock::{Lock, LockKind, LockOptions, LockOwner};
use repo::progress::Silent;
use repo::prune::{PruneOptions, PruneWhen, plan_prune};
use repo::writer::BlobWriter;
use repo::{BlobHandle, BlobKind};

use crate::workshop::{Workshop, files, load};

const KINDS: [FileKind; 5] = [FileKind::Snapshot, FileKind::Index, FileKind::Lock, FileKind::Key, FileKind::Pack];

/// One snapshot, and a lock that somebody holds.
fn workshop() -> (Workshop, Id, Lock) {
    let workshop = Workshop::new();
    let id = workshop.save(&files(&[("a", &[1, 2])]));
    let repo = workshop.open();
    let lock = workshop.lock(&repo, LockKind::Shared);
    (workshop, id, lock)
}

/// F24: in Borg's format archives were not bound to their role, so that a server could pass one thing off as another. Here
/// a file of every kind is put into the place of every other kind. It is refused or passed over, and nothing is deleted.
#[test]
fn a_file_in_the_folder_of_another_kind_is_never_taken_for_one() {
    for role in KINDS {
        for kind in KINDS.into_iter().filter(|kind| *kind != role) {
            let (workshop, id, lock) = workshop();
            let stranger = workshop.list(kind)[0];
            let bytes = workshop.bytes(FileName::new(kind, stranger));
            workshop.storage.write(&FileName::new(role, stranger), &bytes).unwrap();
            let packs = workshop.list(FileKind::Pack);
            let repo = workshop.open();
            match role {
                FileKind::Snapshot => {
                    let all = repo.snapshots().unwrap();
                    assert_eq!(all.all.len(), 1, "a {kind} is no snapshot");
                    assert_eq!(all.damaged[0].0, stranger);
                    assert!(repo.read_snapshot(&stranger).is_err());
                    assert!(plan_prune(&repo, &PruneOptions::default(), &Silent).is_err());
                }
                FileKind::Index => {
                    assert!(repo.load_index().is_err(), "a {kind} is no index");
                    let report = repo::check::check(&workshop.open(), &Default::default(), &Silent).unwrap();
                    assert!(matches!(report.errors[0], Problem::Index { id, .. } if id == stranger), "{report:?}");
                    assert!(plan_prune(&repo, &PruneOptions::default(), &Silent).is_err());
                    continue;
                }
                FileKind::Lock => {
                    let owner = LockOwner::this_process("elsewhere", "somebody");
                    let exclusive = LockOptions { kind: LockKind::Exclusive, owner, wait: Default::default() };
                    assert!(Lock::acquire(&repo, &exclusive).is_err(), "a {kind} as lock is not passed over");
                }
                FileKind::Key => assert!(repo.opened_by().id != stranger, "a {kind} opens nothing"),
                _ => {
                    // Nobody is at work whose pack it might be.
                    drop(lock);
                    let delayed = PruneWhen::Delayed(std::time::Duration::from_secs(3600));
                    let options = PruneOptions { when: delayed, ..PruneOptions::default() };
                    assert_eq!(plan_prune(&repo, &options, &Silent).unwrap().unreferenced, [stranger]);
                }
            }
            assert_eq!(workshop.list(FileKind::Pack), packs);
            assert_eq!(load(&repo, id).unwrap(), files(&[("a", &[1, 2])]));
        }
    }
}

/// F24: somebody backs up a file that is a tree, to the byte. As data it is data; it never stands in for the tree.
#[test]
fn a_file_that_looks_like_a_tree_is_no_tree() {
    let workshop = Workshop::new();
    let repo = workshop.open();
    let tree = b"{\"nodes\":[]}\n";
    let writer = BlobWriter::new(&repo);
    let id = writer.save(BlobKind::Data, tree, &mut writer.scratch()).unwrap().id;
    writer.flush().unwrap();
    for repo in [&repo, &workshop.open()] {
        assert!(matches!(repo.read_tree(&id), Err(repo::Error::MissingBlob(_))));
        assert_eq!(repo.read_blob(&BlobHandle { kind: BlobKind::Data, id }).unwrap(), tree);
    }
    // As a tree it is stored beside it, though the bytes are there already.
    assert!(writer.save(BlobKind::Tree, tree, &mut writer.scratch()).unwrap().new);
    writer.finish().unwrap();
    assert!(workshop.open().read_tree(&id).unwrap().nodes.is_empty());
}

/// F24: an index that gives one blob's place as another's returns neither.
#[test]
fn a_blob_in_the_place_of_another_is_never_returned() {
    let workshop = Workshop::new();
    let snapshot = workshop.save(&files(&[("a", &[1, 3])]));
    let repo = workshop.open();
    let id = workshop.list(FileKind::Index)[0];
    let mut lies = repo.read_index_file(&id).unwrap();
    for pack in &mut lies.packs {
        let ids: Vec<_> = pack.blobs.iter().map(|entry| entry.blob.id).collect();
        let turned = ids.iter().cycle().skip(1);
        pack.blobs.iter_mut().zip(turned).for_each(|(entry, id)| entry.blob.id = *id);
    }
    repo.write_index_file(&lies).unwrap();
    workshop.storage.remove(&FileName::new(FileKind::Index, id)).unwrap();
    assert!(matches!(load(&workshop.open(), snapshot), Err(repo::Error::DamagedBlob { .. })));
}
