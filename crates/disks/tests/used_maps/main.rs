//! Used-block maps against those who know: the filesystems' own tools and partclone.
//!
//! Two laws hold for every filesystem, made with every feature and used for real: nothing that an oracle calls used is called
//! free, and hardly anything that it calls free is called used. And when every free byte is overwritten with rubbish, the
//! filesystem's own check finds nothing and all files are as they were.

#![expect(clippy::print_stdout, reason = "a failed test shows which variant it was at")]

mod btrfs;
mod exfat;
mod ext;
mod fat;
mod holders;
mod live;
mod ntfs;
mod oracle;
mod subject;
mod swap;
mod xfs;
