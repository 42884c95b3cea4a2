//! Counts what there is to back up, ahead of the backup, for an honest total. What it cannot see it leaves to the backup to
//! complain about.

use platform::{Dir, FileType, Stat};

use super::observer::Totals;
use super::worker::Run;
use crate::exclude::held_by;
use crate::path;
use crate::source::SourceNode;

/// Totals are told each time so many more items were found.
const TELL_EVERY: u64 = 4096;

struct Scan<'r> {
    run: &'r Run<'r>,
    totals: Totals,
    /// Directories still to be listed, with the device their entries must be on.
    todo: Vec<(Vec<u8>, Option<u64>)>,
    buffer: Vec<u8>,
}

/// Counts everything below `source`, until the backup ends.
pub(super) fn scan(run: &Run<'_>, source: &SourceNode) {
    let mut scan = Scan { run, totals: Totals::default(), todo: Vec::new(), buffer: Vec::new() };
    scan.targets(source);
    while let Some((dir, device)) = scan.todo.pop() {
        if run.queue.has_ended() {
            return;
        }
        // What cannot be listed is the backup's to report.
        let _ = scan.list(&dir, device);
    }
    run.observer.scanned(scan.totals, true);
}

impl Scan<'_> {
    fn targets(&mut self, node: &SourceNode) {
        if let Some(target) = &node.target
            && let Ok(stat) = Stat::of_path(&target.path)
            && (target.named || !self.is_excluded(&target.path, &stat))
        {
            let device = self.run.devices.as_ref().map(|_| stat.device);
            self.count(target.path.clone(), &stat, device);
        }
        for child in node.children.values() {
            self.targets(child);
        }
    }

    fn is_excluded(&self, path: &[u8], stat: &Stat) -> bool {
        let (dir, name) = (path::parent(path), path::last(path));
        let holds = |held: &[u8]| Stat::of_path(&path::child(dir, held)).is_ok();
        let excludes = self.run.excludes.within(dir, holds, |_, _| {});
        excludes.by_name(name) || excludes.by_stat(name, stat)
    }

    fn count(&mut self, path: Vec<u8>, stat: &Stat, device: Option<u64>) {
        match stat.file_type {
            FileType::Regular => {
                self.totals.files += 1;
                self.totals.bytes += stat.size;
            }
            FileType::Directory if self.run.is_own(stat) => return,
            FileType::Directory => {
                self.totals.dirs += 1;
                self.todo.push((path, device));
            }
            FileType::Socket => return,
            _ => self.totals.others += 1,
        }
        if (self.totals.files + self.totals.dirs + self.totals.others).is_multiple_of(TELL_EVERY) {
            self.run.observer.scanned(self.totals, false);
        }
    }

    fn list(&mut self, path: &[u8], device: Option<u64>) -> std::io::Result<()> {
        let dir = Dir::open(path)?;
        if device.is_some_and(|device| dir.stat().is_ok_and(|stat| stat.device != device)) {
            return Ok(());
        }
        let names = dir.names(&mut self.buffer)?;
        let excludes = self.run.excludes.within(path, held_by(&names), |_, _| {});
        for at in 0..names.len() {
            let name = names.name(at);
            if excludes.by_name(name) {
                continue;
            }
            let Ok(stat) = dir.stat_entry(names.get(at)) else { continue };
            let elsewhere = device.is_some_and(|device| device != stat.device) && !stat.is_dir();
            if !elsewhere && !excludes.by_stat(name, &stat) {
                self.count(path::child(path, name), &stat, device);
            }
        }
        Ok(())
    }
}
