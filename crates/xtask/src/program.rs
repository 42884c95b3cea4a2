//! Running other programs. One that cannot be started or fails ends the task with what it was and said.

use std::path::Path;
use std::process::{Command, Stdio};

/// What a task ends with; the error is for people to read.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// A command line made of words; no shell is involved.
pub(crate) fn command<'w>(words: impl IntoIterator<Item = &'w str>) -> Command {
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or("true"));
    command.args(words);
    command
}

/// Runs it with our output and fails if it does.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let status = command.status().map_err(|error| format!("cannot run {}: {error}", line(command)))?;
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", line(command))) }
}

/// Runs it, gives what it printed, and fails with its error output if it does.
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| format!("cannot run {}: {error}", line(command)))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{} failed: {}\n{}{}", line(command), output.status, text(&output.stdout), text(&output.stderr)))
    }
}

/// True if it can be run and succeeds; prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// As somebody would type it.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// A file-system step that failed, said with its path.
pub(crate) fn at<T>(path: &Path, result: std::io::Result<T>) -> Outcome<T> {
    result.map_err(|error| format!("{}: {error}", path.display()))
}
