//! A backup while it runs: figures and current files for a terminal, restic's JSON messages, problems as they come.
//!
//! Called from the engine's threads: figures are atomic, and paths are only put together where somebody looks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use files::backup::{Change, Finished, ItemError, ItemKind, ItemPath, Notice, Observer, Totals};
use parking_lot::{Mutex, RwLock};
use repo::Id;
use serde_json::{Value, json};

use super::live::{Live, Picture, remaining};
use super::table::printable;
use super::{progress, size, time};
use crate::output::Output;

/// How many current files JSON messages name at most.
const CURRENT_IN_JSON: usize = 8;

/// How many current files a terminal shows at most.
const CURRENT_ON_TERMINAL: usize = 4;

/// Columns from which all figures fit on one line.
const WIDE: usize = 76;

/// Watches a backup.
pub(crate) struct BackupWatch {
    output: Output,
    begin: Instant,
    scan: Scan,
    files_done: AtomicU64,
    bytes_done: AtomicU64,
    errors: AtomicU64,
    totals: Mutex<(Totals, bool)>,
    current: Mutex<Vec<Current>>,
    live: RwLock<Option<Live>>,
}

/// Whether a scan runs ahead, without which totals are not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scan {
    /// It does.
    Ahead,
    /// The user wants none.
    None,
}

/// A file that is being read.
struct Current {
    path: Vec<u8>,
    since: Instant,
}

impl BackupWatch {
    /// A watch that begins now.
    pub(crate) fn new(output: Output, scan: Scan) -> BackupWatch {
        BackupWatch {
            output,
            begin: Instant::now(),
            scan,
            files_done: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            totals: Mutex::default(),
            current: Mutex::default(),
            live: RwLock::default(),
        }
    }

    /// Problems and remarks are printed beside this picture from now on.
    pub(crate) fn beside(&self, live: Live) {
        *self.live.write() = Some(live);
    }

    /// The work is over: the picture goes.
    pub(crate) fn end(&self) {
        drop(self.live.write().take());
    }

    /// How many items could not be backed up.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    /// How long it has taken.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    fn print(&self, print: impl FnOnce()) {
        match &*self.live.read() {
            Some(live) => live.above(print),
            None => print(),
        }
    }

    fn remark(&self, words: impl std::fmt::Display) {
        // If standard output is gone, the end of the command tells.
        self.print(|| drop(self.output.remark(words)));
    }

    fn warn(&self, words: impl std::fmt::Display) {
        self.print(|| self.output.warn(words));
    }

    /// Takes a file off the list of current ones, and tells how long it took.
    fn take_current(&self, item: ItemPath<'_>) -> Duration {
        let mut current = self.current.lock();
        let path = item.to_bytes();
        let at = current.iter().position(|file| file.path == path);
        at.map(|at| current.swap_remove(at).since.elapsed()).unwrap_or_default()
    }

    fn current(&self, count: usize) -> Vec<String> {
        let current = self.current.lock();
        let mut paths: Vec<String> =
            current.iter().map(|file| String::from_utf8_lossy(&file.path).into_owned()).collect();
        paths.sort();
        paths.truncate(count);
        paths
    }

    fn tell_item(&self, item: ItemPath<'_>, how: Finished, took: Duration) {
        let mut path = item.to_string();
        if how.kind == ItemKind::Dir && !path.ends_with('/') {
            path.push('/');
        }
        let action = match how.change {
            Change::New => "new",
            Change::Changed => "modified",
            Change::Unmodified => "unchanged",
        };
        if self.output.is_json() {
            return drop(self.output.message(&item_message(&path, action, how, took)));
        }
        let path = printable(&path);
        match how.change {
            Change::Unmodified => self.remark(format_args!("unchanged {path}")),
            _ => {
                let (added, packed) = (size::bytes(how.added), size::bytes(how.added_packed));
                let seconds = took.as_secs_f64();
                self.remark(format_args!(
                    "{action:<9} {path}, saved in {seconds:.3}s ({added} added, {packed} stored)"
                ));
            }
        }
    }

    fn wide_line(&self, elapsed: Duration) -> String {
        let (files, bytes) = (self.files_done.load(Relaxed), self.bytes_done.load(Relaxed));
        let (totals, known) = *self.totals.lock();
        let rate = progress::rate(bytes, elapsed.as_secs_f64());
        let done = format!("{files} files {}", size::bytes(bytes));
        let clock = time::clock(elapsed.as_secs());
        let errors = self.error_words();
        if self.scan == Scan::None {
            return format!("[{clock}] {done}{errors}, {rate}");
        }
        let (total_files, total_bytes) = (totals.files, size::bytes(totals.bytes));
        if !known {
            return format!("[{clock}] {done} of {total_files} files {total_bytes} so far{errors}, {rate}");
        }
        let percent = size::percent(bytes, totals.bytes);
        let left = left_words(bytes, totals.bytes, elapsed);
        format!("[{clock}] {percent}  {done}, total {total_files} files {total_bytes}{errors}, {rate}{left}")
    }

    /// The same for a phone: what matters most first, one fact a line.
    fn narrow_lines(&self, elapsed: Duration) -> Vec<String> {
        let (files, bytes) = (self.files_done.load(Relaxed), self.bytes_done.load(Relaxed));
        let (totals, known) = *self.totals.lock();
        let share = if known { size::percent(bytes, totals.bytes) } else { time::clock(elapsed.as_secs()) };
        let left = if known { left_words(bytes, totals.bytes, elapsed) } else { String::new() };
        let rate = progress::rate(bytes, elapsed.as_secs_f64());
        vec![
            format!("{share}{left}"),
            format!("{}, {rate}", size::bytes(bytes)),
            format!("{files} files{}", self.error_words()),
        ]
    }

    fn error_words(&self) -> String {
        match self.errors() {
            0 => String::new(),
            count => format!(", {count} errors"),
        }
    }
}

fn left_words(done: u64, total: u64, elapsed: Duration) -> String {
    remaining(done, total, elapsed).map(|seconds| format!(", {} left", time::clock(seconds))).unwrap_or_default()
}

fn item_message(path: &str, action: &str, how: Finished, took: Duration) -> Value {
    let (data, metadata) = match how.kind {
        ItemKind::File => ((how.added, how.added_packed), (0, 0)),
        ItemKind::Dir => ((0, 0), (how.added, how.added_packed)),
    };
    json!({
        "message_type": "verbose_status",
        "action": action,
        "item": path,
        "duration": took.as_secs_f64(),
        "data_size": data.0,
        "data_size_in_repo": data.1,
        "metadata_size": metadata.0,
        "metadata_size_in_repo": metadata.1,
        "total_files": 0,
    })
}

impl Observer for BackupWatch {
    fn parent(&self, parent: Option<&Id>) {
        match parent {
            Some(id) => self.remark(format_args!("using parent snapshot {}", id.short())),
            None => self.remark("no parent snapshot found, will read all files"),
        }
    }

    fn scanned(&self, totals: Totals, finished: bool) {
        *self.totals.lock() = (totals, finished);
        if !finished || !self.output.is_verbose() {
            return;
        }
        let seconds = self.elapsed().as_secs_f64();
        if self.output.is_json() && self.output.level >= 3 {
            return drop(self.output.message(&json!({
                "message_type": "verbose_status", "action": "scan_finished", "item": "", "duration": seconds,
                "data_size": totals.bytes, "data_size_in_repo": 0, "metadata_size": 0, "metadata_size_in_repo": 0,
                "total_files": totals.files,
            })));
        }
        let (files, bytes) = (totals.files, size::bytes(totals.bytes));
        self.remark(format_args!("scan finished in {seconds:.3}s: {files} files, {bytes}"));
    }

    fn started(&self, item: ItemPath<'_>) {
        self.current.lock().push(Current { path: item.to_bytes(), since: Instant::now() });
    }

    fn done(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Relaxed);
    }

    fn finished(&self, item: ItemPath<'_>, how: Finished) {
        let mut took = Duration::ZERO;
        if how.kind == ItemKind::File {
            self.files_done.fetch_add(1, Relaxed);
            if how.change != Change::Unmodified {
                took = self.take_current(item);
            }
        }
        if self.output.level >= 3 {
            self.tell_item(item, how, took);
        }
    }

    fn excluded(&self, item: ItemPath<'_>) {
        if self.output.level >= 3 {
            self.remark(format_args!("excluded  {}", printable(&item.to_string())));
        }
    }

    fn failed(&self, error: &ItemError) {
        self.errors.fetch_add(1, Relaxed);
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            words = format!("{words}: {error}");
            cause = error.source();
        }
        let item = error.path().to_string_lossy();
        if !self.output.is_json() {
            return self.warn(printable(&words));
        }
        self.output.error_message(&json!({
            "message_type": "error", "error": { "message": words }, "during": error.during(), "item": item,
        }));
    }

    fn noticed(&self, notice: &Notice) {
        match notice {
            Notice::SkippedOwn { path } => {
                let words = format!("leaving out {}, which this program needs for itself", path.display());
                if self.output.is_json() { self.warn(words) } else { self.remark(words) }
            }
            Notice::ChangedWhileRead { path, expected, read } => {
                let path = path.display();
                self.warn(format_args!(
                    "{path} changed while it was read: it had {expected} bytes, {read} were stored"
                ));
            }
            Notice::ContentWasMissing { path } => {
                let path = path.display();
                self.warn(format_args!(
                    "the repository had lost content of {path}, which was stored again; run `stead check`"
                ));
            }
            Notice::NotAMarker { path, reason } => {
                self.warn(format_args!("{} does not mark its directory: {reason}", path.display()));
            }
            Notice::CheckpointStays { id } => {
                let id = id.short();
                self.remark(format_args!("checkpoint {id} stays, because the storage refuses to remove it"));
            }
        }
    }

    fn checkpoint(&self, id: &Id) {
        if self.output.is_verbose() {
            self.remark(format_args!("checkpoint {} saved", id.short()));
        }
    }
}

/// What is shown again and again.
pub(crate) struct BackupPicture(pub(crate) std::sync::Arc<BackupWatch>);

impl Picture for BackupPicture {
    fn lines(&self, elapsed: Duration, width: usize) -> Vec<String> {
        let watch = &self.0;
        let mut lines = if width < WIDE { watch.narrow_lines(elapsed) } else { vec![watch.wide_line(elapsed)] };
        lines.extend(watch.current(CURRENT_ON_TERMINAL).iter().map(|path| printable(path)));
        lines
    }

    fn message(&self, elapsed: Duration) -> Value {
        let watch = &self.0;
        let (files, bytes) = (watch.files_done.load(Relaxed), watch.bytes_done.load(Relaxed));
        let (totals, known) = *watch.totals.lock();
        let share = if totals.bytes > 0 { (bytes as f64 / totals.bytes as f64).min(1.0) } else { 0.0 };
        let mut message = json!({ "message_type": "status", "percent_done": share });
        let left = if known { remaining(bytes, totals.bytes, elapsed) } else { None };
        let figures = [
            ("seconds_elapsed", elapsed.as_secs()),
            ("seconds_remaining", left.unwrap_or(0)),
            ("total_files", totals.files),
            ("files_done", files),
            ("total_bytes", totals.bytes),
            ("bytes_done", bytes),
            ("error_count", watch.errors()),
        ];
        // restic leaves figures out that are zero.
        for (name, figure) in figures.into_iter().filter(|(_, figure)| *figure > 0) {
            message[name] = figure.into();
        }
        let current = watch.current(CURRENT_IN_JSON);
        if !current.is_empty() {
            message["current_files"] = current.into();
        }
        message
    }
}
