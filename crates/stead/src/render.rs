//! How things look: sizes, times, tables, progress. Nothing here decides anything.

pub(crate) mod backup;
pub(crate) mod disk;
pub(crate) mod live;
pub(crate) mod node;
pub(crate) mod progress;
pub(crate) mod size;
pub(crate) mod snapshots;
pub(crate) mod table;
pub(crate) mod time;
