//! What the machine can do at best in this run: the primitives on one core, and what plain tools need for the same files.

use std::process::Command;

use serde_json::Value;

use super::corpus::Corpus;
use super::measure;
use crate::program::{self, Outcome};
use crate::workspace;

/// A primitive and its speed on one core.
pub(super) struct Speed {
    pub(super) name: String,
    /// Gigabytes (10^9) per second.
    pub(super) rate: f64,
}

/// A plain tool on a corpus.
pub(super) struct Tool {
    pub(super) corpus: &'static str,
    pub(super) name: &'static str,
    /// Seconds.
    pub(super) wall: f64,
}

/// Measures the primitives with the code that the engine uses.
pub(super) fn measure() -> Outcome<Vec<Speed>> {
    let words = ["run", "--release", "--quiet", "--package", "stead-repo", "--example", "floor"];
    let said = program::output(&mut workspace::cargo(words))?;
    let speeds: Value = serde_json::from_str(&said).map_err(|error| format!("the floor said `{said}`: {error}"))?;
    let speeds = speeds.as_object().ok_or("the floor is no object")?;
    Ok(speeds.iter().map(|(name, rate)| Speed { name: name.clone(), rate: rate.as_f64().unwrap_or(0.0) }).collect())
}

/// `find` with metadata and `cp -a`, each three times; the median.
pub(super) fn tools(corpus: &Corpus) -> Outcome<Vec<Tool>> {
    let room = super::room()?;
    let copy = room.join("copy");
    let mut find = Command::new("find");
    find.arg(&corpus.folder).args(["-printf", "%s %T@ %C@ %i\n"]);
    let mut cp = Command::new("cp");
    cp.arg("-a").arg(&corpus.folder).arg(&copy);
    let (mut finds, mut copies) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        finds.push(measure::run(&find, &room)?.wall);
        copies.push(measure::run(&cp, &room)?.wall);
        super::clear(&copy)?;
    }
    let tool = |name, walls| Tool { corpus: corpus.name, name, wall: measure::median(walls) };
    Ok(vec![tool("find", finds), tool("cp -a", copies)])
}
