//! Lights: whether a machine is safe, in five sentences with their evidence.

use askama::Template;
use askama::filters::HtmlSafe;
use fleet::{Evidence, Light};
use store::Card;

use crate::parts::Mark;
use crate::when::When;

/// A machine's lights.
#[derive(Template)]
#[template(path = "lights.html")]
pub(super) struct Lights {
    lights: Vec<LightLine>,
}

impl HtmlSafe for Lights {}

struct LightLine {
    mark: Mark,
    about: &'static str,
    sentence: String,
    evidence: Option<String>,
    at: Option<When>,
}

impl Lights {
    /// As they were judged last.
    pub(super) fn of(card: &Card) -> Lights {
        Lights { lights: card.lights.iter().map(|light| light_line(light, card)).collect() }
    }
}

fn light_line(light: &Light, card: &Card) -> LightLine {
    // Copies and drills have no page of their own yet; their sentences say what they were.
    let evidence = match light.evidence {
        Some(Evidence::Run(run)) => Some(format!("#run-{run}")),
        _ => None,
    };
    LightLine {
        mark: Mark::of_light(light),
        about: light.kind.words(),
        sentence: light.sentence.clone(),
        evidence,
        // As of when the sentence beside it was made.
        at: light.at.map(|at| When::past(at, card.judged)),
    }
}
