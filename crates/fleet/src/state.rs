//! State: the seven words for how something stands, and which of two is worse.

use serde::{Deserialize, Serialize};

use crate::Pause;

/// How something stands. The order is that of need: the later, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// There is recent evidence that it is well.
    Good,
    /// It is being done now.
    Running,
    /// Somebody said that nothing shall be done for a while.
    Paused,
    /// It was done, but not all of it.
    Incomplete,
    /// The last evidence is older than the limit.
    Late,
    /// There never was evidence.
    Never,
    /// It was tried and did not work.
    Failed,
}

impl State {
    /// All of them, the best first.
    pub const ALL: [State; 7] =
        [State::Good, State::Running, State::Paused, State::Incomplete, State::Late, State::Never, State::Failed];

    /// The word for it, everywhere the same.
    pub fn word(self) -> &'static str {
        match self {
            State::Good => "good",
            State::Running => "running",
            State::Paused => "paused",
            State::Incomplete => "incomplete",
            State::Late => "late",
            State::Never => "never",
            State::Failed => "failed",
        }
    }

    /// The state of this word.
    pub fn of_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// How a machine stands: its state, and beside it, never instead of it, that it is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The worst of its lights; never `Paused`.
    pub state: State,
    /// That somebody paused it.
    pub pause: Option<Pause>,
}

impl Standing {
    /// What counts when machines are sorted by need, more is worse: a paused machine stands where `paused` does,
    /// whatever hides beneath; its words say both.
    pub fn rank(&self) -> u8 {
        let state = match self.pause {
            Some(_) => State::Paused,
            None => self.state,
        };
        state as u8
    }

    /// "failed", or both: "paused, failed".
    pub fn words(&self) -> String {
        match self.pause {
            Some(_) => format!("{}, {}", State::Paused.word(), self.state.word()),
            None => self.state.word().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_never_hides_what_is_worse_than_good() {
        for state in State::ALL.into_iter().filter(|state| *state != State::Good) {
            assert!(state.max(State::Running) == state, "{state:?}");
        }
    }

    #[test]
    fn every_state_has_a_word_of_its_own() {
        for state in State::ALL {
            assert_eq!(State::of_word(state.word()), Some(state));
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("{:?}", state.word()));
        }
    }
}
