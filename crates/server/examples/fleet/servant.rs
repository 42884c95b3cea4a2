//! A server of its own process, and what it costs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// A server; ends with this.
pub(crate) struct Servant {
    child: Child,
    /// Where it answers.
    pub(crate) address: String,
    /// What agents know it by.
    pub(crate) fingerprint: String,
    own: PathBuf,
}

impl Servant {
    /// Starts it and waits until it says where it is.
    pub(crate) fn start(stead: &Path, room: &Path, database: &str) -> Outcome<Servant> {
        let own = room.join("own");
        let mut command = Command::new(stead);
        command.args(["up", "--only-server", "--json", "--listen", "127.0.0.1:0", "--database-url", database]);
        command.arg("--data").arg(room.join("data")).arg("--safety").arg(&own).env("HOME", room);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let first: serde_json::Value = serde_json::from_str(&lines.next().ok_or("the server said nothing")??)?;
        let text = |name: &str| first[name].as_str().map(str::to_owned).ok_or(format!("no {name} in {first}"));
        let (address, fingerprint) = (text("address")?, text("fingerprint")?);
        // What it says later is not of interest, but it must be able to say it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Servant { child, address, fingerprint, own })
    }

    /// Waits until its own first backup has written a snapshot, or for so long.
    pub(crate) async fn first_backup_is_over(&self, patience: Duration) {
        let begin = Instant::now();
        let is_there = || fs::read_dir(self.own.join("snapshots")).is_ok_and(|mut found| found.next().is_some());
        while !is_there() && begin.elapsed() < patience {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Processor time that it has used.
    pub(crate) fn spent(&self) -> Outcome<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // Fields 14 and 15 of proc(5), in hundredths of a second.
        let ticks = |field: usize| -> Outcome<u64> { Ok(fields.get(field - 3).ok_or("a short stat")?.parse()?) };
        Ok(Duration::from_millis((ticks(14)? + ticks(15)?) * 10))
    }

    /// Bytes of memory that it holds.
    pub(crate) fn memory(&self) -> Outcome<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no memory")?;
        let kibibytes: u64 = line.split_whitespace().next().ok_or("no figure")?.parse()?;
        Ok(kibibytes * 1024)
    }
}

impl Drop for Servant {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
