//! A folder of a snapshot, opened: what is in it, each with a look, a download and a way back to where it was.

use api::wire::keeper::{Entry, EntryKind};
use fleet::{MachineId, size_in_words};

use super::{below, list_of, query};
use crate::app::App;
use crate::problem::Problem;

/// Folders that are passed on the way to the first one with a choice.
const DEEPEST: usize = 32;

/// What is in a folder.
pub(super) struct Opened {
    /// The snapshot's name.
    pub(super) snapshot: String,
    /// The folders above and this one, each with its address.
    pub(super) crumbs: Vec<(String, String)>,
    /// What is in it, as far as a page reaches.
    pub(super) entries: Vec<EntryLine>,
    /// Where the next page is.
    pub(super) more: Option<String>,
    /// What tells one form from another.
    pub(super) request: String,
}

/// One of them.
pub(super) struct EntryLine {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) about: String,
    pub(super) is_folder: bool,
    pub(super) download: Option<String>,
    /// Its path, if it can be put back from here.
    pub(super) back: Option<String>,
}

impl Opened {
    /// A folder, from the name `after` on.
    pub(super) async fn folder(
        app: &App,
        machine: MachineId,
        snapshot: &str,
        path: &str,
        after: Option<String>,
    ) -> Result<Opened, Problem> {
        let listed = list_of(app, machine, snapshot, path, after).await?;
        Opened::of(app, machine, snapshot, path, listed)
    }

    /// The first folder from the top in which there is more than one folder: nobody wants to walk through `home`.
    pub(super) async fn at_first_choice(app: &App, machine: MachineId, snapshot: &str) -> Result<Opened, Problem> {
        let mut path = "/".to_owned();
        let mut listed = list_of(app, machine, snapshot, &path, None).await?;
        for _ in 0..DEEPEST {
            match listed.0.as_slice() {
                [only] if only.kind == EntryKind::Folder => path = below(&path, &only.name),
                _ => break,
            }
            listed = list_of(app, machine, snapshot, &path, None).await?;
        }
        Opened::of(app, machine, snapshot, &path, listed)
    }

    fn of(
        app: &App,
        machine: MachineId,
        snapshot: &str,
        path: &str,
        (entries, more): (Vec<Entry>, bool),
    ) -> Result<Opened, Problem> {
        let here = format!("/machines/{machine}/snapshots/{snapshot}");
        let last = entries.last().map(|entry| entry.name.clone()).filter(|_| more);
        Ok(Opened {
            snapshot: snapshot.to_owned(),
            crumbs: crumbs(&here, path),
            entries: entries.into_iter().map(|entry| entry_line(&here, path, entry)).collect(),
            more: last.map(|last| format!("{here}?{}", query(&[("path", path), ("after", &last)]))),
            request: hex::encode(app.random()?),
        })
    }
}

/// The folders above, each with its address.
pub(super) fn crumbs(here: &str, path: &str) -> Vec<(String, String)> {
    let mut crumbs = vec![("All".to_owned(), format!("{here}?{}", query(&[("path", "/")])))];
    let mut above = String::new();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        above = format!("{above}/{part}");
        crumbs.push((part.to_owned(), format!("{here}?{}", query(&[("path", &above)]))));
    }
    crumbs
}

/// Whether a path leads into an image of a disk: what is there is not put over a running system.
pub(crate) fn in_image(path: &str) -> bool {
    path.split('/').find(|part| !part.is_empty()).is_some_and(|first| first.ends_with(".img"))
}

fn entry_line(here: &str, folder: &str, entry: Entry) -> EntryLine {
    let path = below(folder, &entry.name);
    let asked = query(&[("path", &path)]);
    let is_folder = matches!(entry.kind, EntryKind::Folder | EntryKind::Image);
    let (address, about) = match entry.kind {
        EntryKind::Folder => (format!("{here}?{asked}"), "folder".to_owned()),
        EntryKind::Image => (format!("{here}?{asked}"), "image of a disk".to_owned()),
        EntryKind::File => (format!("{here}/preview?{asked}"), size_in_words(entry.size)),
        EntryKind::Other => (String::new(), "link or device".to_owned()),
    };
    let download = (entry.kind == EntryKind::File).then(|| format!("{here}/download?{asked}"));
    let back = (!in_image(&path)).then_some(path);
    EntryLine { name: entry.name, address, about, is_folder, download, back }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_above_has_its_address() {
        let crumbs = crumbs("/s", "/home/a b");
        let (names, addresses): (Vec<_>, Vec<_>) = crumbs.into_iter().unzip();
        assert_eq!(names, ["All", "home", "a b"]);
        assert_eq!(addresses, ["/s?path=%2F", "/s?path=%2Fhome", "/s?path=%2Fhome%2Fa+b"]);
    }

    #[test]
    fn what_is_in_an_image_of_a_disk_has_no_way_back_to_where_it_was() {
        assert!(in_image("/sda.img/1/etc/fstab") && in_image("/sda.img"));
        assert!(!in_image("/home/anna/sda.img") && !in_image("/"));
    }
}
