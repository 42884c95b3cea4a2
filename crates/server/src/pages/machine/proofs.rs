//! Proofs: drills and copies of a machine's backups, the newest first.

use fleet::{MachineId, State, Verdict};
use store::View;

use crate::app::App;
use crate::parts::Mark;
use crate::problem::Problem;
use crate::when::When;

/// Of each kind at most.
const PROOFS: u64 = 10;

/// A drill or a copy.
pub(super) struct ProofLine {
    pub(super) mark: Mark,
    pub(super) sentence: String,
    pub(super) evidence: String,
    pub(super) at: When,
}

/// Drills and copies, the newest first.
pub(super) async fn proofs(view: &View<'_>, id: MachineId, app: &App) -> Result<Vec<ProofLine>, Problem> {
    let mut proofs = Vec::new();
    for drill in view.drills(id, PROOFS).await? {
        let (state, words) = judged(&drill.verdict, drill.kind.done());
        proofs.push((drill.ended, state, words, drill.evidence));
    }
    for copy in view.copies(id, PROOFS).await? {
        let (state, words) = judged(&copy.verdict, "Copied");
        proofs.push((copy.ended, state, words, String::new()));
    }
    proofs.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let line = |(at, state, sentence, evidence)| ProofLine {
        mark: Mark::of(Some(state), ""),
        sentence,
        evidence,
        at: When::past(at, app.now()),
    };
    Ok(proofs.into_iter().map(line).collect())
}

fn judged(verdict: &Verdict, done: &str) -> (State, String) {
    match verdict {
        Verdict::Good => (State::Good, done.to_owned()),
        Verdict::Incomplete(why) => (State::Incomplete, format!("{done}, incomplete: {why}")),
        Verdict::Failed(why) => (State::Failed, format!("Failed: {why}")),
    }
}
