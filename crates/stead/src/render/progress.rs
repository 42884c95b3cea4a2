//! How far the engine's long work has come, as one line on the terminal. Without a terminal, with `--quiet` or `--json`
//! nothing is shown, as in restic.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;
use repo::progress::{Amount, Progress, Step};

use super::size;
use crate::output::Output;

/// Columns from which a bar is drawn beside the figures.
const WIDE: u16 = 70;

/// A line on the terminal for the engine's steps.
pub(crate) struct StepLine {
    bar: ProgressBar,
    unit: Mutex<Unit>,
}

/// What the bar counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Items,
    Bytes,
}

impl StepLine {
    /// A line, if there is a terminal to show it on.
    pub(crate) fn new(output: Output) -> StepLine {
        StepLine { bar: ProgressBar::with_draw_target(None, target(output)), unit: Mutex::new(Unit::Items) }
    }
}

impl StepLine {
    /// Prints above the line, so that neither disturbs the other.
    pub(crate) fn above<T>(&self, print: impl FnOnce() -> T) -> T {
        self.bar.suspend(print)
    }
}

/// Standard error if it is a terminal and remarks are welcome; results on standard output stay clean.
pub(crate) fn target(output: Output) -> ProgressDrawTarget {
    match is_shown(output) {
        true => ProgressDrawTarget::stderr_with_hz(10),
        false => ProgressDrawTarget::hidden(),
    }
}

/// True if progress is shown on a terminal.
pub(crate) fn is_shown(output: Output) -> bool {
    output.level > 0 && !output.is_json() && std::io::stderr().is_terminal()
}

impl Progress for StepLine {
    fn begin(&self, step: Step, total: Amount) {
        let unit = if total.bytes > 0 { Unit::Bytes } else { Unit::Items };
        *self.unit.lock() = unit;
        let length = if unit == Unit::Bytes { total.bytes } else { total.items };
        // The style first: whatever comes after it draws.
        self.bar.set_style(style(unit, length > 0, name(step)));
        self.bar.reset();
        match length {
            0 => self.bar.unset_length(),
            length => self.bar.set_length(length),
        }
        self.bar.tick();
    }

    fn advance(&self, done: Amount) {
        let unit = *self.unit.lock();
        self.bar.inc(if unit == Unit::Bytes { done.bytes } else { done.items });
    }
}

impl Drop for StepLine {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn style(unit: Unit, is_known: bool, name: &str) -> ProgressStyle {
    let wide = console_width() >= WIDE;
    let amount = match (unit, is_known) {
        (Unit::Bytes, _) if wide => "{bytes}/{total_bytes} {bytes_per_sec}, {eta} left",
        (Unit::Bytes, _) => "{eta} left",
        (Unit::Items, true) => "{human_pos}/{human_len}, {eta} left",
        (Unit::Items, false) => "{human_pos}, {elapsed}",
    };
    let bar = if wide && is_known { " [{wide_bar}]" } else { "" };
    let percent = if is_known { " {percent}%" } else { "" };
    let template = format!("{name}{bar}{percent} {amount}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// Columns of the terminal that progress is shown on.
pub(crate) fn console_width() -> u16 {
    rustix::termios::tcgetwinsize(std::io::stderr()).map_or(80, |size| size.ws_col)
}

fn name(step: Step) -> &'static str {
    match step {
        Step::WalkTrees => "reading trees",
        Step::AuditPacks => "comparing index and packs",
        Step::ReadPacks => "reading packs",
        Step::RepackPacks => "repacking",
        Step::RewriteIndex => "writing the index",
        Step::RemovePacks => "removing packs",
        Step::CopyBlobs => "copying",
        Step::SendPacks => "sending",
    }
}

/// Bytes per second for people.
pub(crate) fn rate(bytes: u64, seconds: f64) -> String {
    let per_second = if seconds > 0.0 { (bytes as f64 / seconds) as u64 } else { 0 };
    format!("{}/s", size::bytes(per_second))
}
