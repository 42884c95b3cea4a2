//! An archive that a kernel unpacks into memory as its first root: cpio in the form `newc`, not compressed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An archive that is being written. Every folder is made before what is in it; nothing is added twice.
pub(super) struct Archive {
    file: BufWriter<File>,
    written: u64,
    numbers: u32,
    known: BTreeSet<PathBuf>,
}

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_777;

impl Archive {
    pub(super) fn create(path: &Path) -> io::Result<Archive> {
        let file = BufWriter::new(File::create(path)?);
        Ok(Archive { file, written: 0, numbers: 0, known: BTreeSet::new() })
    }

    /// A folder and those above it.
    pub(super) fn folder(&mut self, path: &Path) -> io::Result<()> {
        let mut above: Vec<&Path> = path.ancestors().filter(|path| !path.as_os_str().is_empty()).collect();
        above.reverse();
        above.into_iter().try_for_each(|folder| self.entry(folder, FOLDER, b""))
    }

    /// A file of that content.
    pub(super) fn file(&mut self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        self.folder(path.parent().unwrap_or(Path::new("")))?;
        self.entry(path, FILE | mode, content)
    }

    /// The same for text.
    pub(super) fn text(&mut self, path: &str, content: &str, mode: u32) -> io::Result<()> {
        self.file(Path::new(path), content.as_bytes(), mode)
    }

    /// A symbolic link.
    pub(super) fn link(&mut self, path: &Path, to: &Path) -> io::Result<()> {
        self.folder(path.parent().unwrap_or(Path::new("")))?;
        self.entry(path, LINK, to.as_os_str().as_bytes())
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
        if !self.known.insert(path.to_owned()) {
            return Ok(());
        }
        self.numbers += 1;
        let number = self.numbers;
        self.record(number, path.as_os_str().as_bytes(), mode, content)
    }

    /// Thirteen numbers of eight hexadecimal digits, the name, the content, each filled up to four bytes.
    fn record(&mut self, number: u32, name: &[u8], mode: u32, content: &[u8]) -> io::Result<()> {
        let length = u32::try_from(content.len()).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let fields = [number, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        let digits: String = fields.iter().map(|field| format!("{field:08x}")).collect();
        self.bytes(b"070701")?;
        self.bytes(digits.as_bytes())?;
        self.bytes(name)?;
        self.bytes(b"\0")?;
        self.fill()?;
        self.bytes(content)?;
        self.fill()
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    fn fill(&mut self) -> io::Result<()> {
        let missing = self.written.next_multiple_of(4) - self.written;
        self.bytes(&[0; 3][..missing as usize])
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        self.record(0, b"TRAILER!!!", 0, b"")?;
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn cpio_unpacks_what_was_packed() {
        let room = tempfile::tempdir().unwrap();
        let mut archive = Archive::create(&room.path().join("a")).unwrap();
        archive.text("one/two/three", "abcde", 0o640).unwrap();
        archive.text("one/two/three", "twice", 0o640).unwrap();
        archive.link(Path::new("one/link"), Path::new("two")).unwrap();
        archive.finish().unwrap();
        let mut command = Command::new("busybox");
        command.args(["cpio", "-i"]).current_dir(room.path()).stdin(File::open(room.path().join("a")).unwrap());
        assert!(command.stderr(Stdio::null()).status().unwrap().success());
        assert_eq!(std::fs::read_to_string(room.path().join("one/link/three")).unwrap(), "abcde");
    }
}
