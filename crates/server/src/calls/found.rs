//! Found: outcomes and texts that came from elsewhere, cut to what is kept of them.

use aws_lc_rs::digest::{SHA256, digest};
use fleet::{Missed, Outcome, RunId, Verdict};

/// Characters of a reason or a name, and of evidence.
const LONGEST: usize = 1_000;
const LONGEST_EVIDENCE: usize = 10_000;

/// The first characters of a text.
pub(super) fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// The first characters of evidence.
pub(super) fn evidence(text: &str) -> String {
    text.chars().take(LONGEST_EVIDENCE).collect()
}

/// An outcome that is not longer than it may be.
pub(super) fn outcome(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Good => Outcome::Good,
        Outcome::Failed { why } => Outcome::Failed { why: cut(&why) },
        Outcome::Incomplete { missed, count } => {
            let short = |missed: Missed| Missed { what: cut(&missed.what), why: cut(&missed.why) };
            match Outcome::missing(missed.into_iter().map(short).collect(), count) {
                // It said that it is incomplete.
                Outcome::Good => Outcome::Incomplete { missed: Vec::new(), count: 1 },
                outcome => outcome,
            }
        }
    }
}

/// The same as a verdict.
pub(super) fn verdict(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Good => Verdict::Good,
        Outcome::Failed { why } => Verdict::Failed(why.clone()),
        incomplete @ Outcome::Incomplete { .. } => {
            Verdict::Incomplete(incomplete.words().trim_start_matches("incomplete: ").to_owned())
        }
    }
}

/// Bits for the identity of what came of a run: the same whenever it is told.
pub(super) fn bits(run: RunId, about: &str) -> [u8; 10] {
    let hash = digest(&SHA256, format!("{run} {about}").as_bytes());
    let mut bits = [0; 10];
    bits.copy_from_slice(&hash.as_ref()[..10]);
    bits
}
