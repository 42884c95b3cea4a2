//! Where the gateway is, as all servers on one database tell agents and keepers.

use api::wire::duties::Gateway;
use store::{Error, Result, Store};

/// The server's setting that says so.
const SETTING: &str = "gateway";

/// Says where the gateway is: its address without credentials, and the authority (PEM) that its certificate comes from;
/// none: one that the system trusts. Those who are connected are told within seconds.
pub async fn tell(store: &Store, address: String, authority: Option<String>) -> Result<()> {
    let text = serde_json::to_string(&Gateway { address, authority });
    let text = text.map_err(|error| Error::Conflict(format!("the gateway's address cannot be written: {error}")))?;
    if store.system().setting(SETTING).await?.as_ref() == Some(&text) {
        return Ok(());
    }
    store.system().set_setting(SETTING, &text).await
}

/// Where it is; none: nobody said so.
pub(crate) async fn told(store: &Store) -> Result<Option<Gateway>> {
    let text = store.system().setting(SETTING).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}
