//! Drill: a restore practised on purpose, so that "it can be restored" is a fact.

use serde::{Deserialize, Serialize};

/// A kind of drill. Each proves more and costs more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drill {
    /// A sample of files is restored and compared.
    FileSample,
    /// The image's partition table, file systems and files are read.
    ImageCheck,
    /// The machine is started from its backup.
    BootTest,
}

impl Drill {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Drill::FileSample => "a sample of files is restored and compared",
            Drill::ImageCheck => "the image's file systems are checked and files read from them",
            Drill::BootTest => "the machine is started from its backup",
        }
    }

    /// What was done when it went well, for "… 3 days ago".
    pub fn done(self) -> &'static str {
        match self {
            Drill::FileSample => "Restore proven",
            Drill::ImageCheck => "Image proven",
            Drill::BootTest => "Booted from backup",
        }
    }
}
