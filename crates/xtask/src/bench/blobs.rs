//! A repository with very many blobs: how long it takes to open with a warm cache, and what a backup into it keeps in memory.
//!
//! The same backup into the same repository before it got the blobs is taken off both, so that deriving the key from the
//! password, and all that a small backup needs anyway, do not count.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::measure::median;
use crate::program::{self, Outcome, at};
use crate::workspace;

const PASSWORD: &str = "benchmark";

/// One backup of a small folder.
struct Sample {
    wall: f64,
    /// Most anonymous memory seen, in bytes.
    anonymous: u64,
}

/// Makes the repository, measures, and prints.
pub(super) fn run(count: u64) -> Outcome {
    let stead = workspace::release_binary()?;
    let bench = Bench { stead, room: super::room()? };
    let source = bench.room.join("source");
    at(&source, fs::create_dir_all(&source))?;
    at(&source, fs::write(source.join("note"), "a small backup\n"))?;
    program::output(&mut bench.command(&["init", "-q"]))?;
    bench.backup()?;
    let small = bench.several()?;
    add_blobs(&bench.repository(), count)?;
    let cold = bench.backup()?;
    let large = bench.several()?;
    tell(count, &small, &cold, &large);
    super::clear(&bench.room)
}

fn tell(count: u64, small: &Sample, cold: &Sample, large: &Sample) {
    let per_blob = large.anonymous.saturating_sub(small.anonymous) as f64 / count as f64;
    let cold_per_blob = cold.anonymous.saturating_sub(small.anonymous) as f64 / count as f64;
    println!("{count} blobs");
    println!(
        "  a small backup without them          {:>8.3} s {:>8.1} MiB anonymous",
        small.wall,
        mib(small.anonymous)
    );
    println!("  with them, first time (makes cache)  {:>8.3} s {:>8.1} MiB anonymous", cold.wall, mib(cold.anonymous));
    println!(
        "  with them, warm cache                {:>8.3} s {:>8.1} MiB anonymous",
        large.wall,
        mib(large.anonymous)
    );
    println!("  opening costs {:.3} s", (large.wall - small.wall).max(0.0));
    println!("  anonymous memory per blob: {per_blob:.2} bytes, {cold_per_blob:.2} the first time");
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn add_blobs(repository: &Path, count: u64) -> Outcome {
    let words = ["run", "--release", "--quiet", "--package", "stead-repo", "--example", "blobs", "--"];
    let mut command = workspace::cargo(words);
    program::output(command.arg(repository).arg(count.to_string()).env("RESTIC_PASSWORD", PASSWORD)).map(drop)
}

struct Bench {
    stead: PathBuf,
    room: PathBuf,
}

impl Bench {
    fn repository(&self) -> PathBuf {
        self.room.join("repository")
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.stead);
        command.args(words).env("RESTIC_PASSWORD", PASSWORD).env("RESTIC_REPOSITORY", self.repository());
        command.env("HOME", self.room.join("home"));
        for variable in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env(variable, self.room.join("home").join(variable));
        }
        command
    }

    /// The medians of five backups.
    fn several(&self) -> Outcome<Sample> {
        let samples = (0..5).map(|_| self.backup()).collect::<Outcome<Vec<_>>>()?;
        let anonymous = median(samples.iter().map(|sample| sample.anonymous as f64)) as u64;
        Ok(Sample { wall: median(samples.iter().map(|sample| sample.wall)), anonymous })
    }

    fn backup(&self) -> Outcome<Sample> {
        let mut command = self.command(&["backup", "-q"]);
        command.arg(self.room.join("source")).stdin(Stdio::null()).stdout(Stdio::null());
        let start = Instant::now();
        let mut child = command.spawn().map_err(|error| format!("cannot run stead: {error}"))?;
        let (anonymous, wall) = watch(&mut child, start)?;
        let status = child.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(Sample { wall, anonymous }) } else { Err(format!("stead backup failed: {status}")) }
    }
}

/// Looks at the child's anonymous memory every millisecond until it ends.
fn watch(child: &mut Child, start: Instant) -> Outcome<(u64, f64)> {
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let mut most = 0;
    while child.try_wait().map_err(|error| error.to_string())?.is_none() {
        most = most.max(fs::read_to_string(&status).ok().and_then(|text| anonymous_in(&text)).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok((most, start.elapsed().as_secs_f64()))
}

/// `RssAnon:   1234 kB` in a process's status, in bytes.
fn anonymous_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_memory_is_read_from_a_real_process() {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(anonymous_in(&status).unwrap() > 4096);
        assert_eq!(anonymous_in("Name: x\nRssAnon:\t   12 kB\nRssFile: 7 kB\n"), Some(12 * 1024));
        assert_eq!(anonymous_in("Name: x\n"), None);
    }
}
