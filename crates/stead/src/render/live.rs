//! What is shown again and again while work goes on: lines on a terminal, JSON messages, or nothing.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::{Condvar, Mutex};

use super::progress;
use crate::global::Settings;
use crate::output::Output;

/// JSON messages per second, unless the user chose.
const JSON_RATE: f64 = 4.0;

/// Pictures per second on a terminal, unless the user chose.
const TERMINAL_RATE: f64 = 8.0;

/// One picture of work in progress, in both languages.
pub(crate) trait Picture: Send + Sync {
    /// Lines for a terminal of this width: how far it is, then what is worked on.
    fn lines(&self, elapsed: Duration, width: usize) -> Vec<String>;

    /// One JSON message.
    fn message(&self, elapsed: Duration) -> serde_json::Value;
}

/// Shows pictures until it is dropped.
pub(crate) struct Live {
    stop: Arc<(Mutex<bool>, Condvar)>,
    painter: Option<JoinHandle<()>>,
    bar: ProgressBar,
}

/// Where pictures go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Surface {
    Terminal,
    Lines,
    Json,
    Nowhere,
}

impl Surface {
    /// As restic: a terminal shows pictures, JSON always has them, anything else only if the user chose a rate.
    fn of(settings: &Settings) -> Surface {
        let output = settings.output;
        match () {
            () if output.level == 0 && !output.is_json() => Surface::Nowhere,
            () if output.is_json() => Surface::Json,
            () if progress::is_shown(output) => Surface::Terminal,
            () if settings.progress_rate.is_some() => Surface::Lines,
            () => Surface::Nowhere,
        }
    }
}

impl Live {
    /// Begins to show `picture`.
    pub(crate) fn show(settings: &Settings, picture: Arc<dyn Picture>) -> Live {
        let (surface, output) = (Surface::of(settings), settings.output);
        let bar = ProgressBar::with_draw_target(None, progress::target(output));
        bar.set_style(ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let rate = settings.progress_rate.unwrap_or(if surface == Surface::Json { JSON_RATE } else { TERMINAL_RATE });
        let painter = (surface != Surface::Nowhere).then(|| {
            let (stop, bar) = (Arc::clone(&stop), bar.clone());
            let pause = Duration::from_secs_f64(1.0 / rate);
            let paint = move || paint(&stop, pause, |elapsed| draw(surface, output, &bar, &*picture, elapsed));
            std::thread::Builder::new().name("progress".into()).spawn(paint).ok()
        });
        Live { stop, painter: painter.flatten(), bar }
    }

    /// Prints above the picture, so that neither disturbs the other.
    pub(crate) fn above(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        if let Some(painter) = self.painter.take() {
            // A painter that panicked has nothing more to show.
            _ = painter.join();
        }
        self.bar.finish_and_clear();
    }
}

fn paint(stop: &(Mutex<bool>, Condvar), pause: Duration, draw: impl Fn(Duration)) {
    let start = Instant::now();
    let mut stopped = stop.0.lock();
    while !*stopped {
        if stop.1.wait_for(&mut stopped, pause).timed_out() {
            draw(start.elapsed());
        }
    }
}

fn draw(surface: Surface, output: Output, bar: &ProgressBar, picture: &dyn Picture, elapsed: Duration) {
    match surface {
        // Nobody is told if standard output is gone: the work itself finds out.
        Surface::Json => drop(output.message(&picture.message(elapsed))),
        Surface::Lines => drop(picture.lines(elapsed, 200).first().map(|line| output.remark(line))),
        Surface::Terminal => {
            let width = usize::from(progress::console_width());
            let lines = picture.lines(elapsed, width).into_iter().map(|line| truncated(&line, width));
            bar.set_message(lines.collect::<Vec<_>>().join("\n"));
            bar.tick();
        }
        Surface::Nowhere => {}
    }
}

/// The beginning of a line that fits the screen.
fn truncated(line: &str, width: usize) -> String {
    match line.char_indices().nth(width) {
        None => line.to_owned(),
        Some((end, _)) => line[..end].to_owned(),
    }
}

/// What is left of work of which `done` of `total` took `elapsed`; `None` while nobody can tell.
pub(crate) fn remaining(done: u64, total: u64, elapsed: Duration) -> Option<u64> {
    // From less than half a percent nobody can tell.
    if done == 0 || done < total / 200 || total <= done || elapsed < Duration::from_millis(500) {
        return None;
    }
    Some((elapsed.as_secs_f64() * (total - done) as f64 / done as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_once_it_can_be_known() {
        assert_eq!(remaining(25, 100, Duration::from_secs(10)), Some(30));
        assert_eq!(remaining(0, 100, Duration::from_secs(10)), None);
        assert_eq!(remaining(1, 1000, Duration::from_secs(10)), None);
        assert_eq!(remaining(100, 100, Duration::from_secs(10)), None);
        assert_eq!(remaining(1, 100, Duration::from_millis(1)), None);
    }

    #[test]
    fn lines_are_cut_between_letters() {
        assert_eq!(truncated("äöü", 2), "äö");
        assert_eq!(truncated("abc", 5), "abc");
    }
}
