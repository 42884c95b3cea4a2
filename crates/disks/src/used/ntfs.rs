//! NTFS: the file `$Bitmap` has a bit for each cluster.
//!
//! Nothing is free where Windows sleeps (hibernation, fast startup), where its log waits, or where it is marked dirty. What
//! follows the last cluster, the copy of the boot sector, is used.

mod directory;
pub(crate) mod record;

use super::bitmap;
use super::fields::{byte, le16, le32, le64, part, wide_text};
use super::free_list::FreeList;
use super::source::{Damage, Source, wrong};
use super::{Found, Kind, State, Usage};
use record::{Record, Runs, kind};

const MFT: u64 = 0;
const LOG: u64 = 2;
const VOLUME: u64 = 3;
const ROOT: u64 = 5;
const BITMAP: u64 = 6;

const PIECE: u64 = 1 << 20;

/// What the boot sector says, checked.
pub(crate) struct Shape {
    /// Bytes of a cluster.
    pub(crate) cluster: u64,
    /// How many there are.
    pub(crate) clusters: u64,
    /// Bytes of a file record.
    pub(crate) record: u64,
    /// The cluster where the file records begin.
    pub(crate) files: u64,
}

/// What the boot sector says, and where the file records are.
pub(crate) struct Ntfs<'a> {
    source: &'a Source<'a>,
    cluster: u64,
    clusters: u64,
    record: u64,
    files: Runs,
}

pub(super) fn examine(source: &Source<'_>) -> Found {
    let boot = source.record("the NTFS boot sector", 0, 512)?;
    if part(&boot, 3, 8) != b"NTFS    " {
        return Ok(None);
    }
    let mut usage = Usage::of(Kind::Ntfs, source.size());
    usage.uuid = Some(format!("{:016X}", le64(&boot, 72)));
    let sector = u64::from(le16(&boot, 11));
    // The copy of the boot sector is one sector beyond those that are counted.
    usage.size = le64(&boot, 40).saturating_add(1).saturating_mul(sector).min(source.size());
    let found = Ntfs::open(source, &boot).and_then(|ntfs| {
        usage.block = ntfs.cluster;
        usage.label = ntfs.label();
        usage.state = ntfs.state()?;
        match &usage.state {
            State::Clean => ntfs.free(),
            State::Hibernated => wrong("Windows is hibernated, or was shut down with fast startup"),
            State::Dirty(why) | State::NeedsRecovery(why) => wrong(why.clone()),
            State::Unknown => wrong("its state is unknown"),
        }
    });
    usage.prove(found);
    Ok(Some(usage))
}

impl Shape {
    /// Reads the boot sector of a volume of `size` bytes.
    pub(crate) fn parse(boot: &[u8], size: u64) -> Result<Shape, Damage> {
        let sector = u64::from(le16(boot, 11));
        let per_cluster = match byte(boot, 13) {
            small @ ..=128 => u64::from(small),
            power => 1 << (256 - u32::from(power)).min(31),
        };
        let cluster = sector * per_cluster;
        let is_size = |size: u64, largest: u64| size.is_power_of_two() && size <= largest;
        if !is_size(sector, 4096) || sector < 256 || !is_size(cluster, 2 << 20) {
            return wrong("the boot sector's sizes make no sense");
        }
        let sectors = le64(boot, 40);
        if sectors.checked_mul(sector).is_none_or(|bytes| bytes > size) {
            return wrong(format!("{sectors} sectors are more than the volume has"));
        }
        let record = match byte(boot, 64) as i8 {
            clusters @ 1.. => clusters as u64 * cluster,
            power => 1 << u32::from(power.unsigned_abs()).min(31),
        };
        if !(512..=65536).contains(&record) || !record.is_power_of_two() {
            return wrong("the size of a file record makes no sense");
        }
        Ok(Shape { cluster, clusters: sectors / per_cluster, record, files: le64(boot, 48) })
    }
}

impl<'a> Ntfs<'a> {
    fn open(source: &'a Source<'a>, boot: &[u8]) -> Result<Ntfs<'a>, Damage> {
        let Shape { cluster, clusters, record, files } = Shape::parse(boot, source.size())?;
        let mut ntfs = Ntfs { source, cluster, clusters, record, files: Runs::one(files, u64::MAX) };
        // Its first record tells where the rest is.
        ntfs.files = ntfs.file(MFT)?.runs(kind::DATA)?;
        Ok(ntfs)
    }

    /// A file record by its number.
    fn file(&self, number: u64) -> Result<Record, Damage> {
        let place = self.place(&self.files, number.saturating_mul(self.record), self.record)?;
        Record::parse(self.source.record("a file record", place, self.record)?, b"FILE")
    }

    /// Where a part of a file lies on the volume.
    fn place(&self, runs: &Runs, offset: u64, length: u64) -> Result<u64, Damage> {
        let Some((cluster, left)) = runs.find(offset / self.cluster) else {
            return wrong("a file's part is not on the volume");
        };
        let within = offset % self.cluster;
        let end = cluster.checked_add((within + length).div_ceil(self.cluster));
        let is_there =
            end.is_some_and(|end| end <= self.clusters) && within + length <= left.saturating_mul(self.cluster);
        if is_there { Ok(cluster * self.cluster + within) } else { wrong("a file's part is not on the volume") }
    }

    fn label(&self) -> Option<String> {
        let volume = self.file(VOLUME).ok()?;
        let name = volume.resident(kind::VOLUME_NAME).ok()?;
        wide_text(name, 0, name.len() / 2)
    }

    fn state(&self) -> Result<State, Damage> {
        if self.is_hibernated()? {
            return Ok(State::Hibernated);
        }
        let volume = self.file(VOLUME)?;
        if le16(volume.resident(kind::VOLUME_INFORMATION)?, 10) & 1 != 0 {
            return Ok(State::Dirty("it is marked as needing a check".into()));
        }
        Ok(if self.is_log_closed()? {
            State::Clean
        } else {
            State::NeedsRecovery("its log was not closed: it was not shut down properly".into())
        })
    }

    /// A hibernation file that begins with a signature, not one that has been used up.
    fn is_hibernated(&self) -> Result<bool, Damage> {
        let Some(number) = directory::find(self, ROOT, "hiberfil.sys")? else { return Ok(false) };
        let file = self.file(number)?;
        let Ok(runs) = file.runs(kind::DATA) else { return Ok(false) };
        if runs.is_empty() {
            return Ok(false);
        }
        let begin = self.source.record("the hibernation file", self.place(&runs, 0, 512)?, 512)?;
        Ok(matches!(part(&begin, 0, 4).to_ascii_lowercase().as_slice(), b"hibr" | b"wake" | b"rstr"))
    }

    /// The newer of the log's two restart pages tells.
    fn is_log_closed(&self) -> Result<bool, Damage> {
        let runs = self.file(LOG)?.runs(kind::DATA)?;
        let begin = self.place(&runs, 0, 4096)?;
        let mut first = self.source.record("the log", begin, 4096)?;
        if first.iter().all(|byte| *byte == 0xff) {
            return Ok(true);
        }
        let second = u64::from(le32(&first, 16));
        let mut newest = restart(&mut first);
        if (512..=65536).contains(&second) {
            let mut page = self.source.record("the log", self.place(&runs, second, 4096)?, 4096)?;
            newest = newest.max(restart(&mut page));
        }
        match newest {
            Some((_, is_closed)) => Ok(is_closed),
            None => wrong("its log is damaged"),
        }
    }

    fn free(&self) -> Result<FreeList, Damage> {
        let file = self.file(BITMAP)?;
        let runs = file.runs(kind::DATA)?;
        let needs = self.clusters.div_ceil(8);
        if runs.size < needs || runs.initialised < needs {
            return wrong("the bitmap is too short");
        }
        let mut free = FreeList::new(self.clusters * self.cluster);
        let (mut done, mut bits) = (0, Vec::new());
        while done < needs {
            // Runs are in whole clusters, so a piece may end early.
            let Some((_, left)) = runs.find(done / self.cluster) else { return wrong("the bitmap is too short") };
            let room = left.saturating_mul(self.cluster) - done % self.cluster;
            let length = PIECE.min(needs - done).min(room);
            let place = self.place(&runs, done, length)?;
            self.source.fill("the bitmap", place, length as usize, &mut bits)?;
            let first = done * 8;
            bitmap::clear_runs(&bits, self.clusters - first, |run| {
                free.add_blocks(first + run.start..first + run.end, self.cluster);
            });
            done += length;
        }
        Ok(free)
    }
}

/// A restart page's age and whether the log was closed; none if it is damaged.
fn restart(page: &mut [u8]) -> Option<(u64, bool)> {
    if part(page, 0, 4) != b"RSTR" {
        return None;
    }
    let area = usize::from(le16(page, 24));
    if area < 30 || area + 16 > 510 {
        return None;
    }
    let (nobody, is_clean) = (le16(page, area + 12) == u16::MAX, le16(page, area + 14) & 2 != 0);
    Some((le64(page, area), nobody || is_clean))
}
