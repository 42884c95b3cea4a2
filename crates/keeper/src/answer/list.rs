//! What is in a folder, a page at a time, in order of the names.

use api::wire::keeper::{Answer, Entry, EntryKind};
use disks::files;
use disks::image::StoredImages;
use jiff::Timestamp;
use platform::FileType;
use repo::node::{Node, NodeKind};
use repo::{Id, Repository};

use super::open_snapshot;
use super::spot::{self, IMAGE, Spot};
use crate::work::Site;
use crate::{Error, Result};

/// Entries of a page.
const PAGE: usize = 1_000;

/// Bytes of the names of a page, so that a message stays below what is heard.
const NAMES: usize = 4 << 20;

pub(super) fn list(site: &Site, snapshot: &str, path: &str, after: Option<&str>) -> Result<Answer> {
    let (repo, id, snapshot) = open_snapshot(site, snapshot)?;
    let entries = match spot::find(&repo, &snapshot, path)? {
        Spot::Folder(tree) => of_tree(&repo, &tree, tree == snapshot.tree)?,
        Spot::Node(_) => return Err(Error::Refused(format!("{path} is no folder"))),
        Spot::InDisk(place) if place.partition.is_none() => {
            place.volumes(site, &repo, (&id, &snapshot))?.iter().map(volume).collect()
        }
        Spot::InDisk(place) => {
            place.with_entry(site, &repo, (&id, &snapshot), |filesystem, folder| match folder.is_directory() {
                true => Ok(files::list(filesystem, folder)?.iter().map(in_image).collect()),
                false => Err(Error::Refused(format!("{path} is no folder"))),
            })?
        }
    };
    Ok(page(entries, after))
}

fn page(entries: Vec<Entry>, after: Option<&str>) -> Answer {
    let from = match after {
        None => 0,
        Some(after) => match entries.iter().position(|entry| entry.name == after) {
            Some(at) => at + 1,
            None => entries.iter().position(|entry| entry.name.as_str() > after).unwrap_or(entries.len()),
        },
    };
    let (mut taken, mut names) = (Vec::new(), 0);
    let mut rest = entries.into_iter().skip(from).peekable();
    while let Some(entry) = rest.next_if(|_| taken.len() < PAGE && names < NAMES) {
        names += entry.name.len();
        taken.push(entry);
    }
    Answer::Entries { more: rest.peek().is_some(), entries: taken }
}

fn of_tree(repo: &Repository, tree: &Id, is_root: bool) -> Result<Vec<Entry>> {
    let holds_disks = is_root && StoredImages::is_image(repo, tree)?;
    Ok(repo.read_tree(tree)?.nodes.iter().map(|node| entry(node, holds_disks)).collect())
}

fn entry(node: &Node, holds_disks: bool) -> Entry {
    let name = node.display_name().into_owned();
    let kind = match node.kind {
        NodeKind::Dir if holds_disks && name.ends_with(IMAGE) => EntryKind::Image,
        NodeKind::Dir => EntryKind::Folder,
        NodeKind::File => EntryKind::File,
        _ => EntryKind::Other,
    };
    Entry { name, kind, size: node.size, changed: time(node.mtime.seconds, node.mtime.nanoseconds) }
}

fn volume(volume: &files::Volume) -> Entry {
    Entry { name: volume.place().to_string(), kind: EntryKind::Folder, size: volume.size, changed: None }
}

fn in_image(entry: &files::Entry) -> Entry {
    let kind = match entry.file_type {
        FileType::Directory => EntryKind::Folder,
        FileType::Regular => EntryKind::File,
        _ => EntryKind::Other,
    };
    let name = String::from_utf8_lossy(&entry.name).into_owned();
    Entry { name, kind, size: entry.size, changed: time(entry.modified.seconds, entry.modified.nanoseconds) }
}

fn time(seconds: i64, nanoseconds: u32) -> Option<Timestamp> {
    Timestamp::new(seconds, i32::try_from(nanoseconds).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<Entry> {
        let entry = |number| Entry { name: format!("{number:05}"), kind: EntryKind::File, size: 0, changed: None };
        (0..count).map(entry).collect()
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let (mut after, mut seen): (Option<String>, Vec<String>) = (None, Vec::new());
        loop {
            let Answer::Entries { entries, more } = page(names(2_345), after.as_deref()) else { panic!() };
            seen.extend(entries.into_iter().map(|entry| entry.name));
            after = seen.last().cloned();
            if !more {
                break;
            }
        }
        assert_eq!(seen, names(2_345).into_iter().map(|entry| entry.name).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_after_a_name_that_is_gone_goes_on_behind_it() {
        let Answer::Entries { entries, .. } = page(names(10), Some("00004x")) else { panic!() };
        assert_eq!(entries[0].name, "00005");
    }
}
