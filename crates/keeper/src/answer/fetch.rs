//! A download: a file's bytes, or a folder as a tar archive, piece by piece as fast as the connection takes them.

use std::io::{self, Write};

use api::wire::keeper::{Answer, Kept};
use disks::files::{Entry, FilesError, Filesystem};
use files::dump::{self, DumpError, Format};
use platform::FileType;
use repo::node::{Node, NodeKind};
use repo::{BlobHandle, BlobKind, Repository};

use super::archive::Archive;
use super::spot::{self, Spot};
use super::{Asker, PIECE, open_snapshot};
use crate::sites::Sites;
use crate::{Error, Result};

pub(super) fn fetch(sites: &Sites, machine: &Kept, snapshot: &str, path: &str, asker: &Asker) -> Result<()> {
    let site = sites.site(machine, asker.stop.clone())?;
    let (repo, id, snapshot) = open_snapshot(&site, snapshot)?;
    let name = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or(&machine.name).to_owned();
    match spot::find(&repo, &snapshot, path)? {
        Spot::Folder(tree) => {
            let mut pieces = begin(asker, format!("{name}.tar"), None)?;
            dumped(dump::folder(&repo, &tree, b"/", Format::Tar, &mut pieces))?;
            pieces.end()
        }
        Spot::Node(node) if node.kind == NodeKind::File => {
            let mut pieces = begin(asker, name, Some(size(&repo, &node)?))?;
            dumped(dump::file(&repo, &node, &mut pieces))?;
            pieces.end()
        }
        Spot::Node(_) => Err(Error::Refused(format!("{path} is neither a file nor a folder"))),
        Spot::InDisk(place) => place.with_entry(&site, &repo, (&id, &snapshot), |filesystem, entry| {
            let mut pieces = match entry.is_directory() {
                true => begin(asker, format!("{name}.tar"), None)?,
                false => begin(asker, name, Some(entry.size))?,
            };
            in_image(filesystem, entry, &mut pieces)?;
            pieces.end()
        }),
    }
}

/// Bytes that a file's blobs have: what will be sent, whatever its node claims.
fn size(repo: &Repository, node: &Node) -> Result<u64> {
    let index = repo.index()?;
    let lengths = node.content.iter().flatten().map(|id| {
        let blob = BlobHandle { kind: BlobKind::Data, id: *id };
        index.find(&blob).map(|place| u64::from(place.plain_length())).ok_or(repo::Error::MissingBlob(blob))
    });
    Ok(lengths.sum::<std::result::Result<u64, _>>()?)
}

fn in_image(filesystem: &dyn Filesystem, entry: &Entry, pieces: &mut Pieces<'_>) -> Result<()> {
    match entry.file_type {
        FileType::Directory => Archive::new(filesystem, pieces).folder(entry),
        FileType::Regular => {
            let read = filesystem.read(entry, &mut |piece| pieces.write_all(piece).map_err(|_| FilesError::Stopped));
            read.map_err(|error| if matches!(error, FilesError::Stopped) { Error::Cancelled } else { error.into() })
        }
        _ => Err(Error::Refused("it is neither a file nor a folder".into())),
    }
}

fn begin(asker: &Asker, name: String, size: Option<u64>) -> Result<Pieces<'_>> {
    asker.say(Ok(Answer::Fetching { name, size }))?;
    Ok(Pieces { asker, buffer: Vec::with_capacity(PIECE) })
}

/// Cuts a stream into pieces and sends them.
pub(super) struct Pieces<'a> {
    asker: &'a Asker,
    buffer: Vec<u8>,
}

impl Pieces<'_> {
    /// All was written.
    fn end(mut self) -> Result<()> {
        self.send()?;
        self.asker.say(Ok(Answer::Fetched))
    }

    fn send(&mut self) -> Result<()> {
        if !self.buffer.is_empty() {
            self.asker.piece(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// What kept a stream from its end. Output fails when nobody reads any more.
fn dumped(outcome: std::result::Result<(), DumpError>) -> Result<()> {
    outcome.map_err(|error| match error {
        DumpError::Output(_) => Error::Cancelled,
        DumpError::Repository(error) => error.into(),
        error => Error::Refused(error.to_string()),
    })
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == PIECE {
            self.send().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
