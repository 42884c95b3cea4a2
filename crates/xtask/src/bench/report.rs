//! Tables for people, numbers for programs.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use serde_json::json;

use super::contender::Step;
use super::corpus::Scale;
use super::floor::{Speed, Tool};
use super::measure::median;
use super::picture;
use super::round::Figure;
use crate::program::{self, Outcome, at};
use crate::workspace;

/// Everything that one run of the benchmarks found.
pub(super) struct Report {
    scale: Scale,
    rounds: usize,
    versions: Vec<String>,
    pub(super) floor: Vec<Speed>,
    pub(super) tools: Vec<Tool>,
    pub(super) figures: Vec<Figure>,
}

/// Medians over the rounds.
pub(super) struct Median {
    pub(super) wall: f64,
    cpu: f64,
    memory: f64,
    repository: f64,
}

impl Report {
    pub(super) fn new(scale: Scale, rounds: usize, versions: Vec<String>) -> Report {
        Report { scale, rounds, versions, floor: Vec::new(), tools: Vec::new(), figures: Vec::new() }
    }

    /// Prints the tables and writes them: full runs into `docs/performance`, quick ones beside the raw figures.
    pub(super) fn publish(&self) -> Outcome {
        let date = program::output(&mut program::command(["date", "-u", "+%F"]))?.trim().to_owned();
        let name = self.file_name(&date);
        let raw = workspace::target().join("bench-results");
        let pages = match self.scale {
            Scale::Full => workspace::root().join("docs/performance"),
            Scale::Quick => raw.clone(),
        };
        let text = self.markdown(&date, &name)?;
        println!("\n{text}");
        write(raw.join(format!("{name}.json")), &self.json().to_string())?;
        write(pages.join(format!("{name}.svg")), &picture::draw(self))?;
        write(pages.join(format!("{name}.md")), &text)
    }

    /// The date, and the corpora if not all.
    fn file_name(&self, date: &str) -> String {
        let corpora = self.corpora();
        if corpora.len() == super::corpus::KINDS.len() {
            date.to_owned()
        } else {
            format!("{date}-{}", corpora.join("-"))
        }
    }

    pub(super) fn corpora(&self) -> Vec<&'static str> {
        in_order(self.figures.iter().map(|figure| figure.corpus))
    }

    /// In the order of the contenders, whoever was first in a round.
    pub(super) fn programs(&self) -> Vec<&'static str> {
        let ran = in_order(self.figures.iter().map(|figure| figure.program));
        ["stead", "restic", "rustic", "borg"].into_iter().filter(|name| ran.contains(name)).collect()
    }

    /// The median of a step, if it was run.
    pub(super) fn median(&self, corpus: &str, program: &str, step: Step) -> Option<Median> {
        let these = || self.figures.iter().filter(|f| f.corpus == corpus && f.program == program && f.step == step);
        these().next()?;
        Some(Median {
            wall: median(these().map(|figure| figure.cost.wall)),
            cpu: median(these().map(|figure| figure.cost.cpu)),
            memory: median(these().map(|figure| figure.cost.memory as f64)),
            repository: median(these().map(|figure| figure.repository as f64)),
        })
    }

    /// Our wall time by that of the fastest peer.
    fn ratio(&self, corpus: &str, step: Step) -> Option<f64> {
        let ours = self.median(corpus, "stead", step)?.wall;
        let peers = self.programs().into_iter().filter(|name| *name != "stead");
        let fastest = peers.filter_map(|name| Some(self.median(corpus, name, step)?.wall)).min_by(f64::total_cmp)?;
        Some(ours / fastest)
    }

    fn markdown(&self, date: &str, name: &str) -> Outcome<String> {
        let mut text = format!("# Side by side, {date}\n\n");
        let machine = program::output(&mut program::command(["uname", "-srm"]))?;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let rounds =
            if self.rounds == 1 { "One round".to_owned() } else { format!("Median of {} rounds", self.rounds) };
        text += &format!("{}. {} cores, {}. ", self.versions.join(", "), cores, machine.trim());
        text += &format!("{rounds}, in turn, page cache warm, repository on the same disk, ");
        text += "default settings of each (but rustic prunes at once and without a limit, as the others do). What is pruned ";
        text += "is every second file.\n\nSeconds of wall time (processor seconds; largest resident set in MiB); ";
        text += "*ratio* is stead's wall time by that of the fastest peer.\n\n";
        text += &format!("![wall times]({name}.svg)\n");
        for corpus in self.corpora() {
            text += &self.table(corpus);
        }
        if !self.floor.is_empty() {
            text += "\n## Floor of this run\n\n| on one core | GB/s |\n|---|---:|\n";
        }
        for Speed { name, rate } in &self.floor {
            text += &format!("| {name} | {rate:.2} |\n");
        }
        Ok(text)
    }

    fn table(&self, corpus: &str) -> String {
        let programs = self.programs();
        let mut text = format!("\n## {corpus}\n\n| operation | {} | ratio |\n", programs.join(" | "));
        text += &format!("|---|{}---:|\n", "---:|".repeat(programs.len()));
        for step in Step::ALL {
            let Some(title) = step.title() else { continue };
            let cells = programs.iter().map(|program| self.cell(corpus, program, step));
            let ratio = self.ratio(corpus, step).map_or_else(|| "–".to_owned(), |ratio| format!("**{ratio:.2}**"));
            text += &format!("| {title} | {} | {ratio} |\n", cells.collect::<Vec<_>>().join(" | "));
        }
        for (title, step) in [("repository, MiB", Step::Backup), ("after prune, MiB", Step::Prune)] {
            let size = |program: &&str| self.median(corpus, program, step).map_or(0.0, |median| median.repository);
            let cells: Vec<_> =
                programs.iter().map(|program| format!("{:.1}", size(program) / f64::from(1 << 20))).collect();
            text += &format!("| {title} | {} | |\n", cells.join(" | "));
        }
        text.push('\n');
        for tool in self.tools.iter().filter(|tool| tool.corpus == corpus) {
            let _ = writeln!(text, "`{}`: {:.2} s.", tool.name, tool.wall);
        }
        text
    }

    fn cell(&self, corpus: &str, program: &str, step: Step) -> String {
        self.median(corpus, program, step).map_or_else(
            || "–".to_owned(),
            |median| format!("{:.2} ({:.1}; {:.0})", median.wall, median.cpu, median.memory / f64::from(1 << 20)),
        )
    }

    fn json(&self) -> serde_json::Value {
        let figure = |figure: &Figure| {
            json!({"corpus": figure.corpus, "program": figure.program, "step": format!("{:?}", figure.step),
                "wall": figure.cost.wall, "cpu": figure.cost.cpu, "memory": figure.cost.memory,
                "repository": figure.repository})
        };
        let tool = |tool: &Tool| json!({"corpus": tool.corpus, "name": tool.name, "wall": tool.wall});
        let speed = |speed: &Speed| (speed.name.clone(), json!(speed.rate));
        json!({"versions": self.versions, "figures": self.figures.iter().map(figure).collect::<Vec<_>>(),
            "tools": self.tools.iter().map(tool).collect::<Vec<_>>(),
            "floor": self.floor.iter().map(speed).collect::<serde_json::Map<_, _>>()})
    }
}

fn in_order<'n>(names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    names.fold(Vec::new(), |mut seen, name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
        seen
    })
}

/// Writes a page or a picture, and says where.
pub(super) fn write(path: PathBuf, text: &str) -> Outcome {
    let folder = path.parent().unwrap_or(&path);
    at(folder, fs::create_dir_all(folder))?;
    at(&path, fs::write(&path, text))?;
    println!("wrote {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::measure::Cost;
    use super::*;

    fn report() -> Report {
        let figure = |program, step, wall| Figure {
            corpus: "tiny",
            program,
            step,
            cost: Cost { wall, cpu: wall * 2.0, memory: 100 << 20 },
            repository: 5 << 20,
        };
        let mut report = Report::new(Scale::Quick, 3, vec!["stead 1".into(), "restic 2".into()]);
        report.figures = vec![
            figure("restic", Step::Backup, 10.0),
            figure("stead", Step::Backup, 4.0),
            figure("stead", Step::Backup, 5.0),
            figure("borg", Step::Backup, 20.0),
            figure("stead", Step::Backup, 9.0),
        ];
        report
    }

    #[test]
    fn the_ratio_is_our_median_by_the_fastest_peer() {
        assert_eq!(report().ratio("tiny", Step::Backup), Some(0.5));
        assert_eq!(report().ratio("tiny", Step::Check), None);
        assert_eq!(report().programs(), ["stead", "restic", "borg"]);
    }

    #[test]
    fn the_table_says_time_memory_and_ratio() {
        let table = report().table("tiny");
        let row = "| first backup | 5.00 (10.0; 100) | 10.00 (20.0; 100) | 20.00 (40.0; 100) | **0.50** |";
        assert!(table.contains(row), "{table}");
        assert!(table.contains("| repository, MiB | 5.0 | 5.0 | 5.0 | |"), "{table}");
    }

    #[test]
    fn a_picture_has_a_bar_for_every_figure() {
        assert_eq!(picture::draw(&report()).matches("class=\"bar").count(), 3);
    }
}
