//! The page about the gateway: seconds through each server, and the ratio of throughputs against its target.

use std::path::Path;

use super::super::measure::{Cost, median};
use super::super::report::write;
use super::{Corpus, Receiver, Step, Wire};
use crate::program::{self, Outcome};
use crate::workspace;

/// Our throughput has to be so much of the other's.
const TARGET: f64 = 0.95;

/// A measured run.
pub(super) struct Figure {
    pub(super) program: &'static str,
    pub(super) receiver: Receiver,
    pub(super) wire: Wire,
    pub(super) step: Step,
    pub(super) cost: Cost,
}

/// All that was measured.
pub(super) struct Report {
    is_quick: bool,
    head: String,
    bytes: u64,
    pub(super) figures: Vec<Figure>,
}

impl Report {
    pub(super) fn new(is_quick: bool, rounds: usize, corpus: &Corpus, stead: &Path) -> Outcome<Report> {
        let version = program::output(std::process::Command::new(stead).arg("version"))?;
        let words: Vec<&str> = version.split_whitespace().take(2).collect();
        let machine = program::output(&mut program::command(["uname", "-srm"]))?;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let rounds = if rounds == 1 { "one round".to_owned() } else { format!("median of {rounds} rounds") };
        let head = format!(
            "{}; {cores} cores, {}. {:.0} MB that cannot be compressed; {rounds}, in turn; client, server and disk are one \
             machine. `restic-rest-server` runs with `--no-auth`.",
            words.join(" "),
            machine.trim(),
            corpus.bytes as f64 / 1e6
        );
        Ok(Report { is_quick, head, bytes: corpus.bytes, figures: Vec::new() })
    }

    pub(super) fn publish(&self) -> Outcome {
        let date = program::output(&mut program::command(["date", "-u", "+%F"]))?.trim().to_owned();
        let raw = workspace::target().join("bench-results");
        let pages = if self.is_quick { raw } else { workspace::root().join("docs/performance") };
        let text = self.markdown(&date);
        println!("\n{text}");
        write(pages.join(format!("{date}-gateway.md")), &text)
    }

    fn markdown(&self, date: &str) -> String {
        let mut text = format!("# Through the gateway, {date}\n\n{}\n\n", self.head);
        text += "Seconds of wall time (MB/s). The last column is the gateway's throughput by the other's; the target is 0.95.\n\n";
        text += "| | gateway | restic-rest-server | ratio |\n|---|---:|---:|---:|\n";
        for program in ["restic", "stead"] {
            for (step, verb) in [(Step::Backup, "first backup"), (Step::Restore, "restore")] {
                for (wire, words) in [(Wire::Plain, ""), (Wire::Tls, ", TLS")] {
                    text += &self.line(program, step, wire, &format!("{program}, {verb}{words}"));
                }
            }
        }
        text
    }

    fn line(&self, program: &str, step: Step, wire: Wire, title: &str) -> String {
        let wall = |receiver| self.wall(program, receiver, step, wire);
        let (Some(ours), Some(theirs)) = (wall(Receiver::Gateway), wall(Receiver::RestServer)) else {
            return format!("| {title} | – | – | not measured |\n");
        };
        let cell = |wall: f64| format!("{wall:.2} ({:.0})", self.bytes as f64 / wall / 1e6);
        let ratio = theirs / ours;
        let word = if ratio >= TARGET { "reached" } else { "missed" };
        format!("| {title} | {} | {} | **{ratio:.2}** {word} |\n", cell(ours), cell(theirs))
    }

    fn wall(&self, program: &str, receiver: Receiver, step: Step, wire: Wire) -> Option<f64> {
        let these = self.figures.iter().filter(|figure| {
            (figure.program, figure.receiver, figure.step, figure.wire) == (program, receiver, step, wire)
        });
        let walls: Vec<f64> = these.map(|figure| figure.cost.wall).collect();
        (!walls.is_empty()).then(|| median(walls))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_throughput_and_told_as_reached_or_missed() {
        let figure = |receiver, step, wall| {
            let cost = Cost { wall, cpu: 1.0, memory: 1 };
            Figure { program: "restic", receiver, wire: Wire::Plain, step, cost }
        };
        let figures = vec![
            figure(Receiver::Gateway, Step::Backup, 10.0),
            figure(Receiver::RestServer, Step::Backup, 12.0),
            figure(Receiver::Gateway, Step::Restore, 10.0),
            figure(Receiver::RestServer, Step::Restore, 9.0),
        ];
        let page = Report { is_quick: true, head: String::new(), bytes: 1_000_000_000, figures }.markdown("today");
        assert!(page.contains("| restic, first backup | 10.00 (100) | 12.00 (83) | **1.20** reached |"), "{page}");
        assert!(page.contains("| restic, restore | 10.00 (100) | 9.00 (111) | **0.90** missed |"), "{page}");
        assert!(page.contains("| stead, restore, TLS | – | – | not measured |"), "{page}");
    }
}
