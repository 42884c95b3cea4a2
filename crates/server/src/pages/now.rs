//! Now: what a machine does at this moment.

use askama::Template;
use askama::filters::HtmlSafe;
use fleet::{Run, RunState, Zone};
use jiff::Timestamp;

use crate::pages::machine::{capital, what};
use crate::parts::Ring;
use crate::when::When;

/// What a machine does now.
#[derive(Template, PartialEq, Eq)]
#[template(path = "now.html")]
pub(crate) struct Now {
    run: Option<Going>,
    idle: String,
}

impl HtmlSafe for Now {}

#[derive(PartialEq, Eq)]
struct Going {
    ring: Ring,
    title: String,
    words: String,
    heard: String,
}

impl Now {
    /// From its newest runs.
    pub(crate) fn of(runs: &[Run], zone: &Zone, now: Timestamp) -> Now {
        let going = runs.iter().find(|run| run.state == RunState::Running);
        let idle = match runs.first() {
            None => "Nothing runs, and nothing ever ran.".into(),
            Some(run) => {
                format!("Nothing runs. The last {} began {}.", what(run.kind), When::past(run.started, now).words)
            }
        };
        Now { run: going.map(|run| Going::of(run, zone, now)), idle }
    }
}

impl Going {
    fn of(run: &Run, zone: &Zone, now: Timestamp) -> Going {
        let began = When::past(run.started, now).words;
        let heard = match run.progress.at {
            Some(at) => format!("Began {began}, last heard of {}.", When::past(at, now).words),
            None => format!("Began {began}, and has not reported yet."),
        };
        let title = capital(what(run.kind));
        Going { ring: Ring::of(&run.progress), title, words: run.progress.words(zone), heard }
    }
}
