//! A disk on its way into a repository or out of it: the phase in words, bytes, rate and time left; the same for programs.

use std::sync::Arc;
use std::time::Duration;

use disks::progress::{Phase, Progress, Reached};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::live::{Picture, remaining};
use super::table::printable;
use super::{progress, size, time};

/// Columns from which all figures fit on one line.
const WIDE: usize = 76;

/// Shows one disk.
pub(crate) struct DiskPicture {
    name: String,
    progress: Arc<Progress>,
    /// The phase that was seen last, and when it began: rates are of one phase.
    phase: Mutex<(&'static str, Duration)>,
}

/// What is shown.
struct Seen {
    reached: Reached,
    /// How long the phase has taken.
    elapsed: Duration,
    /// Seconds left, once that can be known.
    left: Option<u64>,
}

impl DiskPicture {
    /// Shows the disk of that name.
    pub(crate) fn new(name: &str, progress: &Arc<Progress>) -> DiskPicture {
        let phase = Mutex::new((Phase::Preparing.name(), Duration::ZERO));
        DiskPicture { name: printable(name), progress: Arc::clone(progress), phase }
    }

    fn look(&self, elapsed: Duration) -> Seen {
        let reached = self.progress.reached();
        let mut phase = self.phase.lock();
        if phase.0 != reached.phase.name() {
            *phase = (reached.phase.name(), elapsed);
        }
        let elapsed = elapsed.saturating_sub(phase.1);
        Seen { reached, elapsed, left: remaining(reached.done, reached.total, elapsed) }
    }
}

impl Picture for DiskPicture {
    fn lines(&self, elapsed: Duration, width: usize) -> Vec<String> {
        let seen = self.look(elapsed);
        let Reached { phase, total, done, new } = seen.reached;
        let (name, clock) = (&self.name, time::clock(elapsed.as_secs()));
        let new = if new > 0 { format!(", {} new", size::bytes(new)) } else { String::new() };
        if total == 0 {
            return vec![format!("[{clock}] {name}: {phase}{new}")];
        }
        let percent = size::percent(done, total);
        let rate = progress::rate(done, seen.elapsed.as_secs_f64());
        let left = seen.left.map(|seconds| format!(", {} left", time::clock(seconds))).unwrap_or_default();
        let (done, total) = (size::bytes(done), size::bytes(total));
        if width < WIDE {
            return vec![format!("{name}: {phase} {percent}{left}"), format!("{done}{new}"), rate];
        }
        vec![format!("[{clock}] {name}: {phase} {percent}  {done} of {total}{new}, {rate}{left}")]
    }

    fn message(&self, elapsed: Duration) -> Value {
        let seen = self.look(elapsed);
        let Reached { phase, total, done, new } = seen.reached;
        let share = if total > 0 { (done as f64 / total as f64).min(1.0) } else { 0.0 };
        let mut message = json!({
            "message_type": "status", "disk": self.name, "phase": phase.name(), "phase_words": phase.to_string(),
            "percent_done": share,
        });
        if let Phase::CatchingUp { pass } = phase {
            message["pass"] = pass.into();
        }
        let figures = [
            ("seconds_elapsed", elapsed.as_secs()),
            ("seconds_remaining", seen.left.unwrap_or(0)),
            ("total_bytes", total),
            ("bytes_done", done),
            ("bytes_new", new),
        ];
        // restic leaves figures out that are zero.
        for (name, figure) in figures.into_iter().filter(|(_, figure)| *figure > 0) {
            message[name] = figure.into();
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_phase_bytes_new_data_rate_and_time_left() {
        let progress = Arc::new(Progress::default());
        let picture = DiskPicture::new("sda", &progress);
        assert_eq!(picture.lines(Duration::ZERO, 80), ["[0:00] sda: preparing"]);
        progress.enter(Phase::CatchingUp { pass: 3 }, 4 << 30);
        picture.lines(Duration::from_secs(10), 80);
        progress.advance(1 << 30);
        progress.stored(256 << 20);
        let line =
            "[0:20] sda: catching up, pass 3 25.00%  1.000 GiB of 4.000 GiB, 256.000 MiB new, 102.400 MiB/s, 0:30 left";
        assert_eq!(picture.lines(Duration::from_secs(20), 100), [line]);
        assert_eq!(picture.lines(Duration::from_secs(20), 40).len(), 3);
        let message = picture.message(Duration::from_secs(20));
        assert_eq!((&message["phase"], &message["pass"]), (&json!("catching_up"), &json!(3)));
        assert_eq!((&message["bytes_new"], &message["seconds_remaining"]), (&json!(256 << 20), &json!(30)));
    }
}
