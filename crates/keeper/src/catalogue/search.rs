//! A search by name: letters' case does not matter, the newest snapshot comes first, and each path comes once.

use std::collections::HashSet;

use api::wire::keeper::Place;
use repo::Id;

use super::{Catalogue, Root, place};
use crate::storage::Stop;
use crate::{Error, Result};

/// Places that are told.
const MOST: usize = 200;

/// What was found.
#[derive(Debug, Default)]
pub struct Search {
    /// Where, the newest first.
    pub places: Vec<Place>,
    /// Whether there are more, or it took too long to look everywhere.
    pub more: bool,
}

/// A search at work.
struct Searching<'s> {
    catalogue: &'s Catalogue,
    wanted: String,
    /// Folders that were seen, by their tree and where they were.
    seen: HashSet<(Id, u64)>,
    told: HashSet<String>,
    found: Search,
    stop: &'s Stop,
    enough: &'s dyn Fn() -> bool,
}

impl Catalogue {
    /// Where names contain `text`. Ends early when `enough` says so.
    pub fn search(&self, text: &str, stop: &Stop, enough: &dyn Fn() -> bool) -> Result<Search> {
        let wanted = text.to_lowercase();
        if wanted.trim().is_empty() {
            return Err(Error::Refused("there is nothing to search for".into()));
        }
        let (seen, told, found) = Default::default();
        let mut searching = Searching { catalogue: self, wanted, seen, told, found, stop, enough };
        for root in self.roots()? {
            searching.snapshot(&root)?;
        }
        Ok(searching.found)
    }
}

impl Searching<'_> {
    fn snapshot(&mut self, root: &Root) -> Result<()> {
        let mut left = vec![(root.tree, String::new())];
        while let Some((tree, path)) = left.pop() {
            if self.found.more {
                return Ok(());
            }
            self.stop.check()?;
            self.found.more |= (self.enough)();
            if !self.seen.insert((tree, hash(&path))) {
                continue;
            }
            let Some(folder) = self.catalogue.folder(&tree)? else { continue };
            for name in &folder.0 {
                if name.name.to_lowercase().contains(&self.wanted) {
                    self.tell(place(root, &path, name));
                }
            }
            let below = folder.0.iter().rev().filter_map(|name| Some((name.tree?, format!("{path}/{}", name.name))));
            left.extend(below);
        }
        Ok(())
    }

    fn tell(&mut self, place: Place) {
        if !self.told.insert(place.path.clone()) {
            return;
        }
        match self.found.places.len() < MOST {
            true => self.found.places.push(place),
            false => self.found.more = true,
        }
    }
}

/// Paths as numbers: a million of them fit into memory.
fn hash(path: &str) -> u64 {
    Id::of(path.as_bytes()).prefix()
}
