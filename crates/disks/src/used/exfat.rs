//! exFAT: the root directory names a bitmap of clusters, or two.
//!
//! A cluster is free if it is in no bitmap. Bitmap and directories are not written at once, so a volume that was not unmounted
//! proves nothing.

use super::bitmap;
use super::fields::{byte, le16, le32, le64, part, wide_text};
use super::free_list::FreeList;
use super::source::{Damage, Source, wrong};
use super::{Found, Kind, State, Usage};

const BITMAP: u8 = 0x81;
const LABEL: u8 = 0x83;

/// Bytes of a bitmap read at once; a multiple of every cluster size up to it.
const PIECE: u64 = 1 << 20;

/// A root directory longer than this is damaged: 256 MiB is the format's limit for any.
const LONGEST: u64 = 256 << 20;

/// What the boot sector says, checked.
pub(crate) struct Exfat {
    /// Bytes of a cluster.
    pub(crate) cluster: u64,
    /// How many there are.
    pub(crate) clusters: u64,
    /// Where cluster 2 begins.
    pub(crate) heap: u64,
    /// Where the table begins.
    pub(crate) fat: u64,
    /// The root directory's first cluster.
    pub(crate) root: u32,
    size: u64,
}

/// A bitmap's first cluster and bytes.
type Bitmap = (u32, u64);

pub(super) fn examine(source: &Source<'_>) -> Found {
    let record = source.record("the exFAT boot sector", 0, 512)?;
    if part(&record, 3, 8) != b"EXFAT   " {
        return Ok(None);
    }
    let mut usage = Usage::of(Kind::Exfat, source.size());
    let id = le32(&record, 100);
    usage.uuid = Some(format!("{:04X}-{:04X}", id >> 16, id & 0xffff));
    usage.state = match le16(&record, 106) & 2 {
        0 => State::Clean,
        _ => State::Dirty("it was not unmounted".into()),
    };
    let found = Exfat::parse(source, &record).and_then(|exfat| {
        usage.block = exfat.cluster;
        usage.size = exfat.size;
        let (bitmaps, label) = exfat.root(source)?;
        usage.label = label;
        if let State::Dirty(why) = &usage.state {
            return wrong(why.clone());
        }
        exfat.free(source, &bitmaps)
    });
    usage.prove(found);
    Ok(Some(usage))
}

impl Exfat {
    pub(crate) fn parse(source: &Source<'_>, record: &[u8]) -> Result<Exfat, Damage> {
        let (sector_bits, cluster_bits) = (byte(record, 108), byte(record, 109));
        if !(9..=12).contains(&sector_bits) || cluster_bits > 25 - sector_bits {
            return wrong("the boot sector's sizes make no sense");
        }
        let sector = 1_u64 << sector_bits;
        check_boot_region(source, sector)?;
        let cluster = sector << cluster_bits;
        let exfat = Exfat {
            cluster,
            clusters: u64::from(le32(record, 92)),
            heap: u64::from(le32(record, 88)) * sector,
            fat: u64::from(le32(record, 80)) * sector,
            root: le32(record, 96),
            size: le64(record, 72).saturating_mul(sector),
        };
        let end = exfat.heap.checked_add(exfat.clusters * cluster);
        let table = u64::from(le32(record, 84)) * sector;
        let fits = end.is_some_and(|end| end <= exfat.size) && table >= (exfat.clusters + 2) * 4;
        if !fits || exfat.size > source.size() || exfat.fat + table > exfat.heap {
            return wrong("the boot sector's sizes make no sense");
        }
        Ok(exfat)
    }

    /// Follows the root directory for bitmaps and label.
    fn root(&self, source: &Source<'_>) -> Result<(Vec<Bitmap>, Option<String>), Damage> {
        let (mut bitmaps, mut label) = (Vec::new(), None);
        self.follow(source, self.root, LONGEST, &mut |piece| {
            for entry in piece.chunks_exact(32) {
                match byte(entry, 0) {
                    0 => return false,
                    BITMAP => bitmaps.push((le32(entry, 20), le64(entry, 24))),
                    LABEL => label = wide_text(entry, 2, usize::from(byte(entry, 1)).min(11)),
                    _ => {}
                }
            }
            true
        })?;
        Ok((bitmaps, label))
    }

    /// Calls `each` with the bytes of a chain of clusters, until it says false, the chain ends or `most` bytes were read.
    fn follow(
        &self,
        source: &Source<'_>,
        first: u32,
        most: u64,
        each: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<(), Damage> {
        let (mut cluster, mut left, mut bytes) = (first, most, Vec::new());
        loop {
            let start = self.place(cluster)?;
            for within in (0..self.cluster).step_by(PIECE as usize) {
                let length = PIECE.min(self.cluster - within).min(left);
                source.fill("a chain of clusters", start + within, length as usize, &mut bytes)?;
                left -= length;
                if !each(&bytes) || left == 0 {
                    return Ok(());
                }
            }
            cluster = le32(&source.record("the FAT", self.fat + u64::from(cluster) * 4, 4)?, 0);
            if cluster == u32::MAX {
                return Ok(());
            }
        }
    }

    fn place(&self, cluster: u32) -> Result<u64, Damage> {
        match u64::from(cluster).checked_sub(2) {
            Some(number) if number < self.clusters => Ok(self.heap + number * self.cluster),
            _ => wrong(format!("cluster {cluster} is not in the volume")),
        }
    }

    fn free(&self, source: &Source<'_>, bitmaps: &[Bitmap]) -> Result<FreeList, Damage> {
        let needs = self.clusters.div_ceil(8);
        if bitmaps.is_empty() || bitmaps.len() > 2 || bitmaps.iter().any(|(_, size)| *size < needs) {
            return wrong("there is no bitmap of sufficient size");
        }
        let mut common: Option<FreeList> = None;
        for &(first, _) in bitmaps {
            let list = self.free_in(source, first, needs)?;
            common = Some(match common {
                None => list,
                Some(other) => both(list, other, self.size),
            });
        }
        Ok(common.unwrap_or_else(|| FreeList::new(self.size)))
    }

    fn free_in(&self, source: &Source<'_>, first: u32, needs: u64) -> Result<FreeList, Damage> {
        let mut free = FreeList::new(self.heap + self.clusters * self.cluster);
        let mut done = 0;
        self.follow(source, first, needs, &mut |piece| {
            let base = self.heap + done * 8 * self.cluster;
            bitmap::clear_runs(piece, self.clusters - done * 8, |run| {
                free.add(base + run.start * self.cluster..base + run.end * self.cluster);
            });
            done += piece.len() as u64;
            true
        })?;
        if done < needs { wrong("the bitmap is shorter than it should be") } else { Ok(free) }
    }
}

fn both(one: FreeList, other: FreeList, end: u64) -> FreeList {
    let mut list = FreeList::new(end);
    one.finish().0.intersection(&other.finish().0).iter().for_each(|range| list.add(range));
    list
}

/// The first eleven sectors have a checksum in the twelfth; flags and fill level, which change, are left out.
fn check_boot_region(source: &Source<'_>, sector: u64) -> Result<(), Damage> {
    let region = source.record("the boot region", 0, sector * 12)?;
    let (covered, sums) = region.split_at(sector as usize * 11);
    let changing = |at: &usize| matches!(at, 106 | 107 | 112);
    let sum = covered.iter().enumerate().filter(|(at, _)| !changing(at));
    let sum = sum.fold(0_u32, |sum, (_, byte)| sum.rotate_right(1).wrapping_add(u32::from(*byte)));
    let is_right = sums.chunks_exact(4).all(|said| le32(said, 0) == sum);
    if is_right { Ok(()) } else { wrong("the boot region's checksum is wrong") }
}
