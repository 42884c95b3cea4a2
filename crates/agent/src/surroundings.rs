//! Surroundings: what the machine says about power and network, and who is asked.

use std::time::Duration;

/// What is known of the machine's surroundings; what is not known holds nothing up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether somebody must sign in to this network first.
    pub captive: bool,
    /// A name for the network that it is on; another one means that it moved.
    pub network: String,
}

/// Knows the surroundings.
pub trait Watched: Send + Sync {
    /// As they are now.
    fn now(&self) -> Surroundings;

    /// Waits until they may have changed, at most so long.
    fn wait(&self, most: Duration);
}
