//! Reading extended attributes, access control lists among them.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;

/// Whose attributes.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// What lies at a path (or, in a thread that stepped into a directory, at a name); links are not followed.
    Path(&'a CStr),
}

impl<'a> Subject<'a> {
    /// An open file or directory.
    pub fn open(file: &'a impl AsFd) -> Subject<'a> {
        Subject::Open(file.as_fd())
    }
}

/// Reads attributes through buffers that are used again.
pub struct XattrReader {
    list: Vec<u8>,
    value: Vec<u8>,
}

/// The kernel's own limit for the list of names, and for one value.
const LIMIT: usize = 64 << 10;

impl Default for XattrReader {
    fn default() -> XattrReader {
        XattrReader { list: vec![0; LIMIT], value: vec![0; LIMIT] }
    }
}

impl XattrReader {
    /// Calls `each` with every attribute's name and value, in the order in which the system lists them. A value that
    /// cannot be read is handed on as an error. A file system without attributes has none.
    pub fn for_each(&mut self, subject: Subject<'_>, mut each: impl FnMut(&CStr, io::Result<&[u8]>)) -> io::Result<()> {
        let XattrReader { list, value } = self;
        let names = list_names(subject, list)?;
        for name in list[..names].split_inclusive(|byte| *byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            match read_value(subject, name, value) {
                Ok(length) => each(name, Ok(&value[..length])),
                Err(error) => each(name, Err(error.into())),
            }
        }
        Ok(())
    }
}

fn list_names(subject: Subject<'_>, into: &mut Vec<u8>) -> io::Result<usize> {
    let list = |into: &mut [u8]| match subject {
        Subject::Open(fd) => rustix::fs::flistxattr(fd, into),
        Subject::Path(path) => rustix::fs::llistxattr(path, into),
    };
    match grow_until_it_fits(into, list) {
        Err(Errno::NOTSUP | Errno::NODATA) => Ok(0),
        other => Ok(other?),
    }
}

fn read_value(subject: Subject<'_>, name: &CStr, into: &mut Vec<u8>) -> Result<usize, Errno> {
    grow_until_it_fits(into, |into| match subject {
        Subject::Open(fd) => rustix::fs::fgetxattr(fd, name, into),
        Subject::Path(path) => rustix::fs::lgetxattr(path, name, into),
    })
}

/// Some file systems know larger attributes than Linux's own.
const LARGEST: usize = 64 << 20;

fn grow_until_it_fits(into: &mut Vec<u8>, read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<usize, Errno> {
    loop {
        match read(into) {
            Err(Errno::RANGE) if into.len() < LARGEST => into.resize(into.len() * 4, 0),
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_attributes_has_none() {
        let file = tempfile::tempfile().unwrap();
        let mut seen = 0;
        XattrReader::default().for_each(Subject::open(&file), |_, _| seen += 1).unwrap();
        assert_eq!(seen, 0);
    }

    #[test]
    fn attributes_of_a_file_that_is_gone_are_an_error() {
        let path = c"/nonexistent/file";
        assert!(XattrReader::default().for_each(Subject::Path(path), |_, _| {}).is_err());
    }
}
