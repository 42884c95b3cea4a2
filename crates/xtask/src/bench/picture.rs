//! The wall times as horizontal bars, one group per operation, in an SVG without script or fonts of its own.

use super::contender::Step;
use super::report::Report;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 230.0;
const BAR: f64 = 14.0;

/// Draws all corpora below each other. Bars of an operation are scaled to its slowest program.
pub(super) fn draw(report: &Report) -> String {
    let mut y = 10.0;
    let mut body = String::new();
    for corpus in report.corpora() {
        y += 24.0;
        body += &format!("<text x=\"10\" y=\"{y}\" class=\"title\">{corpus}</text>\n");
        y += 10.0;
        for (step, title) in Step::ALL.into_iter().filter_map(|step| Some((step, step.title()?))) {
            let (group, height) = group(report, corpus, step, title, y);
            body += &group;
            y += height;
        }
    }
    framed(&body, y + 10.0)
}

/// The picture around some groups of bars.
pub(super) fn framed(body: &str, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Wall times per operation and program\">\n<style>\
         text{{font:12px sans-serif;fill:#333}} .title{{font-weight:bold;font-size:15px}} .bar{{fill:#9aa5b1}} \
         .bar.stead{{fill:#1f7a5c}} @media (prefers-color-scheme:dark){{text{{fill:#ddd}}}}</style>\n{body}</svg>\n"
    )
}

/// The bars of one operation, and how high they are together.
fn group(report: &Report, corpus: &str, step: Step, title: &str, top: f64) -> (String, f64) {
    let walls = report.programs().into_iter().filter_map(|name| Some((name, report.median(corpus, name, step)?.wall)));
    bars(title, &walls.collect::<Vec<_>>(), top)
}

/// A title, and a bar for each program, scaled to the slowest.
pub(super) fn bars(title: &str, walls: &[(&str, f64)], top: f64) -> (String, f64) {
    let slowest = walls.iter().map(|(_, wall)| *wall).fold(0.001, f64::max);
    let mut text = format!("<text x=\"10\" y=\"{}\">{title}</text>\n", top + BAR);
    for (number, (name, wall)) in walls.iter().enumerate() {
        let y = top + number as f64 * (BAR + 3.0);
        let length = (wall / slowest * (WIDTH - LEFT - 120.0)).max(1.0);
        let class = if *name == "stead" { "bar stead" } else { "bar" };
        text += &format!("<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" class=\"{class}\"/>\n");
        text += &format!("<text x=\"{:.1}\" y=\"{}\">{name} {wall:.2} s</text>\n", LEFT + length + 6.0, y + BAR - 3.0);
    }
    (text, walls.len() as f64 * (BAR + 3.0) + 8.0)
}
