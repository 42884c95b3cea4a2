//! A folder of a disk image as a tar archive: files, folders and links, with names of any length.
//!
//! What cannot be read is left out of the archive, and its name is in a file at the end of it that says so.

use std::io::Write;

use disks::files::{Entry, FilesError, Filesystem, walk};
use platform::FileType;
use tar::{EntryType, Header};

use super::fetch::Pieces;
use crate::{Error, Result};

const BLOCK: usize = 512;

/// What lists what is missing.
const MISSING: &str = "NOT-IN-THIS-ARCHIVE.txt";

/// Names that are kept of what is missing, in bytes.
const MOST_MISSING: usize = 1 << 20;

/// Writes an archive.
pub(super) struct Archive<'a, 'p> {
    filesystem: &'a dyn Filesystem,
    out: &'a mut Pieces<'p>,
    missing: String,
}

impl<'a, 'p> Archive<'a, 'p> {
    pub(super) fn new(filesystem: &'a dyn Filesystem, out: &'a mut Pieces<'p>) -> Archive<'a, 'p> {
        Archive { filesystem, out, missing: String::new() }
    }

    /// Writes all that is below a folder, and the end.
    pub(super) fn folder(mut self, folder: &Entry) -> Result<()> {
        let filesystem = self.filesystem;
        let walked = walk(filesystem, folder, &mut |path, found| match found {
            Ok(entry) => self.entry(path, entry),
            Err(error) => {
                self.miss(path, &error);
                Ok(())
            }
        });
        walked.and_then(|()| self.end()).map_err(|error| match error {
            FilesError::Stopped => Error::Cancelled,
            error => error.into(),
        })
    }

    fn miss(&mut self, path: &[u8], why: &dyn std::fmt::Display) {
        if self.missing.len() < MOST_MISSING {
            self.missing.push_str(&format!("{}: {why}\n", String::from_utf8_lossy(path)));
        }
    }

    fn entry(&mut self, path: &[u8], entry: &Entry) -> std::result::Result<(), FilesError> {
        if let Some(trouble) = &entry.trouble {
            self.miss(path, trouble);
            return Ok(());
        }
        match entry.file_type {
            FileType::Directory => self.header(&[path, b"/"].concat(), entry, EntryType::Directory, b""),
            FileType::Regular => self.file(path, entry),
            FileType::Symlink => match self.filesystem.link(entry) {
                Ok(target) => self.header(path, entry, EntryType::Symlink, &target),
                Err(error) => {
                    self.miss(path, &error);
                    Ok(())
                }
            },
            _ => {
                self.miss(path, &"it is a device, a pipe or a socket");
                Ok(())
            }
        }
    }

    /// A file that turns out unreadable in its middle is filled with zeros: its header is sent already.
    fn file(&mut self, path: &[u8], entry: &Entry) -> std::result::Result<(), FilesError> {
        self.header(path, entry, EntryType::Regular, b"")?;
        let (mut sent, out) = (0_u64, &mut *self.out);
        let read = self.filesystem.read(entry, &mut |piece| {
            let piece = &piece[..piece.len().min(usize::try_from(entry.size - sent).unwrap_or(usize::MAX))];
            sent += piece.len() as u64;
            write(out, piece)
        });
        match read {
            Err(FilesError::Stopped) => return Err(FilesError::Stopped),
            Err(error) => self.miss(path, &format!("{error}; from byte {sent} on it is zeros here")),
            Ok(()) => {}
        }
        self.zeros(entry.size - sent)?;
        self.pad(entry.size)
    }

    fn header(
        &mut self,
        path: &[u8],
        entry: &Entry,
        kind: EntryType,
        target: &[u8],
    ) -> std::result::Result<(), FilesError> {
        self.long(path, b'L')?;
        self.long(target, b'K')?;
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(if kind == EntryType::Regular { entry.size } else { 0 });
        header.set_mode(entry.mode);
        let (user, group) = entry.owner.unwrap_or_default();
        header.set_uid(user.into());
        header.set_gid(group.into());
        header.set_mtime(u64::try_from(entry.modified.seconds).unwrap_or(0));
        short(&mut header.as_old_mut().name, path);
        short(&mut header.as_old_mut().linkname, target);
        header.set_cksum();
        write(self.out, header.as_bytes())
    }

    /// GNU's entry for what is longer than its field.
    fn long(&mut self, text: &[u8], kind: u8) -> std::result::Result<(), FilesError> {
        if text.len() <= 100 {
            return Ok(());
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_size(text.len() as u64 + 1);
        header.set_mode(0o644);
        short(&mut header.as_old_mut().name, b"././@LongLink");
        header.set_cksum();
        write(self.out, header.as_bytes())?;
        write(self.out, text)?;
        write(self.out, b"\0")?;
        self.pad(text.len() as u64 + 1)
    }

    fn pad(&mut self, size: u64) -> std::result::Result<(), FilesError> {
        self.zeros((BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64)
    }

    fn zeros(&mut self, mut count: u64) -> std::result::Result<(), FilesError> {
        while count > 0 {
            let part = count.min(BLOCK as u64);
            write(self.out, &[0; BLOCK][..part as usize])?;
            count -= part;
        }
        Ok(())
    }

    fn end(&mut self) -> std::result::Result<(), FilesError> {
        if !self.missing.is_empty() {
            let text = std::mem::take(&mut self.missing);
            let mut header = Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            short(&mut header.as_old_mut().name, MISSING.as_bytes());
            header.set_cksum();
            write(self.out, header.as_bytes())?;
            write(self.out, text.as_bytes())?;
            self.pad(text.len() as u64)?;
        }
        self.zeros(2 * BLOCK as u64)
    }
}

fn write(out: &mut Pieces<'_>, bytes: &[u8]) -> std::result::Result<(), FilesError> {
    out.write_all(bytes).map_err(|_| FilesError::Stopped)
}

/// As much as fits: what is longer has an entry of its own before.
fn short(field: &mut [u8; 100], text: &[u8]) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
}
