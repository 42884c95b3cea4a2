//! A client's recovery sheet: which machines it opens, and whether somebody has it. The password itself is told to nobody:
//! it is printed on this machine.

use api::wire::keeper::Answer;
use fleet::ClientId;

use crate::storage::Believes;
use crate::work::Site;
use crate::{Error, Result, recovery, sites};

/// What the sheet opens; it is made if there is none, and the machine that is asked about is opened by it from now on.
pub(super) fn sheet(site: &Site, client: &str) -> Result<Answer> {
    let client = own(site, client)?;
    let shop = &site.shop;
    sites::note_client(&shop.memory, site.machine, client)?;
    let password = shop.sheets.password(client)?;
    let admitted = site
        .open(Believes::Cache)
        .and_then(|repo| recovery::admit(&shop.memory, &repo, site.machine, client, &password, &site.key_origin()));
    let mut opens = recovery::opens(&shop.memory, client)?;
    let mut missing = Vec::new();
    if let Err(error) = admitted {
        opens.retain(|machine| *machine != site.machine);
        missing.push((site.machine, error.words()));
    }
    Ok(Answer::RecoverySheet { asks: shop.sheets.asks(client), opens, missing })
}

/// Whether somebody typed the two groups that it is asked for.
pub(super) fn prove(site: &Site, client: &str, groups: &[String; 2]) -> Result<Answer> {
    let client = own(site, client)?;
    Ok(Answer::SheetProved { right: site.shop.sheets.proves(client, groups)? })
}

fn own(site: &Site, client: &str) -> Result<ClientId> {
    let client: ClientId = client.parse().map_err(|_| Error::Refused(format!("{client:?} is no client")))?;
    match site.client.is_some_and(|own| own != client) {
        true => Err(Error::Refused("the machine belongs to another client".into())),
        false => Ok(client),
    }
}
