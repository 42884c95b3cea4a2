//! restic's REST protocol, versions 2 and 1, over any connection that carries HTTP requests.
//!
//! A write whose answer is lost or unclear is settled by looking at what is stored, so that bytes that arrived are a
//! success whatever the network did. Servers that would replace a file (rclone) are asked before each write.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use http::{Method, StatusCode};

use crate::http::{Answer, Failure, MAX_ANSWER, Request};
use crate::turns::Turns;
use crate::{Backend, Class, Error, FileInfo, FileKind, FileName, Id, Part, ReadBack, Result};

mod connection;
mod list;

pub(crate) use connection::Connection;

/// Files up to this size are compared byte by byte where the server says that one exists; of larger ones, which are
/// packs named by their hash, the size.
const COMPARED_WHOLE: u64 = 4 << 20;

/// Carries requests to a server.
pub(crate) trait Transport: Send + Sync {
    /// Sends a request, waits for the answer and puts its body into `into`.
    fn send(&self, request: &Request<'_>, into: &mut Vec<u8>) -> Result<Answer, Failure>;

    /// Where the server is, for people.
    fn location(&self) -> String;

    /// What the server said beside its answers, if there is a way to hear it.
    fn said(&self) -> String {
        String::new()
    }
}

/// A repository behind restic's REST protocol.
pub(crate) struct Rest<T> {
    transport: T,
    connections: usize,
    read_back: ReadBack,
    replaces: AtomicU8,
    turns: Turns,
    /// We know that there is a repository, so an empty list is just that.
    known: AtomicBool,
}

/// Whether the server replaces a file that is written again.
mod replaces {
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const NO: u8 = 1;
    pub(super) const YES: u8 = 2;
}

/// What is stored under a name, compared with what should be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stored {
    Nothing,
    Same,
    Different,
}

impl<T: Transport> Rest<T> {
    pub(crate) fn new(transport: T, connections: usize, read_back: ReadBack) -> Rest<T> {
        let replaces = AtomicU8::new(replaces::UNKNOWN);
        Rest { transport, connections, read_back, replaces, turns: Turns::default(), known: AtomicBool::new(false) }
    }

    fn ask(&self, action: &'static str, what: &str, request: &Request<'_>, into: &mut Vec<u8>) -> Result<Answer> {
        let answer = self.transport.send(request, into).map_err(|failure| failure.error(action, what))?;
        self.learn(&answer);
        Ok(answer)
    }

    /// The error that an answer means, with what the server said beside it.
    fn refused(&self, answer: &Answer, action: &'static str, what: impl ToString, body: &[u8]) -> Error {
        let mut error = answer.error(action, what, body);
        let said = self.transport.said();
        if let (500.., Some(last)) = (answer.status.as_u16(), said.lines().last()) {
            error.message = format!("{}: {last}", error.message);
        }
        error
    }

    fn learn(&self, answer: &Answer) {
        let server = answer.headers.get(http::header::SERVER).and_then(|name| name.to_str().ok());
        let rclone = server.is_some_and(|name| name.starts_with("rclone"));
        // What an answer without that name (from a proxy, say) means is no news about a server that said it once.
        let learned = if rclone { replaces::YES } else { replaces::NO };
        self.replaces.fetch_max(learned, Ordering::Relaxed);
    }

    fn head(&self, action: &'static str, file: &FileName) -> Result<Option<u64>> {
        let path = path(file);
        let request = Request { method: Method::HEAD, path: &path, range: None, accept: None, body: None, limit: 0 };
        let answer = self.ask(action, &path, &request, &mut Vec::new())?;
        match answer.status {
            StatusCode::OK => {
                self.known.store(true, Ordering::Relaxed);
                let no_length = || Error::new(Class::Transient, action, &path, "the server does not tell the size");
                answer.length().ok_or_else(no_length).map(Some)
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.refused(&answer, action, &path, b"")),
        }
    }

    fn stored(&self, file: &FileName, content: &[u8]) -> Result<Stored> {
        let size = self.head("write", file)?;
        let Some(size) = size else { return Ok(Stored::Nothing) };
        if size != content.len() as u64 {
            return Ok(Stored::Different);
        }
        if size > COMPARED_WHOLE {
            return Ok(Stored::Same);
        }
        let mut stored = Vec::new();
        self.read(file, Part::Whole, &mut stored)?;
        Ok(if stored == content { Stored::Same } else { Stored::Different })
    }

    fn post(&self, file: &FileName, content: &[u8]) -> Result<()> {
        let path = path(file);
        let body = Some(content);
        let request = Request { method: Method::POST, path: &path, range: None, accept: None, body, limit: 1 << 20 };
        let mut text = Vec::new();
        let answer = self.ask("write", &path, &request, &mut text)?;
        match answer.status.is_success() {
            true => Ok(()),
            false => Err(self.refused(&answer, "write", &path, &text)),
        }
    }

    /// Decides what a failed write came to.
    fn settle(&self, file: &FileName, content: &[u8], failure: Error) -> Result<()> {
        if matches!(failure.class, Class::Full | Class::Throttled) {
            return Err(failure);
        }
        match (self.stored(file, content), failure.class) {
            (Ok(Stored::Same), _) => Ok(()),
            (Ok(Stored::Different), Class::Rejected) => Err(Error::exists(file)),
            (Ok(Stored::Different), _) if self.replaces.load(Ordering::Relaxed) == replaces::YES => {
                // There was nothing before we wrote, so this is a piece of our own.
                let _ = self.remove(file);
                Err(failure)
            }
            // A refusal may be about our own bytes, whose answer was lost: as long as nobody can say, nothing is decided.
            (Err(unclear), Class::Rejected) if unclear.is_retryable() => Err(unclear),
            _ => Err(failure),
        }
    }

    fn confirm(&self, file: &FileName, content: &[u8]) -> Result<()> {
        match self.head("write", file)? {
            Some(size) if size == content.len() as u64 => Ok(()),
            Some(size) => {
                let message = format!("{size} of {} bytes are stored", content.len());
                Err(Error::new(Class::Transient, "write", path(file), message))
            }
            None => {
                Err(Error::new(Class::Transient, "write", path(file), "it is not there although the server took it"))
            }
        }
    }

    fn get(&self, file: &FileName, range: Option<String>, limit: u64, into: &mut Vec<u8>) -> Result<Answer> {
        let path = path(file);
        let request = Request { method: Method::GET, path: &path, range, accept: None, body: None, limit };
        self.ask("read", &path, &request, into)
    }

    /// Reads a part of a file that is not empty.
    fn get_part(&self, file: &FileName, range: String, part: Part, into: &mut Vec<u8>) -> Result<()> {
        let wanted = match part {
            Part::Whole => MAX_ANSWER,
            Part::Range { length, .. } | Part::Tail(length) => length,
        };
        let answer = self.get(file, Some(range), MAX_ANSWER, into)?;
        match (answer.status, part) {
            (StatusCode::PARTIAL_CONTENT, Part::Range { offset, .. }) if (into.len() as u64) < wanted => {
                Err(Error::short(file, offset.saturating_add(wanted), offset + into.len() as u64))
            }
            (StatusCode::PARTIAL_CONTENT, _) if into.len() as u64 > wanted => {
                Err(Error::new(Class::Corrupt, "read", path(file), "the server sends more than was asked for"))
            }
            (StatusCode::PARTIAL_CONTENT, _) => Ok(()),
            // Servers may ignore ranges and send all.
            (StatusCode::OK, _) => {
                let (offset, length) = part.within(into.len() as u64, file)?;
                into.drain(..offset as usize);
                into.truncate(length);
                Ok(())
            }
            (StatusCode::RANGE_NOT_SATISFIABLE, Part::Tail(_)) if self.size(file)? == 0 => {
                into.clear();
                Ok(())
            }
            _ => Err(self.refused(&answer, "read", path(file), into)),
        }
    }

    fn get_whole(&self, file: &FileName, into: &mut Vec<u8>) -> Result<()> {
        let answer = self.get(file, None, MAX_ANSWER, into)?;
        match answer.status {
            StatusCode::OK => match answer.length() {
                Some(length) if length != into.len() as u64 => Err(Error::short(file, length, into.len() as u64)),
                _ => Ok(()),
            },
            _ => Err(self.refused(&answer, "read", path(file), into)),
        }
    }
}

impl<T: Transport> Backend for Rest<T> {
    fn location(&self) -> String {
        self.transport.location()
    }

    fn connections(&self) -> usize {
        self.connections
    }

    fn create(&self) -> Result<()> {
        let path = "?create=true";
        let request =
            Request { method: Method::POST, path, range: None, accept: None, body: Some(b""), limit: 1 << 20 };
        let mut text = Vec::new();
        let answer = self.ask("create", &self.location(), &request, &mut text)?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer, "create", self.location(), &text));
        }
        self.known.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        let files = match kind {
            FileKind::Config => self.list_config()?,
            kind => self.list_kind(kind)?,
        };
        if files.is_empty() && !self.known.load(Ordering::Relaxed) && self.head("list", &FileName::CONFIG)?.is_none() {
            return Err(Error::new(Class::NotFound, "list", self.location(), "there is no repository"));
        }
        Ok(files)
    }

    fn size(&self, file: &FileName) -> Result<u64> {
        self.head("read", file)?.ok_or_else(|| Error::not_found("read", file))
    }

    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        match part {
            Part::Whole => self.get_whole(file, into),
            Part::Tail(0) | Part::Range { length: 0, .. } => {
                part.within(self.size(file)?, file)?;
                into.clear();
                Ok(())
            }
            Part::Tail(length) => self.get_part(file, format!("bytes=-{length}"), part, into),
            Part::Range { offset, length } => {
                let last = offset.checked_add(length - 1).ok_or_else(|| Error::short(file, u64::MAX, 0))?;
                self.get_part(file, format!("bytes={offset}-{last}"), part, into)
            }
        }
    }

    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        let turn = (self.replaces.load(Ordering::Relaxed) != replaces::NO).then(|| self.turns.take(file));
        if turn.is_some() {
            match self.stored(file, content)? {
                Stored::Same => return Ok(()),
                Stored::Different => return Err(Error::exists(file)),
                Stored::Nothing => {}
            }
        }
        match (self.post(file, content), self.read_back) {
            (Ok(()), ReadBack::WhenUnclear) => Ok(()),
            (Ok(()), ReadBack::Always) => self.confirm(file, content),
            (Err(failure), _) => self.settle(file, content, failure),
        }
    }

    fn remove(&self, file: &FileName) -> Result<()> {
        let path = path(file);
        let method = Method::DELETE;
        let request = Request { method, path: &path, range: None, accept: None, body: None, limit: 1 << 20 };
        let mut text = Vec::new();
        let answer = self.ask("remove", &path, &request, &mut text)?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(self.refused(&answer, "remove", &path, &text)),
        }
    }
}

/// Where a file is in the protocol, which does not spread packs over directories.
fn path(file: &FileName) -> String {
    match file.kind {
        FileKind::Config => "config".into(),
        kind => format!("{}/{}", kind.directory(), file.id),
    }
}
