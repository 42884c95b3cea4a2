//! One file per command. A command's doc comment is its help.

pub(crate) mod backup;
pub(crate) mod cache;
pub(crate) mod cat;
pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod diff;
pub(crate) mod disk;
pub(crate) mod dump;
pub(crate) mod find;
pub(crate) mod fleet;
pub(crate) mod forget;
pub(crate) mod gateway;
pub(crate) mod generate;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod restore;
pub(crate) mod server;
pub(crate) mod snapshots;
pub(crate) mod stats;
pub(crate) mod tag;
pub(crate) mod unlock;
pub(crate) mod up;
pub(crate) mod version;
