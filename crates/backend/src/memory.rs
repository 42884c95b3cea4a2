//! A repository in memory, for tests and experiments. It keeps every promise of [`Backend`] but durability.

use std::collections::HashMap;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::{Backend, Class, Error, FileInfo, FileKind, FileName, Part, Result};

/// Files in memory; gone with the value.
#[derive(Debug, Default)]
pub struct Memory {
    files: RwLock<Option<HashMap<FileName, Bytes>>>,
}

impl Memory {
    /// Storage in which no repository has been created yet.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// Damages or plants a file behind the repository's back, as faulty storage would; for tests.
    pub fn overwrite(&self, file: FileName, content: Vec<u8>) {
        self.files.write().get_or_insert_default().insert(file, content.into());
    }

    fn get(&self, action: &'static str, file: &FileName) -> Result<Bytes> {
        let files = self.files.read();
        files.as_ref().and_then(|files| files.get(file)).cloned().ok_or_else(|| Error::not_found(action, file))
    }

    fn no_repository(&self, action: &'static str) -> Error {
        Error::new(Class::NotFound, action, self.location(), "there is no repository")
    }
}

impl Backend for Memory {
    fn location(&self) -> String {
        "memory".into()
    }

    fn connections(&self) -> usize {
        4
    }

    fn create(&self) -> Result<()> {
        self.files.write().get_or_insert_default();
        Ok(())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        let files = self.files.read();
        let files = files.as_ref().ok_or_else(|| self.no_repository("list"))?;
        let of_kind = files.iter().filter(|(file, _)| file.kind == kind);
        Ok(of_kind.map(|(file, content)| FileInfo { id: file.id, size: content.len() as u64 }).collect())
    }

    fn size(&self, file: &FileName) -> Result<u64> {
        Ok(self.get("read", file)?.len() as u64)
    }

    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        let content = self.get("read", file)?;
        let (offset, length) = part.within(content.len() as u64, file)?;
        into.clear();
        into.extend_from_slice(&content[offset as usize..][..length]);
        Ok(())
    }

    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        let mut files = self.files.write();
        let files = files.as_mut().ok_or_else(|| self.no_repository("write"))?;
        match files.get(file) {
            Some(stored) if *stored == content => Ok(()),
            Some(_) => Err(Error::exists(file)),
            None => {
                files.insert(*file, Bytes::copy_from_slice(content));
                Ok(())
            }
        }
    }

    fn remove(&self, file: &FileName) -> Result<()> {
        if let Some(files) = self.files.write().as_mut() {
            files.remove(file);
        }
        Ok(())
    }

    fn replace_config(&self, content: &[u8]) -> Result<()> {
        let mut files = self.files.write();
        let files = files.as_mut().ok_or_else(|| self.no_repository("write"))?;
        files.insert(FileName::CONFIG, Bytes::copy_from_slice(content));
        Ok(())
    }
}
