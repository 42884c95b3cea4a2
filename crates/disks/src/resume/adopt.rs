//! Packs that an interrupted job stored and that no index file names: their headers are read, and an index file is written.

use backend::{Class, FileKind, FileName, Id, Part};
use repo::index::{IndexFile, IndexPack, MAX_BLOBS};
use repo::pack::{HeaderTail, PackedBlob, USUAL_TAIL, parse_header};
use repo::{Repository, Result};

/// Names the packs in the index that are there, whole and unknown; returns how many.
pub(super) fn packs(repo: &Repository, packs: &[Id]) -> Result<u64> {
    let mut file = IndexFile::default();
    let (mut adopted, mut blobs_in_file) = (0, 0);
    for id in packs {
        let Some(blobs) = header(repo, id)? else { continue };
        if is_known(repo, id, &blobs)? {
            continue;
        }
        if blobs_in_file + blobs.len() > MAX_BLOBS {
            write(repo, &mut file)?;
            blobs_in_file = 0;
        }
        blobs_in_file += blobs.len();
        adopted += 1;
        file.packs.push(IndexPack { id: *id, blobs, time: None, size: None });
    }
    write(repo, &mut file)?;
    Ok(adopted)
}

fn write(repo: &Repository, file: &mut IndexFile) -> Result<()> {
    let file = std::mem::take(file);
    if file.packs.is_empty() {
        return Ok(());
    }
    repo.write_index_file(&file)?;
    let index = repo.index()?;
    file.packs.iter().for_each(|pack| index.add_pack(pack.id, &pack.blobs));
    Ok(())
}

fn is_known(repo: &Repository, pack: &Id, blobs: &[PackedBlob]) -> Result<bool> {
    let index = repo.index()?;
    Ok(blobs.iter().all(|packed| index.locations(&packed.blob).iter().any(|location| location.pack == *pack)))
}

/// The blobs of a pack; `None` if it is not there, or not whole. One that is not in a spool while the storage behind it cannot
/// be asked is none: what it may have is stored again.
fn header(repo: &Repository, id: &Id) -> Result<Option<Vec<PackedBlob>>> {
    let file = FileName::new(FileKind::Pack, *id);
    let size = match repo.backend().size(&file) {
        Err(error) if error.is_not_found() || error.class == Class::Offline => return Ok(None),
        size => size?,
    };
    let (mut tail, mut length) = (Vec::new(), USUAL_TAIL);
    // The second time it is as long as the first one said.
    for _ in 0..2 {
        repo.backend().read(&file, Part::Tail(length), &mut tail)?;
        match parse_header(repo.key(), &tail, size) {
            Ok(HeaderTail::Blobs(blobs)) => return Ok(Some(blobs)),
            Ok(HeaderTail::Needs(more)) => length = more,
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}
