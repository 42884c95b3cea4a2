//! The first bytes of a file, as text if they are.

use api::wire::keeper::Answer;
use disks::files::FilesError;
use repo::node::{Node, NodeKind};
use repo::{BlobHandle, BlobKind, Repository};

use super::open_snapshot;
use super::spot::{self, Spot};
use crate::work::Site;
use crate::{Error, Result};

/// Bytes that are looked at.
const FIRST: usize = 64 << 10;

pub(super) fn preview(site: &Site, snapshot: &str, path: &str) -> Result<Answer> {
    let (repo, id, snapshot) = open_snapshot(site, snapshot)?;
    let no_file = || Error::Refused(format!("{path} is no file"));
    let (bytes, size) = match spot::find(&repo, &snapshot, path)? {
        Spot::Node(node) if node.kind == NodeKind::File => (first_of(&repo, &node)?, node.size),
        Spot::InDisk(place) => place.with_entry(site, &repo, (&id, &snapshot), |filesystem, entry| {
            let mut bytes = Vec::new();
            let read = filesystem.read(entry, &mut |piece| {
                bytes.extend_from_slice(&piece[..piece.len().min(FIRST - bytes.len())]);
                if bytes.len() == FIRST { Err(FilesError::Stopped) } else { Ok(()) }
            });
            match read {
                Ok(()) | Err(FilesError::Stopped) => Ok((bytes, entry.size)),
                Err(error) => Err(error.into()),
            }
        })?,
        _ => return Err(no_file()),
    };
    Ok(Answer::Preview { text: text(bytes, size), size })
}

fn first_of(repo: &Repository, node: &Node) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for id in node.content.iter().flatten() {
        let blob = repo.read_blob(&BlobHandle { kind: BlobKind::Data, id: *id })?;
        bytes.extend_from_slice(&blob[..blob.len().min(FIRST - bytes.len())]);
        if bytes.len() == FIRST {
            break;
        }
    }
    Ok(bytes)
}

/// Text has no zero bytes and is UTF-8; a character that the end cuts in two is left out.
fn text(mut bytes: Vec<u8>, size: u64) -> Option<String> {
    if bytes.contains(&0) {
        return None;
    }
    if let Err(error) = std::str::from_utf8(&bytes) {
        let is_cut = error.error_len().is_none() && size > bytes.len() as u64;
        if !is_cut {
            return None;
        }
        bytes.truncate(error.valid_up_to());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_told_from_other_bytes_even_where_the_end_cuts_a_letter() {
        assert_eq!(text(b"hello".to_vec(), 5).as_deref(), Some("hello"));
        let cut = "grün".as_bytes()[..3].to_vec();
        assert_eq!(text(cut.clone(), 5).as_deref(), Some("gr"));
        assert_eq!(text(cut, 3), None, "half a letter at the end of the file is no text");
        assert_eq!(text(b"a\0b".to_vec(), 3), None);
        assert_eq!(text(vec![0xff, 0xfe, b'a'], 3), None);
    }
}
