//! Wall time, processor time and largest resident set of one command. GNU time asks the kernel for the latter two.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::program::{self, Outcome, at};

/// What a run cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cost {
    /// Seconds from start to end.
    pub(super) wall: f64,
    /// Seconds of processor time, user and system, of all threads.
    pub(super) cpu: f64,
    /// Largest resident set in bytes.
    pub(super) memory: u64,
}

/// Runs a command that must succeed. What was written before is on the disk when the clock starts.
pub(super) fn run(command: &Command, room: &Path) -> Outcome<Cost> {
    program::run(&mut program::command(["sync"]))?;
    let (figures, log) = (room.join("figures"), room.join("log"));
    let mut timed = under_time(command, &figures);
    let said = at(&log, fs::File::create(&log))?;
    let copy = at(&log, said.try_clone())?;
    timed.stdin(Stdio::null()).stdout(said).stderr(copy);
    let start = Instant::now();
    let status = timed.status().map_err(|error| format!("cannot run GNU time (package `time`): {error}"))?;
    let wall = start.elapsed().as_secs_f64();
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        return Err(format!("{command:?} failed: {status}\n{said}"));
    }
    let (cpu, memory) = parse(&at(&figures, fs::read_to_string(&figures))?).ok_or("GNU time wrote no figures")?;
    Ok(Cost { wall, cpu, memory })
}

/// The same command, run by GNU time.
fn under_time(command: &Command, figures: &Path) -> Command {
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["-f", "%U %S %M", "-o"]).arg(figures).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        timed.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    timed
}

/// `user system kibibytes`, in the last line.
fn parse(figures: &str) -> Option<(f64, u64)> {
    let mut words = figures.lines().last()?.split_whitespace();
    let user: f64 = words.next()?.parse().ok()?;
    let system: f64 = words.next()?.parse().ok()?;
    let kibibytes: u64 = words.next()?.parse().ok()?;
    Some((user + system, kibibytes * 1024))
}

/// The middle value; the mean of the two middle ones if they are even in number; zero for none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_gnu_time_is_understood() {
        assert_eq!(parse("1.50 0.25 2048\n"), Some((1.75, 2 << 20)));
        assert_eq!(parse("Command exited with non-zero status 3\n0.10 0.00 8\n"), Some((0.1, 8192)));
        assert_eq!(parse(""), None);
    }

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0]), 2.5);
        assert_eq!(median([]), 0.0);
    }
}
