//! Large files and streams: one thread at a time reads and cuts, all threads seal what was cut off. Buffers are few and used
//! again.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use backend::Id;
use parking_lot::Mutex;
use platform::{Span, Stat};
use repo::BlobKind;
use repo::node::Node;

use super::directory::Directory;
use super::file::read_at;
use super::observer::{Finished, ItemKind};
use super::queue::Chunk;
use super::worker::{Worker, change};
use super::{BackupError, Result};

/// Where bytes come from.
enum Input {
    File { file: File, path: Vec<u8>, expected: u64, sparse: bool },
    Stream(Box<dyn Read + Send>),
}

/// A large file that is being stored.
pub(super) struct LargeFile {
    dir: Arc<Directory>,
    slot: u32,
    reader: Mutex<Reader>,
    result: Mutex<LargeResult>,
    /// Chunks that are not stored yet, and one more until the end is read.
    pending: AtomicUsize,
}

struct Reader {
    input: Input,
    /// Read, but not cut off yet.
    tail: Vec<u8>,
    /// Where the next chunk starts.
    position: u64,
}

struct LargeResult {
    node: Node,
    content: Vec<Id>,
    added: u64,
    added_packed: u64,
    failed: bool,
}

impl LargeFile {
    pub(super) fn from_file(
        dir: Arc<Directory>,
        slot: u32,
        path: Vec<u8>,
        file: File,
        stat: &Stat,
        node: Node,
    ) -> LargeFile {
        let sparse = stat.blocks.saturating_mul(512) < stat.size;
        LargeFile::new(dir, slot, Input::File { file, path, expected: stat.size, sparse }, node)
    }

    pub(super) fn from_stream(dir: Arc<Directory>, slot: u32, stream: Box<dyn Read + Send>, node: Node) -> LargeFile {
        LargeFile::new(dir, slot, Input::Stream(stream), node)
    }

    fn new(dir: Arc<Directory>, slot: u32, input: Input, node: Node) -> LargeFile {
        let result = LargeResult { node, content: Vec::new(), added: 0, added_packed: 0, failed: false };
        LargeFile {
            dir,
            slot,
            reader: Mutex::new(Reader { input, tail: Vec::new(), position: 0 }),
            result: Mutex::new(result),
            pending: AtomicUsize::new(1),
        }
    }
}

impl Worker<'_> {
    /// Reads on in a large file and cuts off chunks.
    pub(super) fn read_window(&mut self, file: &Arc<LargeFile>, mut window: Vec<u8>) -> Result<()> {
        let mut reader = file.reader.lock();
        let filled = self.skip_holes(file, &mut reader).map(|()| reader.fill(&mut window, self.window_size()));
        let (filled, more) = match filled? {
            Ok(filled) => filled,
            Err(error) => {
                self.run.queue.give_back(window);
                return self.input_failed(file, &reader, error);
            }
        };
        let window = Arc::new(window);
        let start = self.cut_chunks(file, &mut reader, &window, filled, more);
        reader.tail.extend_from_slice(&window[start..filled]);
        drop(reader);
        self.release_window(window);
        if more {
            self.run.queue.read_on(Arc::clone(file));
            return Ok(());
        }
        self.end_of_input(file)
    }

    fn window_size(&self) -> usize {
        self.run.queue.window_size()
    }

    /// Queues the chunks in a window and returns where the rest begins that may go on in the next one.
    fn cut_chunks(
        &self,
        file: &Arc<LargeFile>,
        reader: &mut Reader,
        window: &Arc<Vec<u8>>,
        filled: usize,
        more: bool,
    ) -> usize {
        let mut start = 0;
        while start < filled {
            let rest = &window[start..filled];
            let length = self.run.cutter.cut(rest);
            // A chunk that ends where the window ends may go on, unless it is as long as chunks get.
            if more && length == rest.len() && length < self.run.cutter.limits().1 {
                break;
            }
            let number = {
                let content = &mut file.result.lock().content;
                content.push(Id::default());
                content.len() - 1
            };
            file.pending.fetch_add(1, Ordering::AcqRel);
            let range = start..start + length;
            self.run.queue.push_chunk(Chunk { file: Arc::clone(file), number, window: Arc::clone(window), range });
            start += length;
        }
        reader.position += start as u64;
        start
    }

    fn release_window(&self, window: Arc<Vec<u8>>) {
        if let Some(window) = Arc::into_inner(window) {
            self.run.queue.give_back(window);
        }
    }

    /// Where the next chunk lies in a hole altogether, it is known without reading.
    fn skip_holes(&mut self, file: &Arc<LargeFile>, reader: &mut Reader) -> Result<()> {
        let longest = self.run.cutter.limits().1 as u64;
        let Input::File { file: input, expected, sparse: true, .. } = &reader.input else { return Ok(()) };
        let Ok(Some(Span::Hole(hole))) = platform::next_span(input, reader.position, *expected) else { return Ok(()) };
        if hole.end - hole.start < longest {
            return Ok(());
        }
        let (length, id) = self.zeros()?;
        let count = (hole.end - hole.start - longest) / length as u64 + 1;
        file.result.lock().content.extend(std::iter::repeat_n(id, count as usize));
        reader.position += count * length as u64;
        reader.tail.clear();
        self.run.observer.done(count * length as u64);
        Ok(())
    }

    /// The chunk that is cut off endless zeros.
    fn zeros(&mut self) -> Result<(usize, Id)> {
        if let Some(zeros) = self.run.zeros.get() {
            return Ok(*zeros);
        }
        let zeros = vec![0; self.run.cutter.limits().1];
        let length = self.run.cutter.cut(&zeros);
        let saved = self.save(BlobKind::Data, &zeros[..length])?;
        Ok(*self.run.zeros.get_or_init(|| (length, saved.id)))
    }

    fn input_failed(&mut self, file: &Arc<LargeFile>, reader: &Reader, error: io::Error) -> Result<()> {
        match &reader.input {
            Input::Stream(_) => return Err(BackupError::Stream(error)),
            Input::File { path, .. } => self.run.report_io("read", path.clone(), error),
        }
        file.result.lock().failed = true;
        self.run.queue.large_file_read();
        self.release(file)
    }

    fn end_of_input(&mut self, file: &Arc<LargeFile>) -> Result<()> {
        self.run.queue.large_file_read();
        let reader = file.reader.lock();
        file.result.lock().node.size = reader.position;
        match &reader.input {
            Input::File { path, expected, .. } => self.tell_if_changed(|| path.clone(), *expected, reader.position),
            Input::Stream(_) if reader.position == 0 => {
                return Err(BackupError::Stream(io::Error::new(io::ErrorKind::UnexpectedEof, "no data read")));
            }
            Input::Stream(_) => {}
        }
        drop(reader);
        self.release(file)
    }

    pub(super) fn save_chunk(&mut self, chunk: Chunk) -> Result<()> {
        let Chunk { file, number, window, range } = chunk;
        let length = range.len() as u64;
        let saved = self.save(BlobKind::Data, &window[range])?;
        self.release_window(window);
        {
            let mut result = file.result.lock();
            result.content[number] = saved.id;
            result.added += if saved.new { length } else { 0 };
            result.added_packed += saved.stored;
        }
        self.run.observer.done(length);
        self.release(&file)
    }

    /// One chunk fewer to wait for; the last one finishes the file.
    fn release(&mut self, file: &Arc<LargeFile>) -> Result<()> {
        if file.pending.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let node = self.finish_large(file);
        self.settle(Arc::clone(&file.dir), file.slot, node)
    }

    fn finish_large(&mut self, file: &LargeFile) -> Option<Node> {
        let mut result = file.result.lock();
        if result.failed {
            return None;
        }
        let mut node = result.node.clone();
        node.content = Some(std::mem::take(&mut result.content));
        let (added, added_packed) = (result.added, result.added_packed);
        drop(result);
        let change = file.dir.previous(file.slot, |previous| change(previous, &node));
        let finished = Finished { kind: ItemKind::File, change, size: node.size, added, added_packed };
        self.finished(&file.dir, &node.name, finished);
        Some(node)
    }
}

impl Reader {
    /// Fills a window of `size` bytes with the tail and what comes next; returns how far, and false at the end of the
    /// input. A tail in which a chunk did not end gets a window twice as large, so that it ends at last.
    fn fill(&mut self, window: &mut Vec<u8>, size: usize) -> io::Result<(usize, bool)> {
        let mut length = self.tail.len();
        let size = size.max(2 * length);
        if window.len() < size {
            window.resize(size, 0);
        }
        window[..length].copy_from_slice(&self.tail);
        self.tail.clear();
        while length < size {
            let read = self.read(&mut window[length..size], length)?;
            if read == 0 {
                return Ok((length, false));
            }
            length += read;
        }
        Ok((length, true))
    }

    /// Reads what lies `ahead` bytes after the start of the next chunk.
    fn read(&mut self, into: &mut [u8], ahead: usize) -> io::Result<usize> {
        match &mut self.input {
            Input::File { file, .. } => read_at(file, into, self.position + ahead as u64),
            Input::Stream(stream) => loop {
                match stream.read(into) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    other => return other,
                }
            },
        }
    }
}
