//! Duties: what a machine is to do, put together from what is known of it, of the gateway and of the keeper.

use api::wire::duties::{Duties, Gateway, KeeperKey};
use fleet::KeyCustody;
use store::{Attended, Store};

/// The server's setting that says where the gateway is.
const GATEWAY: &str = "gateway";

/// What all machines share.
pub(crate) struct Shared {
    pub(crate) gateway: Option<Gateway>,
    keeper: Option<KeeperKey>,
}

impl Shared {
    /// As it is now.
    pub(super) async fn read(store: &Store) -> Result<Shared, store::Error> {
        let keepers = store.system().keepers().await?;
        let keeper = keepers.into_iter().find(|keeper| keeper.quarantined.is_none());
        let keeper = keeper.map(|keeper| KeeperKey { public: hex::encode(keeper.public) });
        Ok(Shared { gateway: gateway(store).await?, keeper })
    }
}

/// Where the gateway is, if there is one.
pub(crate) async fn gateway(store: &Store) -> Result<Option<Gateway>, store::Error> {
    let text = store.system().setting(GATEWAY).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Says where the gateway is, to all servers on this database.
pub(crate) async fn set_gateway(store: &Store, gateway: &Gateway) -> Result<(), store::Error> {
    let text = serde_json::to_string(gateway).unwrap_or_default();
    if store.system().setting(GATEWAY).await?.as_ref() != Some(&text) {
        store.system().set_setting(GATEWAY, &text).await?;
    }
    Ok(())
}

/// What a machine is to do.
pub(super) fn of(attended: &Attended, shared: &Shared) -> Duties {
    Duties {
        policy: attended.policy.as_deref().cloned(),
        zone: attended.zone.clone(),
        pause: attended.pause.clone(),
        gateway: shared.gateway.clone(),
        keeper: match attended.custody {
            KeyCustody::Managed => shared.keeper.clone(),
            KeyCustody::Blind => None,
        },
    }
}
