//! A repository on a host that speaks SFTP, reached by the system's own ssh with all its configuration.
//!
//! Files are written under a temporary name, flushed where the server can, and linked to their name, which never
//! replaces a file. A connection that breaks is made again by the next call.

use std::sync::Arc;
use std::time::Duration;

use openssh_sftp_client::Error as SftpError;
use openssh_sftp_client::error::SftpErrorKind;
use parking_lot::Mutex;

use crate::http::Failure;
use crate::limit::Pace;
use crate::runtime::{Stuck, block_on, block_on_patiently};
use crate::{Backend, Class, Error, FileInfo, FileKind, FileName, Part, Result};

mod session;
mod transfer;

use session::Session;

/// Files up to this size are compared byte by byte where one exists already; of larger ones the size.
const COMPARED_WHOLE: u64 = 4 << 20;

/// A directory on another host.
pub(crate) struct Sftp {
    command: Vec<String>,
    root: String,
    location: String,
    connections: usize,
    /// How long an operation may show no progress.
    patience: Duration,
    pace: Pace,
    session: Mutex<Option<Arc<Session>>>,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Sftp(#[from] SftpError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Stuck(#[from] Stuck),
    #[error("it ends after {0} bytes")]
    Short(u64),
    #[error("no space is left")]
    Full,
    #[error("a different file of that name exists")]
    Different,
    #[error("there is no repository")]
    NoRepository,
}

impl Problem {
    fn kind(&self) -> Option<&SftpErrorKind> {
        match self {
            Problem::Sftp(SftpError::SftpError(kind, _)) => Some(kind),
            _ => None,
        }
    }

    fn is_missing(&self) -> bool {
        matches!(self.kind(), Some(SftpErrorKind::NoSuchFile))
    }

    /// The connection is of no more use.
    fn is_broken(&self) -> bool {
        match self {
            Problem::Sftp(_) => self.kind().is_none(),
            Problem::Io(_) | Problem::Stuck(_) => true,
            Problem::Short(_) | Problem::Full | Problem::Different | Problem::NoRepository => false,
        }
    }

    fn class(&self) -> Class {
        match (self, self.kind()) {
            (Problem::Short(_), _) => Class::Corrupt,
            (Problem::Full, _) => Class::Full,
            (Problem::NoRepository, _) | (_, Some(SftpErrorKind::NoSuchFile)) => Class::NotFound,
            (Problem::Different, _) | (_, Some(SftpErrorKind::PermDenied)) => Class::Rejected,
            (_, Some(SftpErrorKind::OpUnsupported)) => Class::Permanent,
            _ => Class::Transient,
        }
    }

    fn message(&self) -> String {
        match self {
            Problem::Sftp(SftpError::SftpError(SftpErrorKind::NoSuchFile, _)) => "it does not exist".into(),
            Problem::Sftp(SftpError::SftpError(SftpErrorKind::PermDenied, _)) => "permission denied".into(),
            problem => problem.to_string(),
        }
    }
}

impl Sftp {
    /// Speaks SFTP with what `command` starts. `root` is the repository's path there, `location` what people call it.
    pub(crate) fn open(
        command: Vec<String>,
        root: String,
        location: String,
        connections: usize,
        patience: Duration,
        pace: Pace,
    ) -> Result<Sftp> {
        let sftp = Sftp { command, root, location, connections, patience, pace, session: Mutex::default() };
        sftp.session().map_err(|failure| failure.error("open", &sftp.location))?;
        Ok(sftp)
    }

    /// The connection; other threads wait while it is made.
    fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut session = self.session.lock();
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let started =
            Arc::new(block_on_patiently(self.patience, Session::start(&self.command, &self.root, self.pace.clone()))?);
        *session = Some(Arc::clone(&started));
        Ok(started)
    }

    /// Runs one operation; when the connection breaks under it, the next one gets a new connection.
    fn run<T>(
        &self,
        action: &'static str,
        what: &str,
        operation: impl AsyncFnOnce(&Session) -> Result<T, Problem>,
    ) -> Result<T> {
        let session = self.session().map_err(|failure| failure.error(action, what))?;
        let problem = match block_on_patiently(self.patience, operation(&session)) {
            Ok(value) => return Ok(value),
            Err(problem) => problem,
        };
        if !problem.is_broken() {
            return Err(Error::new(problem.class(), action, what, problem.message()));
        }
        let mut current = self.session.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &session)) {
            *current = None;
        }
        drop(current);
        Err(block_on(session.child.failure(&problem)).error(action, what))
    }
}

impl Backend for Sftp {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn connections(&self) -> usize {
        self.connections
    }

    fn create(&self) -> Result<()> {
        self.run("create", &self.location, async |session| session.create().await)
    }

    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        self.run("list", kind.directory(), async |session| session.list(kind).await)
    }

    fn size(&self, file: &FileName) -> Result<u64> {
        self.run("read", &file.path(), async |session| session.size(file).await)
    }

    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        self.run("read", &file.path(), async |session| session.read(file, part, into).await)?
    }

    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        self.run("write", &file.path(), async |session| session.write(file, content).await)
    }

    fn remove(&self, file: &FileName) -> Result<()> {
        self.run("remove", &file.path(), async |session| session.remove(file).await)
    }

    fn replace_config(&self, content: &[u8]) -> Result<()> {
        self.run("write", "config", async |session| session.replace_config(content).await)
    }
}
