//! Reading chunks of a disk, several at once, past the page cache; only what is in use is read, the rest is zeros.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use platform::BlockDevice;
use platform::direct::{AlignedBuffer, Claim, DirectFile, device_size, sector_sizes};

use super::CaptureError;
use crate::{CHUNK, Extents};

/// Parts that are closer than this are read at once.
const GAP: u64 = 64 << 10;

/// What is done with sectors that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// The capture fails and names the place.
    Fail,
    /// They are zeros, and told as gaps.
    Skip,
}

/// A disk that is open for reading.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    device: BlockDevice,
    sequence: Option<u64>,
    file: DirectFile,
    size: u64,
    /// Bytes that are read at once, at least; the size is a multiple of it.
    block: u64,
    unreadable: Unreadable,
    gaps: Mutex<Extents>,
}

/// What reading some chunks took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub(super) bytes: u64,
    /// Time in which threads waited for the disk, all of them together.
    pub(super) waited: Duration,
}

/// What `Reader::read` is asked for.
pub(super) struct Request<'a> {
    pub(super) chunks: &'a [u64],
    pub(super) used: &'a Extents,
    pub(super) threads: usize,
    /// True once it should end early.
    pub(super) stop: &'a (dyn Fn() -> bool + Sync),
    /// Gets the chunks, in any order.
    pub(super) take: &'a (dyn Fn(u64, Vec<u8>) -> Result<(), CaptureError> + Sync),
}

impl Reader {
    pub(super) fn open(path: &Path, claim: Claim, unreadable: Unreadable) -> Result<Reader, CaptureError> {
        let failed = |cause: io::Error| CaptureError::Open { device: path.to_owned(), cause };
        let device = BlockDevice::at(path).map_err(failed)?;
        let file = open_patiently(path, claim).map_err(|cause| match cause.kind() {
            io::ErrorKind::ResourceBusy => CaptureError::InUse { device: path.to_owned() },
            _ => failed(cause),
        })?;
        let size = device_size(file.file()).map_err(failed)?;
        let (logical, _) = sector_sizes(file.file()).map_err(failed)?;
        let block = if size.is_multiple_of(4096) { u64::from(logical).max(4096) } else { u64::from(logical).max(512) };
        let sequence = device.disk().map_err(failed)?.sequence();
        Ok(Reader { path: path.to_owned(), device, sequence, file, size, block, unreadable, gaps: Mutex::default() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn device(&self) -> &BlockDevice {
        &self.device
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// What could not be read, and was skipped.
    pub(super) fn gaps(&self) -> Extents {
        self.gaps.lock().clone()
    }

    /// Fails if the disk is not the one that was opened any more.
    pub(super) fn check_size(&self) -> Result<(), CaptureError> {
        let is = device_size(self.file.file()).map_err(|cause| self.vanished(0, cause))?;
        match is == self.size {
            true => Ok(()),
            false => Err(CaptureError::Resized { device: self.path.clone(), was: self.size, is }),
        }
    }

    fn vanished(&self, offset: u64, cause: io::Error) -> CaptureError {
        CaptureError::Vanished { device: self.path.clone(), offset, cause }
    }

    /// Reads chunks and hands them on. True if it was not stopped before the end.
    pub(super) fn read(&self, request: &Request<'_>) -> Result<(Taken, bool), CaptureError> {
        let next = AtomicUsize::new(0);
        let (bytes, waited, is_stopped) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let failure = Mutex::new(None);
        let work = || {
            let mut buffer = AlignedBuffer::new(CHUNK as usize);
            while let Some(&chunk) = request.chunks.get(next.fetch_add(1, Relaxed)) {
                if failure.lock().is_some() || (request.stop)() {
                    is_stopped.store(true, Relaxed);
                    return;
                }
                let begin = Instant::now();
                let read = self.read_chunk(chunk, request.used, &mut buffer);
                waited.fetch_add(begin.elapsed().as_nanos() as u64, Relaxed);
                let taken = read.and_then(|(content, count)| {
                    bytes.fetch_add(count, Relaxed);
                    (request.take)(chunk, content)
                });
                if let Err(error) = taken {
                    failure.lock().get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            let threads = request.threads.clamp(1, request.chunks.len().max(1));
            (1..threads).for_each(|_| {
                scope.spawn(work);
            });
            work();
        });
        match failure.into_inner() {
            Some(error) => Err(error),
            None => {
                let taken = Taken { bytes: bytes.into_inner(), waited: Duration::from_nanos(waited.into_inner()) };
                Ok((taken, !is_stopped.into_inner()))
            }
        }
    }

    /// A chunk, zeros where it is not in use, and how many bytes were read for it.
    fn read_chunk(&self, chunk: u64, used: &Extents, buffer: &mut [u8]) -> Result<(Vec<u8>, u64), CaptureError> {
        let start = chunk * CHUNK;
        let end = (start + CHUNK).min(self.size);
        let mut content = vec![0; (end - start) as usize];
        let mut bytes = 0;
        for part in self.parts(start..end, used) {
            let place = (part.start - start) as usize..(part.end - start) as usize;
            self.read_part(part.start, &mut buffer[place])?;
            bytes += part.end - part.start;
            for wanted in used.within(part) {
                let place = (wanted.start - start) as usize..(wanted.end - start) as usize;
                content[place.clone()].copy_from_slice(&buffer[place]);
            }
        }
        Ok((content, bytes))
    }

    /// What is read of a chunk: whole blocks, and few of them.
    fn parts(&self, range: Range<u64>, used: &Extents) -> Vec<Range<u64>> {
        let mut parts: Vec<Range<u64>> = Vec::new();
        for part in used.within(range) {
            let wide = part.start / self.block * self.block..part.end.next_multiple_of(self.block).min(self.size);
            match parts.last_mut() {
                Some(last) if wide.start <= last.end + GAP => last.end = last.end.max(wide.end),
                _ => parts.push(wide),
            }
        }
        parts
    }

    fn read_part(&self, offset: u64, into: &mut [u8]) -> Result<(), CaptureError> {
        match self.file.read_at(offset, into) {
            Ok(()) => Ok(()),
            Err(cause) => {
                self.why(offset + into.len() as u64, cause)?;
                self.read_blocks(offset, into)
            }
        }
    }

    /// Ok if the sectors are to blame, and not the disk as a whole.
    fn why(&self, end: u64, cause: io::Error) -> Result<(), CaptureError> {
        let is_same = BlockDevice::new(self.device.number()).and_then(|device| device.disk());
        if !is_same.is_ok_and(|disk| disk.sequence() == self.sequence) {
            return Err(self.vanished(end, cause));
        }
        self.check_size()
    }

    /// One block after the other, to find those that cannot be read.
    fn read_blocks(&self, offset: u64, into: &mut [u8]) -> Result<(), CaptureError> {
        for (number, block) in into.chunks_mut(self.block as usize).enumerate() {
            let at = offset + number as u64 * self.block;
            let Err(cause) = self.file.read_at(at, block) else { continue };
            if self.unreadable == Unreadable::Fail {
                return Err(CaptureError::Unreadable { device: self.path.clone(), offset: at, cause });
            }
            self.why(at, cause)?;
            block.fill(0);
            self.gaps.lock().insert(at..at + block.len() as u64);
        }
        Ok(())
    }
}

/// A process that was just forked may have somebody's claim open for a moment still, until it starts its program.
fn open_patiently(path: &Path, claim: Claim) -> io::Result<DirectFile> {
    for _ in 0..10 {
        match DirectFile::open(path, claim) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::sleep(Duration::from_millis(50)),
            outcome => return outcome,
        }
    }
    DirectFile::open(path, claim)
}
