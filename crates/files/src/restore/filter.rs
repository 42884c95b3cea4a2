//! What to restore, by patterns, with the meaning of restic's `--include` and `--exclude`.

use super::Selection;
use crate::pattern::PatternList;

/// Patterns that choose what is restored; those that heed case and those that do not are lists of their own.
#[derive(Clone, Debug, Default)]
pub enum Filter {
    /// Everything.
    #[default]
    All,
    /// Only what one of the lists means.
    Include(Vec<PatternList>),
    /// Everything but what one of the lists means, and what lies in it.
    Exclude(Vec<PatternList>),
}

impl Filter {
    /// Decides about an absolute path, as [`super::Options::select`] asks.
    pub fn select(&self, path: &[u8]) -> Selection {
        match self {
            Filter::All => Selection::ALL,
            Filter::Include(lists) => {
                let verdicts = lists.iter().map(|list| list.judge(path));
                verdicts.fold(Selection { itself: false, below: false }, |so_far, verdict| Selection {
                    itself: so_far.itself || verdict.matched,
                    below: so_far.below || verdict.matched || verdict.below_may_match,
                })
            }
            Filter::Exclude(lists) => {
                let spared = lists.iter().any(|list| list.matches(path));
                Selection { itself: !spared, below: !spared }
            }
        }
    }
}
