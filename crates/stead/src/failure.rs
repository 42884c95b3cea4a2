//! A failure at the edge: what was being done, why it did not work, which exit code that is, and what helps.
//!
//! Libraries return their own errors; here they are only collected, told and counted. Every error converts with `?`.

use std::error::Error;
use std::fmt;
use std::io;

use disks::capture::CaptureError;
use disks::image::ImageError;
use disks::offline::ReadError;
use disks::restore::RestoreError;
use files::dump::DumpError;
use files::find::UnknownId;
use files::locate::LocateError;
use files::{backup, restore};

use crate::exit::Exit;
use crate::hint;

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) struct Failure {
    doing: Option<String>,
    cause: Box<dyn Error + Send + Sync>,
    exit: Option<Exit>,
    hint: Option<String>,
}

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Something that only this program says.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// Standard output did not take what was written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(crate) struct OutputFailed(#[source] pub(crate) io::Error);

impl Failure {
    /// A failure in words.
    pub(crate) fn new(message: impl Into<String>) -> Failure {
        Failure::from(Said(message.into()))
    }

    /// A backup that was made but misses something.
    pub(crate) fn incomplete(message: impl Into<String>) -> Failure {
        Failure { exit: Some(Exit::Incomplete), ..Failure::new(message) }
    }

    /// An image that was captured and waits in a spool.
    pub(crate) fn not_sent(message: impl Into<String>) -> Failure {
        Failure { exit: Some(Exit::NotSent), ..Failure::new(message) }
    }

    /// The storage's error behind it, if it is one.
    pub(crate) fn storage_error(&self) -> Option<&backend::Error> {
        self.causes().find_map(|error| match error.downcast_ref() {
            Some(repo::Error::Backend(error)) => Some(error),
            _ => error.downcast_ref::<backend::Error>(),
        })
    }

    /// The same failure with advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Cannot `action` a file of this machine.
    pub(crate) fn io(action: &str, path: &std::path::Path, error: io::Error) -> Failure {
        Failure::from(error).doing(format!("cannot {action} {}", path.display()))
    }

    /// The same failure, told as part of a larger undertaking.
    pub(crate) fn doing(mut self, doing: impl Into<String>) -> Failure {
        let doing = doing.into();
        self.doing = Some(match self.doing {
            Some(inner) => format!("{doing}: {inner}"),
            None => doing,
        });
        self
    }

    /// The exit code that this failure has.
    pub(crate) fn exit(&self) -> Exit {
        self.exit.or_else(|| self.causes().find_map(exit_of)).unwrap_or(Exit::Failure)
    }

    /// What helps, if we know.
    pub(crate) fn advice(&self) -> Option<String> {
        self.hint.clone().or_else(|| self.causes().find_map(hint::for_error))
    }

    /// True if there is nobody to tell.
    pub(crate) fn is_silent(&self) -> bool {
        self.exit() == Exit::OutputClosed
    }

    fn causes(&self) -> impl Iterator<Item = &(dyn Error + 'static)> {
        let mut next: Option<&(dyn Error + 'static)> = Some(&*self.cause);
        std::iter::from_fn(move || {
            let error = next?;
            next = error.source();
            Some(error)
        })
    }
}

/// The exit code that restic's table has for an error.
fn exit_of(error: &(dyn Error + 'static)) -> Option<Exit> {
    if let Some(OutputFailed(error)) = error.downcast_ref() {
        return (error.kind() == io::ErrorKind::BrokenPipe).then_some(Exit::OutputClosed);
    }
    if let Some(backup::BackupError::Cancelled { .. }) = error.downcast_ref() {
        return Some(Exit::Interrupted);
    }
    let is_stop = matches!(error.downcast_ref(), Some(ReadError::Cancelled))
        || matches!(error.downcast_ref(), Some(CaptureError::Cancelled))
        || matches!(error.downcast_ref(), Some(RestoreError::Cancelled));
    if is_stop {
        return Some(Exit::Interrupted);
    }
    match repository_error(error)? {
        repo::Error::NoRepository { .. } | repo::Error::HalfRepository { .. } => Some(Exit::NoRepository),
        repo::Error::Locked { .. } => Some(Exit::Locked),
        repo::Error::WrongPassword => Some(Exit::WrongPassword),
        repo::Error::Cancelled => Some(Exit::Interrupted),
        _ => None,
    }
}

/// The repository's error that an error is, or speaks for.
pub(crate) fn repository_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e repo::Error> {
    let inner = match () {
        () if error.is::<repo::Error>() => error.downcast_ref::<repo::Error>(),
        () if error.is::<restore::Error>() => match error.downcast_ref()? {
            restore::Error::Repository(error) => Some(error),
            _ => None,
        },
        () if error.is::<LocateError>() => match error.downcast_ref()? {
            LocateError::Repository(error) => Some(error),
            _ => None,
        },
        () if error.is::<DumpError>() => match error.downcast_ref()? {
            DumpError::Repository(error) => Some(error),
            _ => None,
        },
        () if error.is::<UnknownId>() => match error.downcast_ref()? {
            UnknownId::Repository(error) => Some(error),
            _ => None,
        },
        () if error.is::<ImageError>() => return image_error(error.downcast_ref()?),
        () if error.is::<RestoreError>() => match error.downcast_ref()? {
            RestoreError::Repo(error) => Some(error),
            RestoreError::Image(error) => return image_error(error),
            _ => None,
        },
        () => match error.downcast_ref()? {
            backup::BackupError::Repo(error) => Some(error),
            _ => None,
        },
    };
    inner.map(repo::Error::root)
}

fn image_error(error: &ImageError) -> Option<&repo::Error> {
    match error {
        ImageError::Repo(error) => Some(error.root()),
        ImageError::Earlier(first) => image_error(first),
        _ => None,
    }
}

impl fmt::Display for Failure {
    /// What was being done, then the causes; a cause that its parent repeats already is not said twice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said = self.doing.clone().unwrap_or_default();
        f.write_str(&said)?;
        for cause in self.causes() {
            let words = cause.to_string();
            if said.ends_with(&words) {
                continue;
            }
            let separator = if said.is_empty() { "" } else { ": " };
            write!(f, "{separator}{words}")?;
            said = words;
        }
        Ok(())
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure { doing: None, cause: Box::new(error), exit: None, hint: None }
    }
}

/// Says what was being done when something failed.
pub(crate) trait Doing<T> {
    /// The same result; a failure tells what was being done.
    fn doing(self, doing: impl FnOnce() -> String) -> Outcome<T>;
}

impl<T, E: Into<Failure>> Doing<T> for Result<T, E> {
    fn doing(self, doing: impl FnOnce() -> String) -> Outcome<T> {
        self.map_err(|error| error.into().doing(doing()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once_and_in_order() {
        let inner = io::Error::other("data error");
        let failure = Failure::io("read", std::path::Path::new("/dev/x"), inner).doing("cannot back up");
        assert_eq!(failure.to_string(), "cannot back up: cannot read /dev/x: data error");
    }

    #[test]
    fn a_repositorys_errors_have_restics_codes_however_deep_they_lie() {
        let failure = Failure::from(repo::Error::WrongPassword).doing("cannot open");
        assert_eq!(failure.exit().code(), 12);
        assert_eq!(Failure::from(repo::Error::Cancelled).exit().code(), 130);
        assert_eq!(Failure::new("no").exit().code(), 1);
        assert_eq!(Failure::incomplete("some").exit().code(), 3);
        let missing = repo::Error::NoRepository { location: "/x".into() };
        assert_eq!(Failure::from(missing).exit().code(), 10);
    }

    #[test]
    fn a_closed_pipe_is_silent() {
        let failure = Failure::from(OutputFailed(io::ErrorKind::BrokenPipe.into()));
        assert!(failure.is_silent());
    }
}
