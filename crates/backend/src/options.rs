//! What a backend may be told when it is opened.

/// When the size of a file that was just written is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadBack {
    /// When the answer to the write was lost or unclear.
    #[default]
    WhenUnclear,
    /// After every write.
    Always,
}
