//! The index in the order of packs.

use backend::Id;

use super::Index;
use super::learned::Run;
use super::segment::{ByPack, Damaged, Segment};
use crate::Result;
use crate::pack::PackedBlob;

/// One cache file on the way through its packs.
struct Walk<'i> {
    segment: &'i Segment,
    by_pack: ByPack,
    next: usize,
}

impl Walk<'_> {
    /// The pack that comes next.
    fn pack(&self) -> Option<Id> {
        if self.next < self.segment.packs() { self.segment.pack(self.next).ok() } else { None }
    }

    /// Appends the next pack's blobs if it is `pack`.
    fn take(&mut self, pack: &Id, into: &mut Vec<PackedBlob>) -> std::result::Result<(), Damaged> {
        if self.pack().as_ref() == Some(pack) {
            self.segment.entries(&self.by_pack, self.next, into)?;
            self.next += 1;
        }
        Ok(())
    }
}

impl Index {
    /// Every entry, pack by pack in ascending order of their names: the pack, its blobs in ascending offset. A pack that
    /// several index files list comes once, with all its blobs. For prune, check, copy and stats. `each` may use the index.
    /// An error means that the index could not be read to its end, so nothing may be concluded from what was seen.
    pub fn for_each_pack(&self, each: &mut dyn FnMut(&Id, &[PackedBlob])) -> Result<()> {
        let mut walks = self.walks()?;
        let runs = self.learned.read().runs();
        let mut runs = runs.as_slice();
        let mut blobs = Vec::new();
        loop {
            let next = walks.iter().filter_map(Walk::pack).chain(runs.first().map(|run| run.pack)).min();
            let Some(pack) = next else { return Ok(()) };
            blobs.clear();
            for walk in &mut walks {
                walk.take(&pack, &mut blobs).map_err(|Damaged| super::changed_under_us())?;
            }
            runs = self.take_runs(runs, &pack, &mut blobs);
            blobs.sort_unstable_by_key(|entry| (entry.offset, entry.blob, entry.length, entry.uncompressed_length));
            blobs.dedup();
            each(&pack, &blobs);
        }
    }

    fn take_runs<'r>(&self, runs: &'r [Run], pack: &Id, into: &mut Vec<PackedBlob>) -> &'r [Run] {
        let count = runs.iter().take_while(|run| run.pack == *pack).count();
        let learned = self.learned.read();
        runs[..count].iter().for_each(|run| learned.entries(run, into));
        &runs[count..]
    }

    /// Cache files whose every row was checked; damaged ones are replaced by memory first.
    fn walks(&self) -> Result<Vec<Walk<'_>>> {
        let mut walks = Vec::new();
        for segment in self.segments.iter().filter(|segment| !segment.is_retired()) {
            let all_packs = (0..segment.packs()).try_for_each(|number| segment.pack(number).map(drop));
            match all_packs.and_then(|()| segment.by_pack()) {
                Ok(by_pack) => walks.push(Walk { segment, by_pack, next: 0 }),
                Err(Damaged) => self.replace(segment),
            }
        }
        self.health()?;
        Ok(walks)
    }
}
