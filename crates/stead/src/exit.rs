//! Exit codes: restic's, so that scripts written for it go on working. Nothing else in this program names a number.

use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything was done.
    Success,
    /// It failed, or the command line was wrong.
    Failure,
    /// A backup was made, but some of its source could not be read.
    Incomplete,
    /// An image was captured and waits in a spool: restic has no such thing.
    NotSent,
    /// There is no repository at the location.
    NoRepository,
    /// Somebody else's lock is in the way.
    Locked,
    /// The password opens no key.
    WrongPassword,
    /// Somebody pressed Ctrl-C or sent SIGTERM.
    Interrupted,
    /// Whoever read our output went away, as `| head` does; what a shell reports for a death by SIGPIPE.
    OutputClosed,
}

impl Exit {
    /// The number that the shell sees.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Incomplete => 3,
            Exit::NotSent => 20,
            Exit::NoRepository => 10,
            Exit::Locked => 11,
            Exit::WrongPassword => 12,
            Exit::Interrupted => 130,
            Exit::OutputClosed => 141,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}
