//! An append-only file of checksummed lines. A line that was reported as written is durable; what a crash left half written
//! at the end is cut off before anything is added.
//!
//! Threads that append at the same time share one flush.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::{Condvar, Mutex};

/// Digits of the checksum, and the space after it.
const HEAD: usize = 9;

/// A line may have so many bytes.
const LONGEST: u64 = 64 << 10;

/// The file.
pub(crate) struct Journal {
    path: PathBuf,
    state: Mutex<State>,
    written: Condvar,
}

#[derive(Default)]
struct State {
    /// What the next flush writes.
    next: Arc<Batch>,
    is_writing: bool,
    /// Where good lines end; `None` until the file was looked at, and after a failed write.
    end: Option<u64>,
}

#[derive(Default)]
struct Batch {
    lines: Mutex<Vec<u8>>,
    outcome: OnceLock<Result<(), (io::ErrorKind, String)>>,
}

/// What reading found beside good lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Where good lines end.
    pub(crate) end: u64,
    /// Bad lines before good ones: no crash leaves those.
    pub(crate) damaged: u64,
}

impl Journal {
    /// The journal in that file, which need not exist yet; its directory must.
    pub(crate) fn new(path: PathBuf) -> Journal {
        Journal { path, state: Mutex::default(), written: Condvar::new() }
    }

    /// Passes every good line to `visit`, the oldest first.
    pub(crate) fn read(&self, visit: impl FnMut(&[u8])) -> io::Result<Read> {
        read(&self.path, visit)
    }

    /// Adds a line, durably.
    pub(crate) fn append(&self, line: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let batch = Arc::clone(&state.next);
        {
            let mut lines = batch.lines.lock();
            let _ = write!(lines, "{:08x} ", crc32c::crc32c(line));
            lines.extend_from_slice(line);
            lines.push(b'\n');
        }
        loop {
            if let Some(outcome) = batch.outcome.get() {
                return outcome.clone().map_err(|(kind, words)| io::Error::new(kind, words));
            }
            if state.is_writing {
                self.written.wait(&mut state);
                continue;
            }
            state.is_writing = true;
            let mine = std::mem::take(&mut state.next);
            let end = state.end.take();
            drop(state);
            let outcome = self.write(&mine.lines.lock(), end);
            state = self.state.lock();
            state.is_writing = false;
            state.end = outcome.as_ref().ok().copied();
            let _ = mine.outcome.set(outcome.map(drop).map_err(|error| (error.kind(), error.to_string())));
            self.written.notify_all();
        }
    }

    /// Writes lines after `end` and flushes; gives the new end. After a failure nobody knows what of it the disk has: the
    /// next attempt reads the file again, cuts it where good lines end, and writes afresh.
    fn write(&self, lines: &[u8], end: Option<u64>) -> io::Result<u64> {
        let is_new = !self.path.exists();
        let end = match end {
            Some(end) => end,
            None => self.read(|_| ())?.end,
        };
        let mut file = open(&self.path)?;
        if file.metadata()?.len() != end {
            file.set_len(end)?;
        }
        file.seek(SeekFrom::Start(end))?;
        let written = file.write_all(lines).and_then(|()| file.sync_data());
        if let Err(error) = written {
            let _ = file.set_len(end);
            return Err(error);
        }
        if is_new {
            flush_directory(&self.path)?;
        }
        Ok(end + lines.len() as u64)
    }

    /// Replaces all lines in one step.
    pub(crate) fn rewrite<L: AsRef<[u8]>>(&self, lines: impl IntoIterator<Item = L>) -> io::Result<()> {
        let mut state = self.state.lock();
        while state.is_writing {
            self.written.wait(&mut state);
        }
        state.end = None;
        let new = self.path.with_extension("new");
        let mut file = io::BufWriter::new(File::create(&new)?);
        for line in lines {
            write!(file, "{:08x} ", crc32c::crc32c(line.as_ref()))?;
            file.write_all(line.as_ref())?;
            file.write_all(b"\n")?;
        }
        file.into_inner()?.sync_all()?;
        fs::rename(&new, &self.path)?;
        flush_directory(&self.path)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn flush_directory(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn read(path: &Path, mut visit: impl FnMut(&[u8])) -> io::Result<Read> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Read::default()),
        file => file?,
    };
    let mut lines = BufReader::with_capacity(64 << 10, file);
    let (mut found, mut at, mut bad, mut line) = (Read::default(), 0, 0, Vec::new());
    loop {
        line.clear();
        let length = io::Read::take(&mut lines, LONGEST).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(found);
        }
        at += length as u64;
        match good(&line) {
            Some(text) => {
                visit(text);
                found = Read { end: at, damaged: found.damaged + std::mem::take(&mut bad) };
            }
            None => bad += 1,
        }
    }
}

/// The text of a line whose checksum is right.
fn good(line: &[u8]) -> Option<&[u8]> {
    let (head, text) = line.strip_suffix(b"\n")?.split_at_checked(HEAD)?;
    let sum = u32::from_str_radix(std::str::from_utf8(head.strip_suffix(b" ")?).ok()?, 16).ok()?;
    (sum == crc32c::crc32c(text)).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(journal: &Journal) -> (Vec<String>, Read) {
        let mut lines = Vec::new();
        let read = journal.read(|line| lines.push(String::from_utf8(line.to_vec()).unwrap())).unwrap();
        (lines, read)
    }

    #[test]
    fn a_torn_tail_is_cut_off_wherever_it_was_torn() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("j");
        Journal::new(path.clone()).append(b"first").unwrap();
        let whole = fs::metadata(&path).unwrap().len();
        Journal::new(path.clone()).append(b"second").unwrap();
        let full = fs::read(&path).unwrap();
        for torn in whole..full.len() as u64 {
            fs::write(&path, &full[..torn as usize]).unwrap();
            let journal = Journal::new(path.clone());
            journal.append(b"third").unwrap();
            assert_eq!(lines(&journal).0, ["first", "third"], "torn at {torn}");
            assert_eq!(lines(&journal).1.damaged, 0);
        }
    }

    #[test]
    fn damage_in_the_middle_is_counted_and_the_rest_is_read() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("j");
        let journal = Journal::new(path.clone());
        ["one", "two", "three"].iter().for_each(|line| journal.append(line.as_bytes()).unwrap());
        let mut bytes = fs::read(&path).unwrap();
        bytes[HEAD + 4 + HEAD + 1] ^= 1;
        fs::write(&path, bytes).unwrap();
        let (read, found) = lines(&journal);
        assert_eq!((read, found.damaged), (vec!["one".to_owned(), "three".into()], 1));
    }

    #[test]
    fn many_threads_lose_no_line() {
        let room = tempfile::tempdir().unwrap();
        let journal = Journal::new(room.path().join("j"));
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let journal = &journal;
                scope.spawn(move || {
                    (0..50).for_each(|number| journal.append(format!("{thread}-{number}").as_bytes()).unwrap());
                });
            }
        });
        let (mut read, found) = lines(&journal);
        read.sort();
        read.dedup();
        assert_eq!((read.len(), found.damaged), (400, 0));
    }

    #[test]
    fn a_journal_that_cannot_be_written_says_so_and_goes_on_later() {
        let room = tempfile::tempdir().unwrap();
        let directory = room.path().join("later");
        let journal = Journal::new(directory.join("j"));
        assert!(journal.append(b"lost").is_err());
        fs::create_dir(&directory).unwrap();
        journal.append(b"kept").unwrap();
        assert_eq!(lines(&journal).0, ["kept"]);
    }

    #[test]
    fn rewriting_keeps_what_is_given() {
        let room = tempfile::tempdir().unwrap();
        let journal = Journal::new(room.path().join("j"));
        (0..10).for_each(|number| journal.append(number.to_string().as_bytes()).unwrap());
        journal.rewrite(["7", "8"]).unwrap();
        journal.append(b"9").unwrap();
        assert_eq!(lines(&journal).0, ["7", "8", "9"]);
    }
}
