//! Extended attributes of what is restored. POSIX ACLs are attributes, too.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;

use super::Directory;

/// A name and its value.
pub type Attribute<'a> = (&'a [u8], &'a [u8]);

/// Decides about an attribute by its name.
pub type Decide<'a> = &'a dyn Fn(&[u8]) -> bool;

/// The attributes that a file is to have.
#[derive(Clone, Copy)]
pub struct Attributes<'a> {
    /// Names and values.
    pub wanted: &'a [Attribute<'a>],
    /// Which other attributes may be taken away; `None` takes none away.
    pub remove: Option<Decide<'a>>,
}

/// Names and values of the attributes of `name`; a link's own. Empty where the file system has none.
pub fn attributes_at(directory: &Directory, name: &[u8]) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let path = path_at(directory, name);
    let names = listed(|buffer| fs::llistxattr(&path[..], buffer))?;
    let mut all = Vec::new();
    for attribute in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match sized(|buffer| fs::lgetxattr(&path[..], attribute, buffer)) {
            Ok(value) => all.push((attribute.to_vec(), value)),
            Err(Errno::NODATA) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

/// Gives an open file exactly these attributes.
pub(super) fn set(file: &impl AsFd, attributes: &Attributes<'_>) -> io::Result<()> {
    let set = |name: &[u8], value: &[u8]| fs::fsetxattr(file, name, value, XattrFlags::empty());
    let remove = |name: &[u8]| fs::fremovexattr(file, name);
    apply(attributes, set, remove, |buffer| fs::flistxattr(file, buffer))
}

/// Gives what stands under `name` exactly these attributes; a link its own.
pub(super) fn set_at(directory: &Directory, name: &[u8], attributes: &Attributes<'_>) -> io::Result<()> {
    let path = path_at(directory, name);
    let set = |name: &[u8], value: &[u8]| fs::lsetxattr(&path[..], name, value, XattrFlags::empty());
    let remove = |name: &[u8]| fs::lremovexattr(&path[..], name);
    apply(attributes, set, remove, |buffer| fs::llistxattr(&path[..], buffer))
}

fn apply(
    attributes: &Attributes<'_>,
    set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>,
    remove: impl Fn(&[u8]) -> Result<(), Errno>,
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> io::Result<()> {
    for (name, value) in attributes.wanted {
        tolerate(name, set(name, value)).map_err(|error| named(name, error))?;
    }
    let Some(may_remove) = attributes.remove else { return Ok(()) };
    let present = listed(list)?;
    for name in present.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let wanted = attributes.wanted.iter().any(|(wanted, _)| wanted == &name);
        // Labels are the system's: it gives every file one and takes none away.
        if !wanted && name != b"security.selinux" && may_remove(name) {
            tolerate(name, remove(name)).map_err(|error| named(name, error))?;
        }
    }
    Ok(())
}

/// File systems without attributes lose them, as restic has it; and only root may set some, as with owners.
fn tolerate(name: &[u8], result: Result<(), Errno>) -> Result<(), Errno> {
    let privileged = name.starts_with(b"security.") || name.starts_with(b"trusted.");
    match result {
        Err(Errno::OPNOTSUPP | Errno::NODATA) => Ok(()),
        Err(Errno::PERM) if privileged && !rustix::process::geteuid().is_root() => Ok(()),
        result => result,
    }
}

fn named(name: &[u8], error: Errno) -> io::Error {
    let cause = io::Error::from(error);
    io::Error::new(cause.kind(), format!("attribute {}: {cause}", String::from_utf8_lossy(name)))
}

/// A list of attribute names; empty where the file system has none.
fn listed(list: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> io::Result<Vec<u8>> {
    match sized(list) {
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        result => Ok(result?),
    }
}

/// Calls with a buffer that grows until the answer fits. (An empty one would fit any answer: that is a question of size.)
fn sized(call: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 1 << 10];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < LARGEST => buffer.resize(buffer.len() * 4, 0),
            Err(error) => return Err(error),
        }
    }
}

/// Some file systems know larger attributes than Linux's own.
const LARGEST: usize = 64 << 20;

/// The way to an entry for calls that know only paths: through the open directory, so that nothing on it can be a link.
fn path_at(directory: &Directory, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}

/// The way to an open file for calls that know only paths.
pub(super) fn proc_path(file: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
