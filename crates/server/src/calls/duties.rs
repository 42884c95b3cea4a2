//! Duties: what a machine is to do, put together from what is known of it, of the gateway and of the keeper.

use api::wire::duties::{Duties, Gateway, KeeperKey};
use fleet::KeyCustody;
use store::{Attended, Store};

use crate::gateway;

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
        Ok(Shared { gateway: gateway::told(store).await?, keeper })
    }
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
