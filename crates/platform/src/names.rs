//! The names in a directory: one allocation for all of them, in ascending order of their bytes.

use std::ffi::CStr;
use std::io;

/// Names in ascending order of their bytes, without `.` and `..`.
#[derive(Clone, Debug, Default)]
pub struct NameList {
    /// Names, each with a final NUL.
    bytes: Vec<u8>,
    spans: Vec<(u32, u16)>,
}

impl NameList {
    /// How many names there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Name number `at`, as system calls take it.
    ///
    /// # Panics
    /// If there is no such name.
    pub fn get(&self, at: usize) -> &CStr {
        let (start, length) = self.spans[at];
        let name = &self.bytes[start as usize..start as usize + usize::from(length) + 1];
        CStr::from_bytes_with_nul(name).expect("names hold no NUL")
    }

    /// Name number `at`.
    ///
    /// # Panics
    /// If there is no such name.
    pub fn name(&self, at: usize) -> &[u8] {
        let (start, length) = self.spans[at];
        &self.bytes[start as usize..start as usize + usize::from(length)]
    }

    /// Finds a name.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        self.spans.binary_search_by(|span| self.at(*span).cmp(name)).ok()
    }

    /// All names.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|span| self.at(*span))
    }

    fn at(&self, (start, length): (u32, u16)) -> &[u8] {
        &self.bytes[start as usize..start as usize + usize::from(length)]
    }

    pub(crate) fn push(&mut self, name: &CStr) -> io::Result<()> {
        let bytes = name.to_bytes();
        if matches!(bytes, b"." | b"..") {
            return Ok(());
        }
        let start = u32::try_from(self.bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let length = u16::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidFilename))?;
        self.bytes.extend_from_slice(name.to_bytes_with_nul());
        self.spans.push((start, length));
        Ok(())
    }

    pub(crate) fn sort(&mut self) {
        let NameList { bytes, spans } = self;
        let at = |(start, length): (u32, u16)| &bytes[start as usize..start as usize + usize::from(length)];
        spans.sort_unstable_by(|a, b| at(*a).cmp(at(*b)));
        // A directory that is changed while it is read may name an entry twice.
        spans.dedup_by(|a, b| at(*a) == at(*b));
    }
}
