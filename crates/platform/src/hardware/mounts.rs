//! What is mounted, and what is swapped to.

use std::io;
use std::path::{Path, PathBuf};

use super::System;
use crate::mounts::{Mount, parse_table};

impl System {
    /// Everything that is mounted where we are, in the order of mounting.
    pub fn mounts(&self) -> io::Result<Vec<Mount>> {
        Ok(parse_table(&std::fs::read(self.root.join("proc/self/mountinfo"))?))
    }

    /// Devices and files that are swapped to.
    pub fn swaps(&self) -> Vec<PathBuf> {
        let text = self.text(Path::new("proc/swaps")).unwrap_or_default();
        text.lines().skip(1).filter_map(|line| Some(PathBuf::from(line.split_ascii_whitespace().next()?))).collect()
    }
}
