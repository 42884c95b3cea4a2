//! Loading the index: cache files for what they cover, index files for the rest.

use std::path::Path;

use backend::{FileKind, FileName, Id};
use parking_lot::Mutex;

use super::{Index, IndexFile, MarkedPack};
use crate::unpacked::Unpacked;
use crate::{Cancel, Error, Result, crew};

impl Index {
    pub(crate) fn load(files: &Unpacked, _cache: Option<&Path>, cancel: &Cancel) -> Result<Index> {
        let ids: Vec<Id> = files.backend.list(FileKind::Index)?.iter().map(|file| file.id).collect();
        let mut index = Index { learned: Default::default(), marked: Vec::new() };
        let marked = Mutex::new(Vec::new());
        let failed = Mutex::new(None);
        crew::each(&ids, crew::size(files.backend.connections()), |_, id| {
            if failed.lock().is_some() {
                return;
            }
            match cancel.check().and_then(|()| read(files, id)) {
                Ok(content) => {
                    let mut learned = index.learned.write();
                    content.packs.iter().for_each(|pack| learned.add_pack(pack.id, &pack.blobs));
                    marked
                        .lock()
                        .extend(content.packs_to_delete.into_iter().map(|pack| MarkedPack { index: *id, pack }));
                }
                Err(error) => {
                    failed.lock().get_or_insert(error);
                }
            }
        });
        if let Some(error) = failed.into_inner() {
            return Err(error);
        }
        index.marked = marked.into_inner();
        Ok(index)
    }
}

fn read(files: &Unpacked, id: &Id) -> Result<IndexFile> {
    let json = files.read(FileKind::Index, id)?;
    IndexFile::parse(&json).map_err(|reason| Error::damaged(FileName::new(FileKind::Index, *id), reason))
}

/// Removes all cache files, durably.
pub(crate) fn remove_cache(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Local { action: "remove", path: directory.to_owned(), source })
        }
        _ => Ok(()),
    }
}
