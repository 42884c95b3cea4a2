//! What becomes of a partition, or of the one volume of a disk, on a disk of another size.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::used::Kind;

/// What is wished for a target of another size than the disk's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fitting {
    /// Which partition grows on a larger target.
    pub grow: Grow,
    /// Whether file systems that change their size only while they are mounted may be mounted here.
    pub mounting: Mounting,
    /// Where file systems are made smaller before they are written; `None` if that is not wished.
    pub scratch: Option<PathBuf>,
    /// Bytes that a file is to have; `None` for what it has, or as many as the disk had.
    pub size: Option<u64>,
}

/// Which partition grows on a larger target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grow {
    /// The last one, if what is on it can grow.
    #[default]
    Last,
    /// The one of this number.
    Partition(u32),
    /// None.
    Nothing,
}

/// Whether file systems may be mounted to change their size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mounting {
    /// They may not: their partition grows, and they stay as they are.
    #[default]
    Refused,
    /// In a mount namespace of its own, for as long as it takes.
    Allowed,
}

/// A partition, or the one volume of a disk without partitions, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its number; `None` for the whole disk.
    pub number: Option<u32>,
    /// What is on it.
    pub kind: Kind,
    /// Its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Its UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Where it was.
    pub from: Place,
    /// Where it will be.
    pub to: Place,
    /// Bytes of it that are in use.
    pub used: u64,
    /// What is done to it besides copying.
    #[serde(flatten)]
    pub change: Change,
}

/// A place on a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The first byte.
    pub start: u64,
    /// How many.
    pub size: u64,
}

/// What is done to a part besides copying.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Nothing.
    None,
    /// It becomes larger, and what is on it too.
    Grow {
        /// By this.
        tool: Tool,
    },
    /// It becomes larger, and what is on it stays as it is.
    GrowAround {
        /// What to do afterwards.
        advice: String,
    },
    /// It becomes smaller by what is behind the end of its file system.
    Cut,
    /// What is on it becomes smaller, in a scratch file before it is written.
    Shrink {
        /// By this.
        tool: Tool,
        /// Bytes that the scratch file may need.
        scratch: u64,
    },
    /// It is made again at its new size; it holds nothing that lasts.
    Remake {
        /// By this.
        tool: Tool,
    },
}

/// A program that changes the size of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tool {
    /// ext2, ext3, ext4; after `e2fsck`.
    Resize2fs,
    /// NTFS.
    Ntfsresize,
    /// XFS, mounted.
    XfsGrowfs,
    /// btrfs, mounted.
    BtrfsResize,
    /// Swap space.
    Mkswap,
}

impl Tool {
    /// What makes a file system of this kind larger or smaller.
    pub(super) fn of(kind: Kind) -> Option<Tool> {
        match kind {
            Kind::Ext2 | Kind::Ext3 | Kind::Ext4 => Some(Tool::Resize2fs),
            Kind::Ntfs => Some(Tool::Ntfsresize),
            Kind::Xfs => Some(Tool::XfsGrowfs),
            Kind::Btrfs => Some(Tool::BtrfsResize),
            Kind::Swap => Some(Tool::Mkswap),
            _ => None,
        }
    }

    /// Programs that must be there.
    pub(super) fn programs(self) -> &'static [&'static str] {
        match self {
            Tool::Resize2fs => &["e2fsck", "resize2fs"],
            Tool::Ntfsresize => &["ntfsresize"],
            Tool::XfsGrowfs => &["unshare", "mount", "xfs_growfs"],
            Tool::BtrfsResize => &["unshare", "mount", "btrfs"],
            Tool::Mkswap => &["mkswap"],
        }
    }

    /// True if it works on what is mounted only.
    pub(super) fn mounts(self) -> bool {
        matches!(self, Tool::XfsGrowfs | Tool::BtrfsResize)
    }

    /// True if it wants a device, even for what lies in a file of its own.
    pub(super) fn needs_device(self) -> bool {
        self != Tool::Resize2fs
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tool::Resize2fs => "resize2fs",
            Tool::Ntfsresize => "ntfsresize",
            Tool::XfsGrowfs => "xfs_growfs",
            Tool::BtrfsResize => "btrfs filesystem resize",
            Tool::Mkswap => "mkswap",
        })
    }
}

impl Part {
    /// In words: `partition 2`, `the disk`.
    pub fn called(&self) -> String {
        self.number.map_or("the disk".to_owned(), |number| format!("partition {number}"))
    }
}
