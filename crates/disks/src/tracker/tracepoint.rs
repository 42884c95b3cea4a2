//! The kernel's tracepoint of ended requests: its number, and where its fields are, which differs between kernels.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::TrackerError;

/// Where tracefs may be mounted.
const FOLDERS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

const EVENT: &str = "events/block/block_rq_complete";

/// Offsets of what is wanted, in bytes from the event's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tracepoint {
    pub(super) id: u64,
    /// 4 bytes.
    pub(super) device: i16,
    /// 8 bytes.
    pub(super) sector: i16,
    /// 4 bytes.
    pub(super) sectors: i16,
    /// Letters; the first says what was done.
    pub(super) letters: i16,
}

impl Tracepoint {
    /// Reads where it is; mounts tracefs if nobody has.
    pub(super) fn find() -> Result<Tracepoint, TrackerError> {
        let folder = folder().map_err(TrackerError::NoTracing)?;
        let read = |name: &str| fs::read_to_string(folder.join(name)).map_err(TrackerError::NoTracing);
        let (id, format) = (read("id")?, read("format")?);
        Tracepoint::parse(&id, &format).ok_or(TrackerError::UnknownFormat)
    }

    fn parse(id: &str, format: &str) -> Option<Tracepoint> {
        Some(Tracepoint {
            id: id.trim().parse().ok()?,
            device: field(format, "dev", 4)?,
            sector: field(format, "sector", 8)?,
            sectors: field(format, "nr_sector", 4)?,
            letters: field(format, "rwbs", 1)?,
        })
    }
}

fn folder() -> io::Result<PathBuf> {
    let found = || FOLDERS.into_iter().map(|folder| Path::new(folder).join(EVENT)).find(|event| event.is_dir());
    match found() {
        Some(event) => Ok(event),
        None => {
            platform::mount_special("tracefs", Path::new(FOLDERS[0]))?;
            found().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no tracepoint block_rq_complete"))
        }
    }
}

/// The offset of a field of that name, of that size or (for letters) more, aligned as a load needs it.
fn field(format: &str, name: &str, size: i16) -> Option<i16> {
    let line = format.lines().find(|line| declared(line) == Some(name))?;
    let number = |key: &str| {
        let value = line.split(';').find_map(|part| part.trim().strip_prefix(key))?;
        value.parse::<i16>().ok()
    };
    let (offset, its_size) = (number("offset:")?, number("size:")?);
    let fits = if size == 1 { its_size >= 1 } else { its_size == size };
    (fits && offset >= 0 && offset % size == 0).then_some(offset)
}

/// The name that a line such as `field:char rwbs[8]; …` declares.
fn declared(line: &str) -> Option<&str> {
    let declaration = line.trim().strip_prefix("field:")?.split(';').next()?;
    let last = declaration.rsplit(' ').next()?;
    last.split('[').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Linux 5.10 has it.
    const OLDER: &str = "
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;

	field:dev_t dev;	offset:8;	size:4;	signed:0;
	field:sector_t sector;	offset:16;	size:8;	signed:0;
	field:unsigned int nr_sector;	offset:24;	size:4;	signed:0;
	field:int error;	offset:28;	size:4;	signed:1;
	field:char rwbs[8];	offset:32;	size:8;	signed:1;
	field:__data_loc char[] cmd;	offset:40;	size:4;	signed:1;
";

    #[test]
    fn offsets_are_those_of_the_format_file() {
        let found = Tracepoint::parse("1234\n", OLDER).unwrap();
        assert_eq!(found, Tracepoint { id: 1234, device: 8, sector: 16, sectors: 24, letters: 32 });
        let newer = OLDER.replace("rwbs[8];	offset:32", "rwbs[10];	offset:34");
        assert_eq!(Tracepoint::parse("1", &newer).unwrap().letters, 34);
    }

    #[test]
    fn a_format_that_is_not_understood_is_not_guessed() {
        for (from, to) in [("sector_t sector;", "sector_t where;"), ("size:8", "size:4"), ("offset:24", "offset:25")] {
            assert_eq!(Tracepoint::parse("1", &OLDER.replacen(from, to, 1)), None, "{from} -> {to}");
        }
    }
}
