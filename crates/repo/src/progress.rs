//! How far long work has come: the engine tells, the caller shows.

/// A quantity of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Things: packs, trees, files, as the step says.
    pub items: u64,
    /// Bytes, where they are known.
    pub bytes: u64,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reading the trees of all snapshots; items are trees, the total is not known before.
    WalkTrees,
    /// Comparing index files with packs; items are packs.
    AuditPacks,
    /// Reading packs to verify them; items are packs.
    ReadPacks,
    /// Copying what is still used out of packs; items are packs.
    RepackPacks,
    /// Writing index files anew; items are the old files.
    RewriteIndex,
    /// Removing packs that nothing needs; items are packs.
    RemovePacks,
    /// Copying blobs to another repository; items are blobs.
    CopyBlobs,
    /// Sending packs from a spool; items are packs.
    SendPacks,
}

/// Is told about progress, from many threads.
pub trait Progress: Sync {
    /// A step begins; a total of zero is not known.
    fn begin(&self, step: Step, total: Amount);

    /// So much more of the step is done.
    fn advance(&self, done: Amount);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _step: Step, _total: Amount) {}
    fn advance(&self, _done: Amount) {}
}
