//! A machine in the wrong hands forges its index.

use std::collections::BTreeMap;

use api::wire::keeper::Work;
use backend::{FileKind, FileName, Id};
use fleet::Keep;
use repo::index::{IndexFile, IndexPack};
use repo::pack::{PackedBlob, append_header};
use repo::{BlobKind, Repository};
use testkit::sample;

use crate::house::{House, why};

fn a_pack(repo: &Repository, kind: BlobKind) -> (Id, Vec<PackedBlob>) {
    let mut found = None;
    repo.index()
        .unwrap()
        .for_each_pack(&mut |id, blobs| {
            if blobs[0].blob.kind == kind {
                found = Some((*id, blobs.to_vec()));
            }
        })
        .unwrap();
    found.expect("a pack")
}

fn publish(repo: &Repository, pack: Id, blobs: Vec<PackedBlob>) {
    let packs = vec![IndexPack { id: pack, blobs, ..IndexPack::default() }];
    repo.write_index_file(&IndexFile { packs, ..IndexFile::default() }).unwrap();
}

fn prune() -> Work {
    Work::Prune { keep: Keep { last: 1, ..Keep::default() }, received: BTreeMap::new() }
}

fn refused(house: &House) {
    for work in [prune(), Work::Check { slice: 1, of: 256 }] {
        let done = house.work(&work);
        assert!(why(&done).contains("not true about pack"), "{}", why(&done));
    }
}

#[test]
fn an_index_that_names_blobs_where_they_are_not_is_refused() {
    let Some(house) = House::open() else { return };
    sample::office(&house.files(), 9, 10);
    house.backup(&[]);
    house.works(&prune());
    let repo = house.direct();
    let (data, blobs) = a_pack(&repo, BlobKind::Data);
    let (trees, _) = a_pack(&repo, BlobKind::Tree);
    assert_ne!(data, trees);
    publish(&repo, trees, blobs[..1].to_vec());
    refused(&house);
}

#[test]
fn a_pack_that_promises_a_copy_and_holds_rubbish_is_refused_before_the_real_one_goes() {
    let Some(house) = House::open() else { return };
    sample::office(&house.files(), 10, 10);
    house.backup(&[]);
    house.works(&prune());
    let repo = house.direct();
    let (_, blobs) = a_pack(&repo, BlobKind::Data);
    let mut pack = Vec::new();
    repo.key().seal(b"rubbish that is no copy", &mut pack);
    let blob = PackedBlob { blob: blobs[0].blob, offset: 0, length: pack.len() as u32, uncompressed_length: None };
    append_header(repo.key(), &[blob], &mut pack).unwrap();
    let id = Id::of(&pack);
    repo.backend().write(&FileName::new(FileKind::Pack, id), &pack).unwrap();
    publish(&repo, id, vec![blob]);
    refused(&house);
    house.restic.succeeds(
        &house.repository(),
        ["restore", "latest", "--target", house.room.path().join("out").to_str().unwrap()],
    );
}
