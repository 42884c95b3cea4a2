//! A file that comes in pieces: written without a name where the file system can, so that a process that is killed leaves
//! nothing behind; else under a temporary one.

use super::*;
use crate::Upload;

/// A file that has no name yet.
pub(super) struct Draft {
    local: Local,
    file: FileName,
    stored: File,
    /// Where the file system knows no files without a name.
    temporary: Option<PathBuf>,
    written: u64,
}

impl Draft {
    /// Begins a file of `length` bytes, if that is known.
    pub(super) fn begin(local: &Local, file: &FileName, length: Option<u64>) -> Result<Draft> {
        let path = local.path(file);
        let directory = path.parent().unwrap_or(&local.root);
        let begin = || match Draft::open(&path, directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && local.exists() => {
                make_directory(directory)?;
                Draft::open(&path, directory)
            }
            opened => opened,
        };
        let fail = |error| local.error("write", file, &error);
        let (stored, temporary) = begin().map_err(fail)?;
        let draft = Draft { local: local.clone(), file: *file, stored, temporary, written: 0 };
        let length = length.and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        place::preallocate(&draft.stored, length).map_err(fail)?;
        Ok(draft)
    }

    fn open(path: &Path, directory: &Path) -> io::Result<(File, Option<PathBuf>)> {
        match place::create_nameless(directory)? {
            Some(file) => Ok((file, None)),
            None => {
                let temporary = place::temporary_name(path);
                Ok((place::create(&temporary)?, Some(temporary)))
            }
        }
    }

    fn settle(&mut self, path: &Path) -> io::Result<()> {
        place::flush(&self.stored, self.written)?;
        let directory = path.parent().unwrap_or(&self.local.root);
        match self.temporary.take() {
            None => place::link_nameless(&self.stored, path)?,
            Some(temporary) => place::rename(&temporary, path, place::Existing::Keep).inspect_err(|_| {
                self.temporary = Some(temporary);
            })?,
        }
        place::flush_directory(directory).inspect_err(|_| {
            // Whether the name is durable is unknown, and flushing again would lie: the next attempt starts over.
            let _ = fs::remove_file(path);
        })
    }

    /// Success if what has the name already is what we were sent.
    fn same(&mut self, path: &Path) -> Result<()> {
        let fail = |error: io::Error| self.local.error("write", &self.file, &error);
        let compare = || -> io::Result<bool> {
            let stored = File::open(path)?;
            if stored.metadata()?.len() != self.written || !holds_the_same(&stored, &self.stored)? {
                return Ok(false);
            }
            stored.sync_all()?;
            place::flush_directory(path.parent().unwrap_or(&self.local.root))?;
            Ok(true)
        };
        match compare().map_err(fail)? {
            true => Ok(()),
            false => Err(Error::exists(&self.file)),
        }
    }
}

impl Upload for Draft {
    fn add(&mut self, piece: &[u8]) -> Result<()> {
        let written = self.stored.write_all(piece);
        written.map_err(|error| self.local.error("write", &self.file, &error))?;
        self.written += piece.len() as u64;
        Ok(())
    }

    fn publish(mut self: Box<Draft>) -> Result<()> {
        let path = self.local.path(&self.file);
        match self.settle(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.same(&path),
            Err(error) => Err(self.local.error("write", &self.file, &error)),
            Ok(()) => Ok(()),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Best effort: a stray temporary file is harmless.
            let _ = fs::remove_file(temporary);
        }
    }
}

fn holds_the_same(mut one: &File, mut other: &File) -> io::Result<bool> {
    one.rewind()?;
    other.rewind()?;
    let (mut left, mut right) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let (here, there) = (read_full(&mut one, &mut left)?, read_full(&mut other, &mut right)?);
        if here != there || left[..here] != right[..there] {
            return Ok(false);
        }
        if here == 0 {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Class;

    fn place() -> (tempfile::TempDir, Local) {
        let room = tempfile::tempdir().unwrap();
        let local = Local::new(room.path(), 1);
        local.create().unwrap();
        (room, local)
    }

    fn pack(content: &[u8]) -> FileName {
        FileName::new(FileKind::Pack, Id::of(content))
    }

    fn upload(local: &Local, file: &FileName, pieces: &[&[u8]]) -> Result<()> {
        let mut upload = local.upload(file, None)?.expect("a directory takes pieces");
        pieces.iter().try_for_each(|piece| upload.add(piece))?;
        upload.publish()
    }

    fn files_below(room: &Path) -> usize {
        let entries = fs::read_dir(room).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
    }

    #[test]
    fn pieces_become_a_file_and_the_same_again_is_success() {
        let (room, local) = place();
        let file = pack(b"one two");
        upload(&local, &file, &[b"one", b" ", b"two"]).unwrap();
        upload(&local, &file, &[b"one two"]).expect("the same bytes again");
        assert_eq!(upload(&local, &file, &[b"one twO"]).unwrap_err().class, Class::Rejected);
        let mut content = Vec::new();
        local.read(&file, Part::Whole, &mut content).unwrap();
        assert_eq!((content.as_slice(), files_below(room.path())), (b"one two".as_slice(), 1));
    }

    #[test]
    fn what_is_not_published_leaves_nothing() {
        let (room, local) = place();
        let mut draft = local.upload(&pack(b"x"), Some(5 << 20)).unwrap().unwrap();
        draft.add(&[1; 100_000]).unwrap();
        drop(draft);
        assert_eq!(files_below(room.path()), 0);
    }

    #[test]
    fn a_temporary_name_serves_where_files_need_one() {
        let (room, local) = place();
        let file = pack(b"abc");
        let begin = |content: &[u8]| {
            let temporary = place::temporary_name(&local.path(&file));
            let stored = place::create(&temporary).unwrap();
            let draft = Draft { local: local.clone(), file, stored, temporary: Some(temporary), written: 0 };
            let mut draft: Box<dyn Upload> = Box::new(draft);
            draft.add(content).unwrap();
            draft
        };
        begin(b"dropped");
        begin(b"abc").publish().unwrap();
        begin(b"abc").publish().expect("the same bytes again");
        assert_eq!(begin(b"xyz").publish().unwrap_err().class, Class::Rejected);
        assert_eq!(files_below(room.path()), 1);
    }

    #[test]
    fn without_a_repository_nothing_is_made() {
        let room = tempfile::tempdir().unwrap();
        let local = Local::new(room.path().join("nothing"), 1);
        assert!(local.upload(&pack(b"x"), None).err().unwrap().is_not_found());
        assert!(!room.path().join("nothing").exists());
    }
}
