//! Commands that are run before filesystems are frozen and after they are thawed, so that applications write out what they hold.

use std::error::Error;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use disks::capture::Hooks;

use crate::output::Output;

/// The shell's commands, each with a time limit.
pub(super) struct Commands {
    /// Before the freeze; if it fails, no image is made.
    pub(super) before: Option<String>,
    /// After the thaw, whatever happened.
    pub(super) after: Option<String>,
    /// How long each may take.
    pub(super) limit: Duration,
    /// Who is told if the second one fails.
    pub(super) output: Output,
}

type Failed = Box<dyn Error + Send + Sync>;

impl Hooks for Commands {
    fn before_freeze(&mut self) -> Result<(), Failed> {
        self.before.as_ref().map_or(Ok(()), |command| run(command, self.limit))
    }

    fn after_thaw(&mut self) {
        if let Some(Err(error)) = self.after.as_ref().map(|command| run(command, self.limit)) {
            self.output.warn(format_args!("--hook-after: {error}"));
        }
    }
}

/// Runs a command; what it prints goes where our errors go.
fn run(command: &str, limit: Duration) -> Result<(), Failed> {
    let mut shell = Command::new("/bin/sh");
    let child = shell.args(["-c", command]).stdin(Stdio::null()).stdout(std::io::stderr()).spawn();
    let child = child.map_err(|error| format!("cannot run {command:?}: {error}"))?;
    match wait(child, limit).map_err(|error| format!("cannot wait for {command:?}: {error}"))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{command:?} ended with {status}").into()),
        None => Err(format!("{command:?} took longer than {} s and was killed", limit.as_secs()).into()),
    }
}

/// How it ended; `None` if it had to be killed.
fn wait(mut child: Child, limit: Duration) -> std::io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_or_hangs_is_told() {
        let limit = Duration::from_secs(20);
        run("true", limit).unwrap();
        assert!(run("exit 3", limit).unwrap_err().to_string().contains('3'));
        let begin = Instant::now();
        let said = run("exec sleep 60", Duration::from_millis(100)).unwrap_err().to_string();
        assert!(said.contains("was killed") && begin.elapsed() < Duration::from_secs(20), "{said}");
    }
}
