//! Copy to a destination: what is missing there, into a repository that the client's recovery password opens.
//!
//! The copy is made with the cuts of the original where those can be shared; cuts of stead's own chunker belong to one
//! repository and cannot. That costs nothing as long as only copies are stored there: copies keep their chunks.

use std::sync::Arc;

use api::wire::keeper::Found;
use fleet::{Destination, Outcome};
use jiff::Timestamp;
use repo::Repository;
use repo::chunk::ChunkerKind;
use repo::key::KdfParams;
use repo::lock::Lock;
use repo::repository::InitOptions;
use repo::retention::Stored;

use super::{Done, Site, leaving};
use crate::reporter::Reporter;
use crate::storage::{Believes, Place};
use crate::{Error, Result, destination};

pub(super) fn copy(site: &Site, destination: &Destination, reporter: &Reporter) -> Result<Done> {
    let place = destination::place_of(destination, site.machine, &site.shop.secrets)?;
    let (from, _lock) = site.open_locked(Believes::Cache)?;
    let untrue = site.audit(&from, reporter)?;
    if let Some(first) = untrue.first() {
        return Ok(Done::failed(format!(
            "{first}; nothing was copied, because the machine's index is not to be trusted"
        )));
    }
    let (to, _lock_there) = open_there(site, &place, &from)?;
    let snapshots = wanted(site, &from)?;
    let newest = newest(site, &snapshots)?;
    repo::copy::copy(&from, &to, snapshots, &mut |_, _| (), reporter)?;
    let Some(newest) = newest else {
        return Ok(Done::failed("there is no complete snapshot yet that could be copied"));
    };
    let found = Found::Copied { destination: destination.id, distance: destination.distance, newest };
    Ok(Done { outcome: Outcome::Good, found: Some(found) })
}

/// Complete snapshots that stay.
fn wanted(site: &Site, from: &Repository) -> Result<Vec<Stored>> {
    let listed = from.snapshots()?;
    if let Some((id, error)) = listed.damaged.into_iter().next() {
        let id = id.short();
        return Err(Error::Refused(format!(
            "snapshot {id} cannot be read, so the copy would not be complete: {error}"
        )));
    }
    let leaving = leaving(site)?;
    let stays = |(id, snapshot): &Stored| !snapshot.is_partial() && !leaving.contains_key(id);
    Ok(listed.all.into_iter().filter(stays).collect())
}

/// When the newest of them was received, as far as that is known: a snapshot's own time is a claim, and never later than now.
fn newest(site: &Site, snapshots: &[Stored]) -> Result<Option<Timestamp>> {
    let (received, now) = (site.received()?, site.clock().now());
    let time =
        |(id, snapshot): &Stored| received.get(id).copied().or_else(|| Some(snapshot.timestamp().ok()?.min(now)));
    Ok(snapshots.iter().filter_map(time).max())
}

/// The repository there, made if there is none.
fn open_there(site: &Site, place: &Place, from: &Repository) -> Result<(Arc<Repository>, Lock)> {
    let password = password(site)?;
    let opened = match site.access.open(place, password.as_bytes(), Believes::Cache, &site.stop) {
        Err(Error::Repository(repo::Error::NoRepository { .. } | repo::Error::HalfRepository { .. })) => {
            site.access.init(place, password.as_bytes(), &like(site, from), &site.stop)
        }
        opened => opened,
    };
    let there = Arc::new(opened.map_err(|error| match error {
        Error::Repository(repo::Error::WrongPassword) => Error::Refused(format!(
            "the copy at {} was made with another recovery password than this keeper has for the client",
            place.location
        )),
        error => error,
    })?);
    let lock = site.access.lock(&there)?;
    Ok((there, lock))
}

fn password(site: &Site) -> Result<zeroize::Zeroizing<String>> {
    let unknown = "the server did not say whose machine this is, so no recovery password would open the copy";
    let client = site.client.ok_or_else(|| Error::Refused(unknown.into()))?;
    site.shop.sheets.password(client)
}

fn like(site: &Site, from: &Repository) -> InitOptions {
    let is_gear = from.config().other.contains_key("stead");
    let polynomial = from.config().chunker_polynomial.clone();
    InitOptions {
        chunker: if is_gear { ChunkerKind::Gear } else { ChunkerKind::Rabin },
        chunker_polynomial: (!is_gear).then_some(polynomial),
        version: 2,
        kdf: KdfParams::RANDOM_PASSWORD,
        origin: site.key_origin(),
    }
}
