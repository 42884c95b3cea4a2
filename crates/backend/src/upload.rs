//! A file whose bytes come in pieces, for those who pass on what others send and must not hold it in memory.

use crate::Result;

/// A file on its way into the storage. It has no name until it is published, and leaves nothing behind when it is
/// dropped before.
pub trait Upload: Send {
    /// Takes the next bytes.
    fn add(&mut self, piece: &[u8]) -> Result<()>;

    /// Gives the file its name, with the promises of [`Backend::write`](crate::Backend::write): durable on return, the
    /// same bytes under that name are success, other bytes an error of class `Rejected`.
    fn publish(self: Box<Self>) -> Result<()>;
}
