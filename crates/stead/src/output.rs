//! The two streams of this program: results on standard output, everything else on standard error.
//!
//! With `--json` standard output carries nothing but JSON; with `--quiet` remarks fall away, results never do.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use serde::Serialize;

use crate::failure::{Failure, Outcome, OutputFailed};

/// How the user wants to be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Words and tables.
    Text,
    /// restic's JSON messages.
    Json,
}

/// What is said, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Words or JSON.
    pub(crate) format: Format,
    /// 0 quiet, 1 normal, 2 with `-v`, 3 with `-vv`: restic's levels.
    pub(crate) level: u8,
}

impl Output {
    /// True if only JSON may appear on standard output.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// True if the user asked for more than usual.
    pub(crate) fn is_verbose(&self) -> bool {
        self.level >= 2
    }

    /// A remark on the way; not with `--json` or `--quiet`.
    pub(crate) fn remark(&self, words: impl fmt::Display) -> Outcome {
        if self.is_json() || self.level == 0 { Ok(()) } else { line(words) }
    }

    /// A remark for those who asked for more.
    pub(crate) fn detail(&self, words: impl fmt::Display) -> Outcome {
        if self.is_verbose() { self.remark(words) } else { Ok(()) }
    }

    /// What the user asked for, in words; not with `--json`.
    pub(crate) fn result(&self, words: impl fmt::Display) -> Outcome {
        if self.is_json() { Ok(()) } else { line(words) }
    }

    /// What the user asked for, where restic has words only, with `--json` too.
    pub(crate) fn result_always(&self, words: impl fmt::Display) -> Outcome {
        line(words)
    }

    /// What the user asked for, as one line of JSON; only with `--json`.
    pub(crate) fn message(&self, message: &impl Serialize) -> Outcome {
        if !self.is_json() {
            return Ok(());
        }
        line(serde_json::to_string(message)?)
    }

    /// Something new that the user must know, once; on standard error where standard output carries JSON.
    pub(crate) fn notice(&self, words: impl fmt::Display) -> Outcome {
        if self.is_json() {
            _ = writeln!(io::stderr().lock(), "{words}");
            return Ok(());
        }
        line(words)
    }

    /// Something that the user should know though the work goes on.
    pub(crate) fn warn(&self, words: impl fmt::Display) {
        _ = writeln!(io::stderr().lock(), "warning: {words}");
    }

    /// A JSON message about something that failed while the work goes on: on standard error, as restic does.
    pub(crate) fn error_message(&self, message: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(message) {
            _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// How the run failed, as the last thing that is said.
    pub(crate) fn failure(&self, failure: &Failure) {
        let mut stderr = io::stderr().lock();
        let hint = failure.advice();
        if self.is_json() {
            let message = ExitError {
                message_type: "exit_error",
                code: failure.exit().code(),
                message: failure.to_string(),
                hint: hint.as_deref(),
            };
            _ = serde_json::to_writer(&mut stderr, &message).map(|()| writeln!(stderr));
            return;
        }
        _ = writeln!(stderr, "error: {failure}");
        if let Some(hint) = hint {
            _ = writeln!(stderr, "hint: {hint}");
        }
    }
}

/// restic's last message when something failed, with our advice added.
#[derive(Serialize)]
struct ExitError<'a> {
    message_type: &'static str,
    code: u8,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

fn line(words: impl fmt::Display) -> Outcome {
    writeln!(io::stdout().lock(), "{words}").map_err(OutputFailed)?;
    Ok(())
}

/// Many lines or much data for standard output, written in large pieces. `finish` it.
pub(crate) struct Lines(BufWriter<StdoutLock<'static>>);

impl Lines {
    /// Takes standard output for itself.
    pub(crate) fn new() -> Lines {
        Lines(BufWriter::with_capacity(64 << 10, io::stdout().lock()))
    }

    /// One line of text.
    pub(crate) fn line(&mut self, words: impl fmt::Display) -> Outcome {
        writeln!(self.0, "{words}").map_err(OutputFailed)?;
        Ok(())
    }

    /// One line of JSON.
    pub(crate) fn message(&mut self, message: &impl Serialize) -> Outcome {
        serde_json::to_writer(&mut self.0, message).map_err(|error| OutputFailed(error.into()))?;
        self.0.write_all(b"\n").map_err(OutputFailed)?;
        Ok(())
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Outcome {
        self.0.write_all(bytes).map_err(OutputFailed)?;
        Ok(())
    }

    /// Hands over everything that is still buffered.
    pub(crate) fn finish(mut self) -> Outcome {
        self.0.flush().map_err(OutputFailed)?;
        Ok(())
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Columns of the terminal that standard output is; `None` if it is no terminal.
pub(crate) fn width() -> Option<usize> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(stdout).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}
