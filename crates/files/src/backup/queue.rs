//! What is to be done next. Content of large files goes first, then files, then further directories, the deepest first:
//! so the work that waits stays small whatever the tree looks like.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::directory::{Directory, FileJob, SubJob};
use super::large::LargeFile;
use platform::Dir;

/// A piece of work.
pub(super) enum Task {
    /// One chunk of a large file.
    Chunk(Chunk),
    /// Read on in a large file, into this buffer.
    Window(Arc<LargeFile>, Vec<u8>),
    /// Some files of a directory.
    Files(FilesTask),
    /// One subdirectory.
    Visit(Arc<Directory>, SubJob),
}

/// One chunk of a large file.
pub(super) struct Chunk {
    pub(super) file: Arc<LargeFile>,
    /// Its number within the file.
    pub(super) number: usize,
    pub(super) window: Arc<Vec<u8>>,
    pub(super) range: Range<usize>,
}

/// Some files of a directory.
pub(super) struct FilesTask {
    pub(super) dir: Arc<Directory>,
    /// The directory they lie in, and its path.
    pub(super) place: Arc<Dir>,
    pub(super) path: Arc<[u8]>,
    pub(super) jobs: Vec<FileJob>,
}

/// Subdirectories of one directory, in descending order.
pub(super) struct Subdirs {
    pub(super) dir: Arc<Directory>,
    pub(super) jobs: Vec<SubJob>,
}

/// The queue, shared by all workers.
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    ended: Condvar,
    limits: Limits,
}

/// What bounds memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Large files that are read at once.
    pub(super) large_files: usize,
    /// Buffers for them.
    pub(super) windows: usize,
    /// Bytes per buffer, unless a chunk is larger.
    pub(super) window_size: usize,
    /// Reading goes on when fewer chunks than this wait, so that no thread runs out of them.
    pub(super) chunks_ahead: usize,
}

/// Large files that were opened and wait for their turn.
const WAITING_FILES: usize = 64;

#[derive(Default)]
struct State {
    chunks: VecDeque<Chunk>,
    /// Large files that are being read and can be read on.
    readable: VecDeque<Arc<LargeFile>>,
    large_files: usize,
    waiting: VecDeque<Arc<LargeFile>>,
    free_windows: Vec<Vec<u8>>,
    windows_made: usize,
    files: VecDeque<FilesTask>,
    subdirs: Vec<Subdirs>,
    running: usize,
    ended: bool,
}

impl Queue {
    pub(super) fn new(limits: Limits) -> Queue {
        Queue { state: Mutex::default(), work: Condvar::new(), ended: Condvar::new(), limits }
    }

    pub(super) fn window_size(&self) -> usize {
        self.limits.window_size
    }

    /// The next piece of work, whose end must be told by [`Queue::done`]; waits while there may be some. `None` at the end.
    pub(super) fn next(&self) -> Option<Task> {
        let mut state = self.state.lock();
        loop {
            if state.ended {
                return None;
            }
            if let Some(task) = state.take(&self.limits) {
                state.running += 1;
                return Some(task);
            }
            if state.running == 0 {
                drop(state);
                self.end();
                return None;
            }
            self.work.wait(&mut state);
        }
    }

    /// A piece of work is done, and what follows from it is in the queue.
    pub(super) fn done(&self) {
        let mut state = self.state.lock();
        state.running -= 1;
        if state.running == 0 {
            self.work.notify_all();
        }
    }

    pub(super) fn push_chunk(&self, chunk: Chunk) {
        self.state.lock().chunks.push_back(chunk);
        self.work.notify_one();
    }

    pub(super) fn push_files(&self, task: FilesTask) {
        self.state.lock().files.push_back(task);
        self.work.notify_one();
    }

    pub(super) fn push_subdirs(&self, task: Subdirs) {
        self.state.lock().subdirs.push(task);
        self.work.notify_one();
    }

    /// A large file that was opened.
    pub(super) fn push_large(&self, file: Arc<LargeFile>) {
        self.state.lock().waiting.push_back(file);
        self.work.notify_one();
    }

    /// A large file that is being read can be read on.
    pub(super) fn read_on(&self, file: Arc<LargeFile>) {
        self.state.lock().readable.push_back(file);
        self.work.notify_one();
    }

    /// A large file has been read to its end.
    pub(super) fn large_file_read(&self) {
        self.state.lock().large_files -= 1;
        self.work.notify_one();
    }

    /// Gives a buffer back.
    pub(super) fn give_back(&self, mut window: Vec<u8>) {
        if window.len() > self.limits.window_size {
            window.truncate(self.limits.window_size);
            window.shrink_to_fit();
        }
        self.state.lock().free_windows.push(window);
        self.work.notify_one();
    }

    /// Nobody gets any more work.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.work.notify_all();
        self.ended.notify_all();
    }

    /// True once nobody gets any more work.
    pub(super) fn has_ended(&self) -> bool {
        self.state.lock().ended
    }

    /// Waits up to `time` for the end; true if it has come.
    pub(super) fn wait_for_end(&self, time: Duration) -> bool {
        let mut state = self.state.lock();
        if !state.ended {
            self.ended.wait_for(&mut state, time);
        }
        state.ended
    }
}

impl State {
    fn take(&mut self, limits: &Limits) -> Option<Task> {
        if self.chunks.len() < limits.chunks_ahead
            && let Some(task) = self.take_window(limits)
        {
            return Some(task);
        }
        if let Some(chunk) = self.chunks.pop_front() {
            return Some(Task::Chunk(chunk));
        }
        if self.waiting.len() >= WAITING_FILES {
            return None;
        }
        if let Some(files) = self.files.pop_front() {
            return Some(Task::Files(files));
        }
        let last = self.subdirs.last_mut()?;
        let dir = Arc::clone(&last.dir);
        let job = last.jobs.pop();
        if last.jobs.is_empty() {
            self.subdirs.pop();
        }
        job.map(|job| Task::Visit(dir, job))
    }

    fn take_window(&mut self, limits: &Limits) -> Option<Task> {
        let starts = self.readable.is_empty() && self.large_files < limits.large_files && !self.waiting.is_empty();
        if self.readable.is_empty() && !starts {
            return None;
        }
        let window = self.free_window(limits)?;
        if starts {
            self.large_files += 1;
        }
        let from = if starts { &mut self.waiting } else { &mut self.readable };
        from.pop_front().map(|file| Task::Window(file, window))
    }

    fn free_window(&mut self, limits: &Limits) -> Option<Vec<u8>> {
        if let Some(window) = self.free_windows.pop() {
            return Some(window);
        }
        (self.windows_made < limits.windows).then(|| {
            self.windows_made += 1;
            Vec::with_capacity(limits.window_size)
        })
    }
}
