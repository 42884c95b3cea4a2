//! A client's recovery sheet: its password, and which machines it opens.

use api::wire::keeper::Answer;
use fleet::ClientId;

use crate::storage::Believes;
use crate::work::Site;
use crate::{Error, Result, recovery, sites};

/// The password, made if there is none; the machine that is asked about is opened by it from now on.
pub(super) fn sheet(site: &Site, client: &str) -> Result<Answer> {
    let client: ClientId = client.parse().map_err(|_| Error::Refused(format!("{client:?} is no client")))?;
    if site.client.is_some_and(|own| own != client) {
        return Err(Error::Refused("the machine belongs to another client".into()));
    }
    let shop = &site.shop;
    sites::note_client(&shop.memory, site.machine, client)?;
    let password = recovery::password(&shop.memory, &shop.vault, client)?;
    let admitted = site
        .open(Believes::Cache)
        .and_then(|repo| recovery::admit(&shop.memory, &repo, site.machine, client, &password, &site.key_origin()));
    let mut opens = recovery::opens(&shop.memory, client)?;
    let mut missing = Vec::new();
    if let Err(error) = admitted {
        opens.retain(|machine| *machine != site.machine);
        missing.push((site.machine, error.words()));
    }
    Ok(Answer::RecoverySheet { password: password.to_string(), opens, missing })
}
