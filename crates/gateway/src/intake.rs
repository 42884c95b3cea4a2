//! A file that is being received: hashed while it comes, put where it has no name, and given its name only when the hash is
//! that name. It is durable and in the ledger before anybody is told that it is stored.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use backend::{Backend, FileKind, FileName, Id, IdHasher, Part, Upload};
use bytes::Bytes;
use http::StatusCode;

use crate::allowance::Reservation;
use crate::refusal::{Granted, Refusal};
use crate::visit::{Visit, too_long};
use crate::{Act, meter};

/// Files up to this length are collected in memory.
const SMALL: u64 = 1 << 20;

/// What is to come.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) file: FileName,
    /// As it was announced.
    pub(crate) length: Option<u64>,
    /// It may have so many bytes.
    pub(crate) limit: u64,
    /// Size of what is stored under that name already.
    pub(crate) stored: Option<u64>,
}

/// A file on its way.
pub(crate) struct Intake {
    expected: Expected,
    hasher: IdHasher,
    written: u64,
    place: Place,
    reservation: Reservation,
}

/// Where the bytes go before they have a name.
enum Place {
    /// Small files.
    Memory(Vec<u8>),
    /// The storage takes pieces.
    Upload(Box<dyn Upload>),
    /// A file of this machine, for storage that takes whole files only.
    Spool(File),
    /// Nowhere: the name is taken, and only the hash counts.
    Nowhere,
}

impl Intake {
    /// Prepares for a file; `visit` is let to add it.
    pub(crate) fn begin(visit: &Visit, expected: Expected, reservation: Reservation) -> Granted<Intake> {
        let length = expected.length.unwrap_or(expected.limit);
        if expected.file.kind == FileKind::Pack && expected.stored.is_none() && !(visit.gateway.options.room)(length) {
            return Err(no_room());
        }
        let place = Place::choose(visit, &expected)?;
        Ok(Intake { expected, hasher: IdHasher::new(), written: 0, place, reservation })
    }

    /// Takes the next bytes.
    pub(crate) fn add(&mut self, pieces: &[Bytes]) -> Granted<()> {
        for piece in pieces {
            self.written += piece.len() as u64;
            if self.written > self.expected.limit {
                return Err(too_long(self.expected.file.kind, self.expected.limit));
            }
            self.hasher.update(piece);
            self.place.add(piece)?;
        }
        Ok(())
    }

    /// Judges what came and stores it.
    pub(crate) fn finish(self, visit: &Visit) -> Granted<()> {
        let Intake { expected: Expected { file, length, stored, .. }, hasher, written, place, mut reservation } = self;
        if length.is_some_and(|length| length != written) {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("{written} bytes came, others were announced")));
        }
        let sha256 = hasher.finish();
        let begin = Instant::now();
        if file.kind != FileKind::Config && sha256 != file.id {
            return Err(match stored {
                Some(_) => Refusal::exists(),
                None => Refusal::new(StatusCode::BAD_REQUEST, format!("the bytes have the SHA-256 {sha256}")),
            });
        }
        match stored {
            Some(size) => place.compare(visit, &file, size, written)?,
            None => place.publish(visit, &file)?,
        }
        visit.record(Act::Received, &file, written, sha256, &visit.by)?;
        reservation.shrink(written);
        if stored.is_none() {
            reservation.stored();
        }
        meter::received(file.kind, written, begin.elapsed());
        Ok(())
    }
}

impl Place {
    fn choose(visit: &Visit, expected: &Expected) -> Granted<Place> {
        let Expected { file, length, stored, .. } = expected;
        if file.kind == FileKind::Config || (stored.is_none() && length.is_some_and(|length| length <= SMALL)) {
            return Ok(Place::Memory(Vec::new()));
        }
        if stored.is_some() {
            return Ok(Place::Nowhere);
        }
        match visit.backend.upload(file, *length)? {
            Some(upload) => Ok(Place::Upload(upload)),
            None => spool_file(&visit.gateway.options.spool).map(Place::Spool).map_err(|error| spool_failed(&error)),
        }
    }

    fn add(&mut self, piece: &[u8]) -> Granted<()> {
        match self {
            Place::Memory(bytes) => bytes.extend_from_slice(piece),
            Place::Upload(upload) => upload.add(piece)?,
            Place::Spool(file) => file.write_all(piece).map_err(|error| spool_failed(&error))?,
            Place::Nowhere => {}
        }
        Ok(())
    }

    fn publish(self, visit: &Visit, file: &FileName) -> Granted<()> {
        match self {
            Place::Memory(bytes) => visit.backend.write(file, &bytes)?,
            Place::Upload(upload) => upload.publish()?,
            Place::Spool(spooled) => send_whole(visit, file, spooled)?,
            Place::Nowhere => return Err(Refusal::exists()),
        }
        Ok(())
    }

    /// The bytes have the right hash, and something has that name already: is it whole?
    fn compare(self, visit: &Visit, file: &FileName, stored: u64, written: u64) -> Granted<()> {
        if let Place::Memory(bytes) = self {
            let mut content = Vec::new();
            visit.backend.read(file, Part::Whole, &mut content)?;
            return if content == bytes { Ok(()) } else { Err(Refusal::exists()) };
        }
        let damaged = || {
            let cause = backend::Error::short(file, written, stored);
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the file of that name is stored damaged").because(&cause)
        };
        if stored == written { Ok(()) } else { Err(damaged()) }
    }
}

fn send_whole(visit: &Visit, file: &FileName, mut spooled: File) -> Granted<()> {
    let mut read = || -> std::io::Result<(u64, Vec<u8>)> {
        spooled.rewind()?;
        let length = spooled.metadata()?.len();
        Ok((length, Vec::new()))
    };
    let (length, mut bytes) = read().map_err(|error| spool_failed(&error))?;
    let _pass = visit.gateway.turnstile.enter(length);
    bytes.reserve_exact(length as usize);
    spooled.read_to_end(&mut bytes).map_err(|error| spool_failed(&error))?;
    // What was spooled is our own disk's word: it must still be what was hashed.
    if file.kind != FileKind::Config && Id::of(&bytes) != file.id {
        return Err(Refusal::unavailable("the gateway's own disk changed what it was given"));
    }
    let backend: &Arc<dyn Backend> = &visit.backend;
    Ok(backend.write(file, &bytes)?)
}

/// A file that has no name any more.
fn spool_file(directory: &Path) -> std::io::Result<File> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("incoming-{:016x}", rand::random::<u64>()));
    let file = fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// What is left of the disk is for whoever else works on it: a database that cannot write loses more than an upload.
fn no_room() -> Refusal {
    Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "the gateway's storage is nearly full, and the rest is kept free")
}

fn spool_failed(error: &std::io::Error) -> Refusal {
    let refusal = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "the gateway has no room for files on their way")
        }
        _ => Refusal::unavailable("the gateway cannot keep files on their way"),
    };
    refusal.because(error)
}
