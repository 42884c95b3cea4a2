//! Commands that are run before filesystems are frozen and after they are thawed, so that applications write out what they hold.

use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use disks::capture::Hooks;
use repo::Cancel;

use crate::output::Output;

/// The shell's commands, each with a time limit. Each is a process group of its own: when its time is over, or the backup is
/// interrupted, everything that it started ends with it.
pub(super) struct Commands {
    /// Before the freeze; if it fails, no image is made.
    pub(super) before: Option<String>,
    /// After the thaw, whatever happened.
    pub(super) after: Option<String>,
    /// How long each may take.
    pub(super) limit: Duration,
    /// Who is told if the second one fails.
    pub(super) output: Output,
    /// Set when the backup is interrupted.
    pub(super) cancel: Cancel,
}

type Failed = Box<dyn Error + Send + Sync>;

impl Hooks for Commands {
    fn before_freeze(&mut self) -> Result<(), Failed> {
        self.before.as_ref().map_or(Ok(()), |command| run(command, self.limit, &self.cancel))
    }

    fn after_thaw(&mut self) {
        // Whatever was begun before the freeze is ended, even if the backup is interrupted.
        let never = Cancel::default();
        if let Some(Err(error)) = self.after.as_ref().map(|command| run(command, self.limit, &never)) {
            self.output.warn(format_args!("--hook-after: {error}"));
        }
    }
}

/// How a command ended.
enum Ended {
    Itself(ExitStatus),
    TimeOver,
    Interrupted,
}

/// Runs a command; what it prints goes where our errors go.
fn run(command: &str, limit: Duration, cancel: &Cancel) -> Result<(), Failed> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(std::io::stderr()).process_group(0);
    let child = shell.spawn().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    match wait(child, limit, cancel).map_err(|error| format!("cannot wait for {command:?}: {error}"))? {
        Ended::Itself(status) if status.success() => Ok(()),
        Ended::Itself(status) => Err(format!("{command:?} ended with {status}").into()),
        Ended::TimeOver => {
            let seconds = limit.as_secs_f64();
            Err(format!("{command:?} took longer than {seconds} s and was killed, with all that it had started").into())
        }
        Ended::Interrupted => Err(format!("{command:?} was killed, because the backup was interrupted").into()),
    }
}

fn wait(mut child: Child, limit: Duration, cancel: &Cancel) -> std::io::Result<Ended> {
    let end = Instant::now() + limit;
    let ended = loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Itself(status));
        }
        if cancel.is_cancelled() {
            break Ended::Interrupted;
        }
        if Instant::now() >= end {
            break Ended::TimeOver;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    // The shell is not waited for before, so its number is still the group's.
    platform::kill_group(child.id())?;
    child.wait()?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_or_hangs_is_told() {
        let (limit, never) = (Duration::from_secs(20), Cancel::default());
        run("true", limit, &never).unwrap();
        assert!(run("exit 3", limit, &never).unwrap_err().to_string().contains('3'));
        let begin = Instant::now();
        let said = run("exec sleep 60", Duration::from_millis(100), &never).unwrap_err().to_string();
        assert!(said.contains("was killed") && begin.elapsed() < Duration::from_secs(20), "{said}");
    }

    #[test]
    fn what_a_command_started_is_killed_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let number = folder.path().join("number");
        let command = format!("sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait", number.display());
        let cancel = Cancel::default();
        // Interrupted once the second process runs.
        let said = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !number.exists() {
                    std::thread::sleep(Duration::from_millis(2));
                }
                cancel.cancel();
            });
            run(&command, Duration::from_secs(60), &cancel).unwrap_err().to_string()
        });
        assert!(said.contains("interrupted"), "{said}");
        let process: u32 = std::fs::read_to_string(&number).unwrap().trim().parse().unwrap();
        let begin = Instant::now();
        while is_running(process) {
            assert!(begin.elapsed() < Duration::from_secs(20), "it runs on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A process that has ended may still be listed until somebody asks how.
    fn is_running(process: u32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        status.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(['Z', 'X']))
    }
}
