//! The memory that is shared with the program in the kernel: a header, what was written, and what of it is not yet in an image.
//!
//! It is pages of 4096 bytes: the header; then a byte for every unit of the disk that the program sets to 1 (the *live* marks);
//! then a byte for every unit that only we write (the *pending* marks): the epoch in which a live mark was last taken. A mark
//! is in one of the two at every moment, whenever we are killed.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use platform::bpf::{ArrayMap, Memory};

use crate::Extents;

/// Bytes of a value of the map.
pub(super) const PAGE: u64 = 4096;

/// The smallest unit that is marked, in bits: 64 KiB.
const UNIT_BITS: u32 = 16;

/// So many units at most; larger disks have larger units.
const MOST_UNITS: u64 = 1 << 26;

const MAGIC: u64 = u64::from_ne_bytes(*b"steadtrk");
const VERSION: u64 = 1;

/// The last epoch; marks of it are never old.
const LAST_EPOCH: u64 = 255;

// Words of the header.
const MAGIC_AT: usize = 0;
const VERSION_AT: usize = 1;
/// Sectors written, by the program's count.
pub(super) const SECTORS: usize = 2;
/// Not 0 once a request was too long to be marked as a whole.
pub(super) const OVERFLOW: usize = 3;
/// Not 0 once something was written beyond the disk's end.
pub(super) const OUTSIDE: usize = 4;
const EPOCH: usize = 5;
const SIZE: usize = 6;
const DEVICE: usize = 7;
const SEQUENCE: usize = 8;
const BASELINE: usize = 9;
const HOLDER: usize = 12;
const OWNER: usize = 14;
const BOOT: usize = 16;
/// Seconds since 1970 when somebody asked for the disk to be watched; 0 if nobody did.
const WATCHED: usize = 22;
const LABEL_LENGTH: usize = 31;
const LABEL: usize = 32;

/// Bytes of the longest label.
pub(super) const LONGEST_LABEL: usize = 512;

/// Which disk the marks are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) device: u32,
    pub(super) sequence: u64,
    pub(super) size: u64,
    pub(super) boot: String,
}

/// Both counts at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) ours: u64,
    pub(super) kernel: u64,
}

/// The shared memory, understood.
#[derive(Debug)]
pub(super) struct Marks {
    memory: Memory,
}

/// Bits of a unit of a disk of that size.
pub(super) fn unit_bits(size: u64) -> u32 {
    (UNIT_BITS..).find(|bits| size.div_ceil(1 << bits) <= MOST_UNITS).unwrap_or(UNIT_BITS)
}

/// Units of a disk of that size.
pub(super) fn units(size: u64) -> u64 {
    size.div_ceil(1 << unit_bits(size))
}

fn pages(size: u64) -> u64 {
    units(size).div_ceil(PAGE)
}

/// Values that a map for a disk of that size has.
pub(super) fn values(size: u64) -> u32 {
    (1 + 2 * pages(size)) as u32
}

impl Marks {
    /// Of a new map.
    pub(super) fn create(map: &ArrayMap, identity: &Identity) -> std::io::Result<Marks> {
        let marks = Marks { memory: map.memory()? };
        let header = [(VERSION_AT, VERSION), (SIZE, identity.size), (DEVICE, identity.device.into())];
        header.into_iter().for_each(|(at, value)| marks.set(at, value));
        marks.set(SEQUENCE, identity.sequence);
        marks.set(EPOCH, 1);
        marks.write_text(BOOT, identity.boot.as_bytes());
        marks.set(MAGIC_AT, MAGIC);
        Ok(marks)
    }

    /// Of a map that somebody made earlier; `None` if it is not one of ours.
    pub(super) fn open(map: &ArrayMap) -> std::io::Result<Option<Marks>> {
        if map.bytes() < PAGE as usize {
            return Ok(None);
        }
        let marks = Marks { memory: map.memory()? };
        let is_ours = marks.get(MAGIC_AT) == MAGIC && marks.get(VERSION_AT) == VERSION;
        let fits = is_ours && marks.get(SIZE) < 1 << 60 && map.bytes() as u64 == u64::from(values(marks.size())) * PAGE;
        Ok(fits.then_some(marks))
    }

    pub(super) fn get(&self, at: usize) -> u64 {
        self.memory.words()[at].load(SeqCst)
    }

    fn set(&self, at: usize, value: u64) {
        self.memory.words()[at].store(value, SeqCst);
    }

    pub(super) fn size(&self) -> u64 {
        self.get(SIZE)
    }

    pub(super) fn identity(&self) -> Identity {
        let boot = String::from_utf8_lossy(&self.read_text(BOOT, 40)).trim_end_matches('\0').to_owned();
        let device = self.get(DEVICE) as u32;
        Identity { device, sequence: self.get(SEQUENCE), size: self.size(), boot }
    }

    fn write_text(&self, at: usize, text: &[u8]) {
        for (number, piece) in text.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            self.set(at + number, u64::from_ne_bytes(word));
        }
    }

    fn read_text(&self, at: usize, length: usize) -> Vec<u8> {
        let words = (at..at + length.div_ceil(8)).flat_map(|at| self.get(at).to_ne_bytes());
        words.take(length).collect()
    }

    /// The counts when they were last known to agree.
    pub(super) fn baseline(&self) -> Option<Counts> {
        let counts = Counts { ours: self.get(BASELINE), kernel: self.get(BASELINE + 1) };
        (self.get(BASELINE + 2) == 1).then_some(counts)
    }

    pub(super) fn set_baseline(&self, counts: Option<Counts>) {
        self.set(BASELINE + 2, 0);
        if let Some(counts) = counts {
            self.set(BASELINE, counts.ours);
            self.set(BASELINE + 1, counts.kernel);
            self.set(BASELINE + 2, 1);
        }
    }

    pub(super) fn clear_flags(&self) {
        self.set(OVERFLOW, 0);
        self.set(OUTSIDE, 0);
    }

    pub(super) fn holder(&self) -> Option<platform::ProcessIdentity> {
        let (pid, started) = (self.get(HOLDER) as u32, self.get(HOLDER + 1));
        (pid != 0).then_some(platform::ProcessIdentity { pid, started })
    }

    pub(super) fn set_holder(&self, holder: platform::ProcessIdentity) {
        self.set(HOLDER + 1, holder.started);
        self.set(HOLDER, holder.pid.into());
    }

    /// The living process that has them open to take them.
    pub(super) fn owner(&self) -> Option<u32> {
        let word = self.get(OWNER);
        let pid = (word >> 40) as u32;
        platform::ProcessIdentity::of(pid).filter(|process| owner_word(*process) == word).map(|process| process.pid)
    }

    /// Makes that process the one that takes marks, unless a living one is (itself, too); then that one is the answer.
    pub(super) fn claim(&self, us: platform::ProcessIdentity) -> Result<(), u32> {
        loop {
            let before = self.get(OWNER);
            if let Some(pid) = self.owner() {
                return Err(pid);
            }
            let owner = &self.memory.words()[OWNER];
            if owner.compare_exchange(before, owner_word(us), SeqCst, SeqCst).is_ok() {
                return Ok(());
            }
        }
    }

    pub(super) fn release(&self) {
        self.set(OWNER, 0);
    }

    pub(super) fn label(&self) -> Option<String> {
        let length = self.get(LABEL_LENGTH) as usize;
        (1..=LONGEST_LABEL)
            .contains(&length)
            .then(|| self.read_text(LABEL, length))
            .and_then(|text| String::from_utf8(text).ok())
    }

    pub(super) fn set_label(&self, label: Option<&str>) {
        self.set(LABEL_LENGTH, 0);
        if let Some(label) = label.filter(|label| label.len() <= LONGEST_LABEL) {
            self.write_text(LABEL, label.as_bytes());
            self.set(LABEL_LENGTH, label.len() as u64);
        }
    }

    pub(super) fn watched_since(&self) -> Option<jiff::Timestamp> {
        let second = i64::try_from(self.get(WATCHED)).ok().filter(|second| *second != 0)?;
        jiff::Timestamp::from_second(second).ok()
    }

    pub(super) fn set_watched(&self, since: jiff::Timestamp) {
        self.set(WATCHED, since.as_second().max(1) as u64);
    }

    pub(super) fn epoch(&self) -> u8 {
        self.get(EPOCH).clamp(1, LAST_EPOCH) as u8
    }

    fn live(&self) -> &[AtomicU64] {
        let words = (pages(self.size()) * PAGE / 8) as usize;
        &self.memory.words()[PAGE as usize / 8..][..words]
    }

    fn pending(&self) -> &[AtomicU64] {
        &self.memory.words()[PAGE as usize / 8 + self.live().len()..]
    }

    fn extents(&self, words: &[AtomicU64], wanted: impl Fn(u8) -> bool) -> Extents {
        let mut found = Found::new(self.size());
        for (number, word) in words.iter().enumerate() {
            let word = word.load(SeqCst);
            if word != 0 {
                found.add(number, word, &wanted);
            }
        }
        found.extents
    }

    /// What was written and not yet taken.
    pub(super) fn peek(&self) -> Extents {
        self.extents(self.live(), |mark| mark != 0)
    }

    /// What was taken in a later epoch than that one.
    pub(super) fn pending_after(&self, epoch: u8) -> Extents {
        self.extents(self.pending(), |mark| mark > epoch || u64::from(mark) == LAST_EPOCH)
    }

    /// Takes all live marks: they are pending ones of this epoch, and the next one begins. One process at a time.
    pub(super) fn take(&self) -> Extents {
        let epoch = self.epoch();
        let mut found = Found::new(self.size());
        for (number, (live, pending)) in self.live().iter().zip(self.pending()).enumerate() {
            let mut word = live.load(SeqCst);
            while word != 0 {
                // Pending first: if we die between the two, the mark is in both.
                pending.store(with_epoch(pending.load(SeqCst), word, epoch), SeqCst);
                match live.compare_exchange(word, 0, SeqCst, SeqCst) {
                    Ok(_) => {
                        found.add(number, word, &|mark| mark != 0);
                        break;
                    }
                    Err(now) => word = now,
                }
            }
        }
        self.set(EPOCH, (u64::from(epoch) + 1).min(LAST_EPOCH));
        found.extents
    }

    /// Forgets the pending marks up to that epoch, and counts epochs from the beginning again.
    pub(super) fn forget_until(&self, epoch: u8) {
        for word in self.pending() {
            let before = word.load(SeqCst);
            if before != 0 {
                let kept = before.to_ne_bytes().map(|mark| u8::from(mark > epoch || u64::from(mark) == LAST_EPOCH));
                word.store(u64::from_ne_bytes(kept), SeqCst);
            }
        }
        self.set(EPOCH, 2);
    }
}

fn owner_word(process: platform::ProcessIdentity) -> u64 {
    u64::from(process.pid) << 40 | process.started & ((1 << 40) - 1)
}

/// The pending word, with this epoch where there are live marks.
fn with_epoch(pending: u64, live: u64, epoch: u8) -> u64 {
    let (mut marks, live) = (pending.to_ne_bytes(), live.to_ne_bytes());
    marks.iter_mut().zip(live).filter(|(_, live)| *live != 0).for_each(|(mark, _)| *mark = epoch);
    u64::from_ne_bytes(marks)
}

/// Marks as ranges of bytes.
struct Found {
    size: u64,
    bits: u32,
    extents: Extents,
}

impl Found {
    fn new(size: u64) -> Found {
        Found { size, bits: unit_bits(size), extents: Extents::new() }
    }

    fn add(&mut self, number: usize, word: u64, wanted: &impl Fn(u8) -> bool) {
        for (place, mark) in word.to_ne_bytes().into_iter().enumerate() {
            if mark != 0 && wanted(mark) {
                let start = (number as u64 * 8 + place as u64) << self.bits;
                self.extents.insert(start.min(self.size)..(start + (1 << self.bits)).min(self.size));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(size: u64) -> Option<Marks> {
        if platform::effective_uid() != 0 {
            return None;
        }
        let map = ArrayMap::create("marks", PAGE as u32, values(size)).unwrap();
        let identity = Identity { device: 7, sequence: 8, size, boot: "a-boot".to_owned() };
        let marks = Marks::create(&map, &identity).unwrap();
        assert_eq!(marks.identity(), identity);
        assert!(Marks::open(&map).unwrap().is_some());
        Some(marks)
    }

    fn write(marks: &Marks, unit: usize) {
        let mut word = marks.live()[unit / 8].load(SeqCst).to_ne_bytes();
        word[unit % 8] = 1;
        marks.live()[unit / 8].store(u64::from_ne_bytes(word), SeqCst);
    }

    #[test]
    fn large_disks_have_larger_units_and_no_more_of_them() {
        assert_eq!((unit_bits(1 << 30), units((1 << 30) + 1)), (16, (1 << 14) + 1));
        assert_eq!((unit_bits(1 << 42), unit_bits((1 << 42) + 1), unit_bits(1 << 50)), (16, 17, 24));
        assert!(units(1 << 50) <= MOST_UNITS);
    }

    #[test]
    fn a_mark_is_pending_until_an_image_has_it() {
        let Some(marks) = marks(100 << 20 | 5) else { return };
        let unit = |number: u64| number << 16..(number + 1) << 16;
        write(&marks, 3);
        write(&marks, 1600);
        assert_eq!(marks.peek(), marks.take());
        assert_eq!(marks.pending_after(0), Extents::from_iter([unit(3), 100 << 20..100 << 20 | 5]));
        write(&marks, 4);
        let second = marks.epoch();
        assert_eq!(marks.take(), Extents::from(unit(4)));
        write(&marks, 5);
        marks.take();
        marks.forget_until(second);
        assert_eq!(marks.pending_after(0), Extents::from(unit(5)));
        assert!(marks.peek().is_empty() && marks.take().is_empty());
    }

    #[test]
    fn more_epochs_than_a_byte_counts_lose_nothing() {
        let Some(marks) = marks(1 << 20) else { return };
        (0..300).for_each(|_| {
            marks.take();
        });
        write(&marks, 0);
        marks.take();
        marks.forget_until(254);
        assert_eq!(marks.pending_after(254).bytes(), 0, "renumbered to the first epoch");
        assert_eq!(marks.pending_after(0).bytes(), 1 << 16);
    }

    #[test]
    fn one_process_at_a_time_takes_marks() {
        let Some(marks) = marks(1 << 20) else { return };
        let us = platform::ProcessIdentity::of(std::process::id()).unwrap();
        let init = platform::ProcessIdentity::of(1).unwrap();
        marks.claim(init).unwrap();
        assert_eq!(marks.claim(us), Err(1));
        assert_eq!(marks.claim(init), Err(1));
        marks.release();
        marks.claim(us).unwrap();
        assert_eq!(marks.claim(init), Err(us.pid));
    }

    #[test]
    fn a_label_is_there_as_a_whole_or_not() {
        let Some(marks) = marks(1 << 20) else { return };
        assert_eq!(marks.label(), None);
        marks.set_label(Some("snapshot 1234567890"));
        assert_eq!(marks.label().as_deref(), Some("snapshot 1234567890"));
        marks.set_label(None);
        assert_eq!(marks.label(), None);
    }
}
