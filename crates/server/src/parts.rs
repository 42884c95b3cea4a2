//! Parts that every page is made of, each with its markup: lights, the 28-day bar, the ring of progress.

use askama::Template;
use askama::filters::HtmlSafe;
use fleet::{Bar, Day, Light, Progress, State};

/// A light: colour, shape and word.
#[derive(Clone, Template)]
#[template(
    ext = "html",
    source = r#"<span class="light {{ class }}" role="img" aria-label="{{ label }}" title="{{ label }}"><svg viewBox="0 0 16 16" aria-hidden="true">{{ shape|safe }}</svg></span>"#
)]
pub(crate) struct Mark {
    class: &'static str,
    shape: &'static str,
    label: String,
}

impl HtmlSafe for Mark {}

impl Mark {
    /// The light of a state; none: nothing is claimed.
    pub(crate) fn of(state: Option<State>, about: &str) -> Mark {
        let word = state.map_or("not claimed", State::word);
        let label = if about.is_empty() { word.to_owned() } else { format!("{about}: {word}") };
        Mark { class: class(state), shape: shape(state), label }
    }

    /// One of the five.
    pub(crate) fn of_light(light: &Light) -> Mark {
        Mark::of(light.state, light.kind.words())
    }
}

/// The class that colours something of a state.
pub(crate) fn class(state: Option<State>) -> &'static str {
    match state {
        Some(State::Good) => "is-good",
        Some(State::Running) => "is-busy",
        Some(State::Incomplete | State::Late | State::Never) => "is-late",
        Some(State::Failed) => "is-bad",
        Some(State::Paused) | None => "is-none",
    }
}

fn shape(state: Option<State>) -> &'static str {
    match state {
        Some(State::Good) => r#"<circle cx="8" cy="8" r="6"/>"#,
        Some(State::Running) => {
            r#"<path d="M8 2a6 6 0 0 1 0 12z"/><circle cx="8" cy="8" r="5.2" fill="none" stroke="currentColor" stroke-width="1.6"/>"#
        }
        Some(State::Incomplete) => r#"<path d="M8 1 15 8 8 15 1 8z"/>"#,
        Some(State::Late) => r#"<path d="M8 2 15 14H1z"/>"#,
        Some(State::Failed) => r#"<path d="M4 2.5 8 6.5l4-4L13.5 4 9.5 8l4 4-1.5 1.5-4-4-4 4L2.5 12l4-4-4-4z"/>"#,
        Some(State::Never) => r#"<path d="M2 6h12v4H2z"/>"#,
        Some(State::Paused) => r#"<path d="M4 2.5h3v11H4zM9 2.5h3v11H9z"/>"#,
        None => r#"<circle cx="8" cy="8" r="5.2" fill="none" stroke="currentColor" stroke-width="1.4"/>"#,
    }
}

/// The last 28 days: height and hatching differ with what happened, so that it works without colour.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<span class="bar28{% if wide %} wide{% endif %}" role="img" aria-label="{{ label }}">{% for class in days %}<i class="{{ class }}"></i>{% endfor %}</span>"#
)]
pub(crate) struct Bar28 {
    days: Vec<&'static str>,
    label: String,
    wide: bool,
}

impl HtmlSafe for Bar28 {}

impl Bar28 {
    /// For a row.
    pub(crate) fn of(bar: &Bar) -> Bar28 {
        let days: Vec<Day> = bar.days().map(|(_, day)| day).collect();
        let count = |wanted: Day| days.iter().filter(|day| **day == wanted).count();
        let told = [Day::Good, Day::Incomplete, Day::Failed, Day::Running, Day::Nothing];
        let told = told.into_iter().filter(|day| count(*day) > 0).map(|day| format!("{} {}", count(day), day.words()));
        let label = format!("Last 28 days: {}", told.collect::<Vec<_>>().join(", "));
        Bar28 { days: days.into_iter().map(day_class).collect(), label, wide: false }
    }

    /// For a page of its own.
    pub(crate) fn wide(bar: &Bar) -> Bar28 {
        Bar28 { wide: true, ..Bar28::of(bar) }
    }
}

fn day_class(day: Day) -> &'static str {
    match day {
        Day::Good => "is-good",
        Day::Running => "is-busy",
        Day::Incomplete => "is-late",
        Day::Failed => "is-bad",
        Day::Nothing => "is-none",
    }
}

/// How far a run is, as a ring.
#[derive(PartialEq, Eq, Template)]
#[template(
    ext = "html",
    source = r#"<div class="ring" role="img" aria-label="{{ percent }} per cent done"><svg viewBox="0 0 100 100" aria-hidden="true"><circle cx="50" cy="50" r="44"/><circle class="arc" cx="50" cy="50" r="44" pathLength="100" stroke-dasharray="{{ percent }} 100"/></svg><b>{{ percent }}&thinsp;%</b></div>"#
)]
pub(crate) struct Ring {
    percent: u8,
}

impl HtmlSafe for Ring {}

impl Ring {
    /// Of a run.
    pub(crate) fn of(progress: &Progress) -> Ring {
        Ring { percent: progress.percent() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_shape_of_its_own() {
        let mut shapes: Vec<_> = State::ALL.into_iter().map(Some).chain([None]).map(shape).collect();
        shapes.sort_unstable();
        shapes.dedup();
        assert_eq!(shapes.len(), State::ALL.len() + 1);
    }

    #[test]
    fn a_light_says_what_it_is_and_escapes_what_it_is_told() {
        let html = Mark::of(Some(State::Late), "<b>heart").to_string();
        assert!(html.contains(r#"aria-label="&#60;b&#62;heart: late""#), "{html}");
    }

    #[test]
    fn the_bar_is_told_in_words() {
        let bar: Bar = "2026-11-22 gggg------ggggfgggiggggggggr".parse::<Bar>().unwrap();
        let html = Bar28::of(&bar).to_string();
        assert!(html.contains("19 good, 1 incomplete, 1 failed, 1 running, 6 nothing attempted"), "{html}");
        assert_eq!(html.matches("<i ").count(), 28);
    }
}
