//! A program whose standard input and output are a connection. It is killed when dropped, and what it said on standard
//! error tells why the connection failed.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::process::{ChildStderr, ChildStdin, ChildStdout, Command};

use crate::Class;
use crate::http::Failure;

/// The last bytes of standard error that are kept.
const KEPT: usize = 4 << 10;

/// A running program.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    process: Mutex<tokio::process::Child>,
    said: Arc<Mutex<VecDeque<u8>>>,
}

/// Whether signals of the terminal reach the program too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminal {
    /// They do, and it may ask for a password there.
    Shared,
    /// They do not: it lives until we end it.
    Own,
}

impl Child {
    /// Starts `words`, a program with its arguments. Must be called within the runtime.
    pub(crate) fn start(words: &[String], terminal: Terminal) -> Result<(Child, ChildStdin, ChildStdout), Failure> {
        let [program, arguments @ ..] = words else {
            return Err(Failure::new(Class::Permanent, "the command to start is empty"));
        };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        #[cfg(unix)]
        if terminal == Terminal::Own {
            command.process_group(0);
        }
        let cannot_start = |error| Failure::new(Class::Permanent, format!("cannot start {program}: {error}"));
        let mut process = command.spawn().map_err(cannot_start)?;
        let said = Arc::default();
        let (Some(input), Some(output), Some(errors)) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take())
        else {
            return Err(Failure::new(Class::Permanent, format!("{program} has no pipes")));
        };
        tokio::spawn(listen(errors, Arc::clone(&said)));
        Ok((Child { name: program.clone(), process: Mutex::new(process), said }, input, output))
    }

    /// Why the connection broke, in the program's own words; waits a moment for it to end and say them.
    pub(crate) async fn failure(&self, cause: &dyn std::fmt::Display) -> Failure {
        let mut status = None;
        for _ in 0..20 {
            status = self.process.lock().try_wait().ok().flatten();
            if status.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
        let said = self.said();
        let ended = status.map(|status| format!(" ({status})")).unwrap_or_default();
        let message = match said.is_empty() {
            true => format!("{} broke the connection{ended}: {cause}", self.name),
            false => format!("{}{ended}: {said}", self.name),
        };
        Failure::new(class(&said), message)
    }

    /// The last lines on standard error.
    pub(crate) fn said(&self) -> String {
        let said = self.said.lock();
        let (head, tail) = said.as_slices();
        String::from_utf8_lossy(&[head, tail].concat()).trim().replace("\r\n", "\n")
    }
}

/// Sorts what ssh and rclone say when they cannot connect.
fn class(said: &str) -> Class {
    const REJECTED: [&str; 6] = [
        "Permission denied",
        "Host key verification failed",
        "Too many authentication failures",
        "didn't find section in config file",
        "Failed to create file system",
        "unknown flag",
    ];
    const OFFLINE: [&str; 9] = [
        "Could not resolve",
        "Connection refused",
        "Connection timed out",
        "Operation timed out",
        "No route to host",
        "Network is unreachable",
        "no such host",
        "connection refused",
        "Connection closed by remote host",
    ];
    match () {
        () if REJECTED.iter().any(|words| said.contains(words)) => Class::Rejected,
        () if OFFLINE.iter().any(|words| said.contains(words)) => Class::Offline,
        () => Class::Transient,
    }
}

async fn listen(errors: ChildStderr, said: Arc<Mutex<VecDeque<u8>>>) {
    let mut errors = BufReader::new(errors);
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = errors.read(&mut buffer).await {
        let mut said = said.lock();
        said.extend(&buffer[..count]);
        let surplus = said.len().saturating_sub(KEPT);
        said.drain(..surplus);
    }
}

/// Splits a command into words as a shell does: blanks separate, quotes and backslash protect.
pub(crate) fn words(command: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = command.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), letter) if letter == open => quote = None,
            (Some('\''), letter) => word.get_or_insert_default().push(letter),
            (_, '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some(_), letter) => word.get_or_insert_default().push(letter),
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (None, letter) => word.get_or_insert_default().push(letter),
        }
    }
    if quote.is_some() {
        return Err(format!("a quote is not closed in {command:?}"));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_would() {
        assert_eq!(words(r#"ssh -i "my key" a\ b 'c "d"' """#).unwrap(), ["ssh", "-i", "my key", "a b", "c \"d\"", ""]);
        assert!(words("ssh 'x").is_err());
        assert!(words("  ").unwrap().is_empty());
    }

    #[test]
    fn what_the_program_said_is_why_it_failed() {
        crate::runtime::block_on(async {
            let command = words("sh -c 'echo Permission denied >&2; exit 3'").unwrap();
            let (child, _input, _output) = Child::start(&command, Terminal::Own).map_err(|f| f.message).unwrap();
            let failure = child.failure(&"end of file").await;
            assert_eq!(failure.class, Class::Rejected);
            assert!(failure.message.contains("Permission denied") && failure.message.contains('3'));
        });
    }
}
