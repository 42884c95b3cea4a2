//! Where names are, in any snapshot. What is new in the repository is looked at first, for a few seconds.

use std::time::Duration;

use api::wire::keeper::Answer;

use crate::Result;
use crate::storage::Believes;
use crate::work::Site;

/// How long new snapshots are read before the search begins, and how long it may take: whoever asked waits.
const PATIENCE: Duration = Duration::from_secs(8);

pub(super) fn search(site: &Site, text: &str) -> Result<Answer> {
    let catalogue = site.shop.catalogues.of(site.machine, &site.shop.vault)?;
    let updated = site.open(Believes::Cache).and_then(|repo| catalogue.update(&repo, &site.stop, &patience(site)));
    let incomplete = match updated {
        Ok(updated) if updated.missing == 0 => None,
        Ok(updated) => Some(format!(
            "The names of {} of {} snapshots are not known yet: search again later.",
            updated.missing,
            updated.missing + updated.known
        )),
        Err(error) if error.is_cancelled() => return Err(error),
        Err(error) => Some(format!("What is new was not looked at: {}.", error.words())),
    };
    let found = catalogue.search(text, &site.stop, &patience(site))?;
    Ok(Answer::Places { places: found.places, more: found.more, incomplete })
}

fn patience(site: &Site) -> impl Fn() -> bool {
    let clock = std::sync::Arc::clone(&site.access.clock);
    let begun = clock.monotonic();
    move || clock.monotonic().saturating_sub(begun) >= PATIENCE
}
