//! Reading a volume's own records: in pages that are kept for a while, every offset checked, every failure named.

use std::cell::RefCell;
use std::io;

use crate::ReadAt;

/// Bytes read at once where less is asked for; records of a filesystem lie close together.
const PAGE: u64 = 64 << 10;

/// Pages kept: 2 MiB.
const PAGES: u64 = 32;

/// The largest record that any parser may ask for.
const LARGEST: u64 = 8 << 20;

/// Why a volume's records cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Damage {
    #[error("cannot read {what} at byte {offset}: {source}")]
    Read { what: &'static str, offset: u64, source: io::Error },

    #[error("{what} would be at byte {offset}, beyond the end")]
    Beyond { what: &'static str, offset: u64 },

    #[error("{0}")]
    Wrong(String),
}

/// Says what is wrong.
pub(crate) fn wrong<T>(what: impl Into<String>) -> Result<T, Damage> {
    Err(Damage::Wrong(what.into()))
}

type Page = Option<(u64, Vec<u8>)>;

/// A volume that is being examined.
pub(crate) struct Source<'a> {
    volume: Box<dyn ReadAt + 'a>,
    pages: RefCell<Vec<Page>>,
}

impl<'a> Source<'a> {
    pub(crate) fn new(volume: impl ReadAt + 'a) -> Source<'a> {
        Source { volume: Box::new(volume), pages: RefCell::new(vec![None; PAGES as usize]) }
    }

    /// Bytes in all.
    pub(crate) fn size(&self) -> u64 {
        self.volume.size()
    }

    /// A record's bytes.
    pub(crate) fn record(&self, what: &'static str, offset: u64, size: u64) -> Result<Vec<u8>, Damage> {
        if size > LARGEST {
            return wrong(format!("{what} says that it has {size} bytes"));
        }
        let mut bytes = Vec::new();
        self.fill(what, offset, size as usize, &mut bytes)?;
        Ok(bytes)
    }

    /// As [`Source::record`], into a buffer that can be used again.
    pub(crate) fn fill(&self, what: &'static str, offset: u64, size: usize, into: &mut Vec<u8>) -> Result<(), Damage> {
        if offset.checked_add(size as u64).is_none_or(|end| end > self.size()) {
            return Err(Damage::Beyond { what, offset });
        }
        into.clear();
        into.resize(size, 0);
        self.read(offset, into).map_err(|source| Damage::Read { what, offset, source })
    }

    /// As [`Source::fill`], into room that is there.
    pub(crate) fn read_into(&self, what: &'static str, offset: u64, into: &mut [u8]) -> Result<(), Damage> {
        if offset.checked_add(into.len() as u64).is_none_or(|end| end > self.size()) {
            return Err(Damage::Beyond { what, offset });
        }
        self.read(offset, into).map_err(|source| Damage::Read { what, offset, source })
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        if into.len() as u64 >= PAGE {
            return self.volume.read_at(offset, into);
        }
        let mut done = 0;
        while done < into.len() {
            let at = offset + done as u64;
            let length = (PAGE - at % PAGE).min((into.len() - done) as u64) as usize;
            self.read_in_page(at, &mut into[done..done + length])?;
            done += length;
        }
        Ok(())
    }

    fn read_in_page(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let (number, within) = (offset / PAGE, (offset % PAGE) as usize);
        let mut pages = self.pages.borrow_mut();
        let slot = &mut pages[(number % PAGES) as usize];
        if slot.as_ref().is_none_or(|(kept, _)| *kept != number) {
            let size = PAGE.min(self.size() - number * PAGE) as usize;
            let mut page = slot.take().map(|(_, page)| page).unwrap_or_default();
            page.resize(size, 0);
            // A bad sector elsewhere in the page must not hide this record.
            if self.volume.read_at(number * PAGE, &mut page).is_err() {
                return self.volume.read_at(offset, into);
            }
            *slot = Some((number, page));
        }
        if let Some((_, page)) = slot {
            into.copy_from_slice(&page[within..within + into.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_across_pages_and_at_the_end_are_whole() {
        let disk: Vec<u8> = (0..PAGE * 2 + 700).map(|byte| (byte * 7 / 3) as u8).collect();
        let source = Source::new(&disk);
        for (offset, size) in [(0, 512), (PAGE - 100, 200), (PAGE * 2 + 200, 500), (PAGE - 1, PAGE + 2)] {
            let expected = &disk[offset as usize..(offset + size) as usize];
            assert_eq!(source.record("a record", offset, size).unwrap(), expected);
        }
        assert!(source.record("a record", PAGE * 2 + 201, 500).is_err());
        assert!(source.record("a record", u64::MAX, 2).is_err() && source.record("a record", 0, 1 << 40).is_err());
    }
}
