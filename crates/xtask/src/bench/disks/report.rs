//! The page about images: a table with the targets, and bars.

use std::path::Path;

use super::super::measure::{Cost, median};
use super::super::picture;
use super::super::report::write;
use super::Step;
use super::disk::Disk;
use crate::program::{self, Outcome};
use crate::workspace;

/// A measured run.
pub(super) struct Figure {
    pub(super) program: &'static str,
    pub(super) step: Step,
    pub(super) cost: Cost,
}

/// All that was measured.
pub(super) struct Report {
    is_quick: bool,
    head: String,
    used: u64,
    pub(super) figures: Vec<Figure>,
}

/// A target: our step, a peer's, and by how much ours may be longer.
struct Target {
    step: Step,
    peer: (&'static str, Step),
    most: f64,
    words: &'static str,
}

const TARGETS: [Target; 5] = [
    Target { step: Step::First, peer: ("restic", Step::First), most: 0.4, words: "first image" },
    Target { step: Step::First, peer: ("partclone + zstd", Step::First), most: 0.9, words: "first image" },
    Target { step: Step::Tracked, peer: ("restic", Step::Second), most: 0.05, words: "1 % changed, with the tracker" },
    Target { step: Step::Second, peer: ("restic", Step::Second), most: 0.25, words: "1 % changed, without" },
    Target { step: Step::Restore, peer: ("dd", Step::Restore), most: 1.0 / 0.7, words: "restore" },
];

const PROGRAMS: [&str; 4] = ["stead", "restic", "partclone + zstd", "dd"];

const STEPS: [(Step, &str); 4] = [
    (Step::First, "first image"),
    (Step::Second, "1 % changed"),
    (Step::Tracked, "1 % changed, tracked"),
    (Step::Restore, "restore"),
];

impl Report {
    pub(super) fn new(is_quick: bool, rounds: usize, disk: &Disk, stead: &Path, restic: &Path) -> Outcome<Report> {
        let version = |path: &Path| {
            let said = program::output(program::command(["env"]).arg(path).arg("version")).unwrap_or_default();
            said.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
        };
        let machine = program::output(&mut program::command(["uname", "-srm"]))?;
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let (size, used) = (disk.size() >> 30, disk.used() >> 20);
        let rounds = if rounds == 1 { "one round".to_owned() } else { format!("median of {rounds} rounds") };
        let head = format!(
            "{}, {}; {cores} cores, {}. A disk of {size} GiB with ext4, {used} MiB in use: programs and noise; {rounds}, \
             in turn, page cache empty, repositories on the disk below.",
            version(stead),
            version(restic),
            machine.trim()
        );
        Ok(Report { is_quick, head, used: disk.used(), figures: Vec::new() })
    }

    pub(super) fn publish(&self) -> Outcome {
        let date = program::output(&mut program::command(["date", "-u", "+%F"]))?.trim().to_owned();
        let name = format!("{date}-disks");
        let raw = workspace::target().join("bench-results");
        let pages = if self.is_quick { raw } else { workspace::root().join("docs/performance") };
        let text = self.markdown(&date, &name);
        println!("\n{text}");
        write(pages.join(format!("{name}.svg")), &self.picture())?;
        write(pages.join(format!("{name}.md")), &text)
    }

    fn wall(&self, program: &str, step: Step) -> Option<f64> {
        self.median(program, step, |cost| cost.wall)
    }

    fn median(&self, program: &str, step: Step, of: impl Fn(&Cost) -> f64) -> Option<f64> {
        let these: Vec<f64> = self
            .figures
            .iter()
            .filter(|figure| figure.program == program && figure.step == step)
            .map(|figure| of(&figure.cost))
            .collect();
        (!these.is_empty()).then(|| median(these))
    }

    fn markdown(&self, date: &str, name: &str) -> String {
        let mut text = format!("# Images of a disk, {date}\n\n{}\n\n![wall times]({name}.svg)\n\n", self.head);
        text += "Seconds of wall time (processor seconds; largest resident set in MiB).\n\n";
        text += &format!("| | {} |\n|---|{}\n", PROGRAMS.join(" | "), "---:|".repeat(PROGRAMS.len()));
        for (step, title) in STEPS {
            let cells: Vec<String> = PROGRAMS.iter().map(|program| self.cell(program, step)).collect();
            text += &format!("| {title} | {} |\n", cells.join(" | "));
        }
        text += "\n| target | ratio | at most | |\n|---|---:|---:|---|\n";
        for target in TARGETS {
            text += &self.target(&target);
        }
        if let Some(wall) = self.wall("stead", Step::Restore) {
            text += &format!("\nRestored: {:.0} MB/s of what is in use.\n", self.used as f64 / wall / 1e6);
        }
        text
    }

    fn target(&self, target: &Target) -> String {
        let Target { step, peer: (peer, theirs), most, words } = target;
        match (self.wall("stead", *step), self.wall(peer, *theirs)) {
            (Some(ours), Some(theirs)) => {
                let ratio = ours / theirs;
                let word = if ratio <= *most { "reached" } else { "missed" };
                format!("| {words}, by {peer} | **{ratio:.2}** | {most:.2} | {word} |\n")
            }
            _ => format!("| {words}, by {peer} | – | {most:.2} | not measured |\n"),
        }
    }

    fn cell(&self, program: &str, step: Step) -> String {
        let figure = |of: fn(&Cost) -> f64| self.median(program, step, of).unwrap_or_default();
        match self.wall(program, step) {
            Some(wall) => {
                let (cpu, memory) = (figure(|cost| cost.cpu), figure(|cost| cost.memory as f64) / f64::from(1 << 20));
                format!("{wall:.2} ({cpu:.1}; {memory:.0})")
            }
            None => "–".to_owned(),
        }
    }

    fn picture(&self) -> String {
        let (mut y, mut body) = (14.0, String::new());
        for (step, title) in STEPS {
            let walls = PROGRAMS.iter().filter_map(|program| Some((*program, self.wall(program, step)?)));
            let (group, height) = picture::bars(title, &walls.collect::<Vec<_>>(), y);
            body += &group;
            y += height;
        }
        picture::framed(&body, y + 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let figure = |program, step, wall| Figure { program, step, cost: Cost { wall, cpu: 1.0, memory: 100 << 20 } };
        let figures = vec![
            figure("stead", Step::First, 12.0),
            figure("restic", Step::First, 40.0),
            figure("partclone + zstd", Step::First, 10.0),
        ];
        Report { is_quick: true, head: "A disk.".into(), used: 4 << 30, figures }
    }

    #[test]
    fn targets_are_told_as_reached_missed_or_not_measured() {
        let page = report().markdown("today", "today-disks");
        assert!(page.contains("| first image, by restic | **0.30** | 0.40 | reached |"), "{page}");
        assert!(page.contains("| first image, by partclone + zstd | **1.20** | 0.90 | missed |"), "{page}");
        assert!(page.contains("| restore, by dd | – | 1.43 | not measured |"), "{page}");
        assert!(page.contains("| first image | 12.00 (1.0; 100) | 40.00 (1.0; 100) |"), "{page}");
    }

    #[test]
    fn the_picture_has_a_bar_for_each_figure() {
        assert_eq!(report().picture().matches("<rect").count(), 3);
    }
}
