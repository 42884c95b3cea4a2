//! Hooks: programs in a directory of this machine that are run before and after a backup. They are never sent.
//!
//! One that somebody else than its owner, root or the agent's own user, could have changed is not run, and why is said.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use platform::Stat;

use crate::running::Stop;

/// How long a hook may take.
const LIMIT: Duration = Duration::from_secs(3600);

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// When a hook is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Before a backup; if it fails, there is none.
    BeforeBackup,
    /// After a backup, whatever came of it.
    AfterBackup,
}

impl Moment {
    /// The program's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Moment::BeforeBackup => "before-backup",
            Moment::AfterBackup => "after-backup",
        }
    }
}

/// Runs a hook if there is one; in words, why it failed or was not run.
pub(crate) fn run(folder: &Path, moment: Moment, stop: &Stop) -> Result<(), String> {
    let program = folder.join(moment.name());
    if !program.exists() {
        return Ok(());
    }
    trusted(folder)?;
    trusted(&program)?;
    started(&program, stop)
}

/// An error unless only root, or the user that we are, can change it.
fn trusted(path: &Path) -> Result<(), String> {
    let refused = |why: String| Err(format!("the hook {} is not run: {why}", path.display()));
    let stat = match Stat::of_target(path.as_os_str().as_encoded_bytes()) {
        Ok(stat) => stat,
        Err(error) => return refused(format!("it cannot be examined: {error}")),
    };
    let own = platform::effective_uid();
    if stat.uid != 0 && stat.uid != own {
        return refused(format!("it belongs to user {}, not to root", stat.uid));
    }
    if stat.permissions & 0o022 != 0 {
        return refused(format!("others may write to it (mode {:o})", stat.permissions));
    }
    Ok(())
}

fn started(program: &Path, stop: &Stop) -> Result<(), String> {
    let shown = program.display();
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command.spawn().map_err(|error| format!("the hook {shown} cannot be started: {error}"))?;
    let end = Instant::now() + LIMIT;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("the hook {shown} ended with {status}")),
            Ok(None) if stop.is_asked() || Instant::now() >= end => {
                _ = platform::kill_group(child.id());
                _ = child.wait();
                let why = if stop.is_asked() { "the run was stopped" } else { "it took longer than an hour" };
                return Err(format!("the hook {shown} was ended: {why}"));
            }
            Ok(None) => std::thread::sleep(LOOK_EVERY),
            Err(error) => return Err(format!("the hook {shown} cannot be waited for: {error}")),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hook(folder: &Path, text: &str, mode: u32) {
        let path = folder.join("before-backup");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn run_in(folder: &Path) -> Result<(), String> {
        run(folder, Moment::BeforeBackup, &Stop::default())
    }

    #[test]
    fn a_hook_that_fails_is_told_and_one_that_is_not_there_is_no_matter() {
        let room = tempfile::tempdir().unwrap();
        run_in(room.path()).unwrap();
        hook(room.path(), "#!/bin/sh\nexit 0\n", 0o700);
        run_in(room.path()).unwrap();
        hook(room.path(), "#!/bin/sh\nexit 7\n", 0o700);
        assert!(run_in(room.path()).unwrap_err().contains('7'));
    }

    #[test]
    fn a_hook_that_others_may_write_is_refused_with_the_reason() {
        let room = tempfile::tempdir().unwrap();
        let mark = room.path().join("ran");
        hook(room.path(), &format!("#!/bin/sh\ntouch {}\n", mark.display()), 0o777);
        let why = run_in(room.path()).unwrap_err();
        assert!(why.contains("others may write") && !mark.exists(), "{why}");
        hook(room.path(), "#!/bin/sh\n", 0o755);
        std::fs::set_permissions(room.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(run_in(room.path()).is_err(), "its folder counts, too");
    }
}
