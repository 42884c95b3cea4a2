//! What the server tells those who run it. Nothing is printed here; somebody who was passed in listens.

use std::sync::Arc;

/// Something to know for those who run the server.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// Something of ours failed: what was being done, and why it failed.
    Problem(String),
    /// Somebody could not sign in, and from where.
    Refused {
        /// The address.
        from: String,
    },
}

/// Who listens.
pub type Observer = Arc<dyn Fn(Event) + Send + Sync>;
