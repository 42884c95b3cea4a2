//! Files and folders of a snapshot as a stream: a file as it is, a folder as tar or zip.
//!
//! Everything is written in order, without going back, so a pipe will do.

use std::io::{self, Write};

use backend::Id;
use repo::node::Node;
use repo::{BlobHandle, BlobKind, Repository};

use crate::visit::{Descend, Visit, visit};

mod tar;
mod zip;

/// The form of a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// POSIX tar with extended headers: all names, times, attributes.
    #[default]
    Tar,
    /// zip: files, directories and links with their modes; names that are no text are replaced.
    Zip,
}

/// A stream that could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] repo::Error),
    /// The stream cannot be written.
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// Something has no form in this format.
    #[error("cannot put {path} into the archive: {reason}")]
    Form {
        /// Path.
        path: String,
        /// Why.
        reason: String,
    },
}

/// Writes a file's content.
pub fn file(repo: &Repository, node: &Node, out: &mut dyn Write) -> Result<(), DumpError> {
    content(repo, node, out)?;
    Ok(out.flush()?)
}

/// Writes what is below the tree `tree` as an archive, with names as if it were at the absolute path `path`.
pub fn folder(repo: &Repository, tree: &Id, path: &[u8], format: Format, out: &mut dyn Write) -> Result<(), DumpError> {
    match format {
        Format::Tar => {
            let mut archive = tar::Writer::new(out);
            each(repo, tree, path, &mut |path, node| archive.node(repo, path, node))?;
            archive.finish()
        }
        Format::Zip => {
            let mut archive = zip::Writer::new(out);
            each(repo, tree, path, &mut |path, node| archive.node(repo, path, node))?;
            archive.finish()
        }
    }
}

/// Puts a node, by relative path, into an archive.
type Put<'p> = &'p mut dyn FnMut(&[u8], &Node) -> Result<(), DumpError>;

fn each(repo: &Repository, tree: &Id, path: &[u8], node: Put<'_>) -> Result<(), DumpError> {
    visit(repo, tree, path, &mut |came_to| match came_to {
        Visit::Node { path, node: found, .. } => {
            node(path.strip_prefix(b"/").unwrap_or(path), found)?;
            Ok(Descend::Into)
        }
        Visit::Leave { .. } => Ok(Descend::Past),
        Visit::Unreadable { error, .. } => Err(error.into()),
    })
}

/// Bytes that a file's blobs have, which is what is written, whatever the node claims.
fn content_size(repo: &Repository, node: &Node) -> Result<u64, DumpError> {
    let mut size: u64 = 0;
    for blob in blobs(node) {
        let location = repo.index()?.find(&blob).ok_or(repo::Error::MissingBlob(blob))?;
        size = size.saturating_add(location.plain_length().into());
    }
    Ok(size)
}

fn blobs(node: &Node) -> impl Iterator<Item = BlobHandle> + '_ {
    node.content.iter().flatten().map(|id| BlobHandle { kind: BlobKind::Data, id: *id })
}

/// How many blobs are fetched ahead.
const AHEAD: usize = 4;

/// Writes a file's blobs in order; the next ones are fetched while one is written.
fn content(repo: &Repository, node: &Node, out: &mut dyn Write) -> Result<(), DumpError> {
    let blobs: Vec<BlobHandle> = blobs(node).collect();
    if blobs.len() < 2 {
        return blobs.iter().try_for_each(|blob| Ok(out.write_all(&repo.read_blob(blob)?)?));
    }
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..AHEAD.min(blobs.len()))
            .map(|lane| {
                let (send, receive) = crossbeam_channel::bounded(0);
                let blobs = &blobs;
                scope.spawn(move || {
                    // The receiver goes away when the writer failed; then nobody needs the rest.
                    blobs
                        .iter()
                        .skip(lane)
                        .step_by(AHEAD)
                        .map(|blob| repo.read_blob(blob))
                        .all(|blob| send.send(blob).is_ok())
                });
                receive
            })
            .collect();
        for number in 0..blobs.len() {
            repo.cancel().check()?;
            let blob = lanes[number % AHEAD].recv().map_err(|_| repo::Error::Cancelled)?;
            out.write_all(&blob?)?;
        }
        Ok(())
    })
}
