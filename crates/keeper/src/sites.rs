//! From a machine as the server names it to its repository: through the gateway, with the password that was sealed to us.

use std::sync::Arc;

use api::wire::keeper::Kept;
use fleet::{ClientId, MachineId};
use jiff::Timestamp;
use parking_lot::RwLock;

use crate::keys::Keys;
use crate::memory::Memory;
use crate::storage::{Access, Gateway, Stop};
use crate::work::{Shop, Site};
use crate::{Error, Result};

/// Whose a machine is, as it was told last.
const CLIENT: &str = "client of machine";

/// Knows the way to every machine's repository.
pub(crate) struct Sites {
    pub(crate) keys: Keys,
    pub(crate) access: Access,
    pub(crate) shop: Arc<Shop>,
    gateway: RwLock<Option<Gateway>>,
}

impl Sites {
    pub(crate) fn new(keys: Keys, access: Access, shop: Arc<Shop>) -> Sites {
        Sites { keys, access, shop, gateway: RwLock::default() }
    }

    /// Repositories are there from now on.
    pub(crate) fn move_to(&self, gateway: Gateway) {
        *self.gateway.write() = Some(gateway);
    }

    /// True once it is known where repositories are.
    pub(crate) fn is_ready(&self) -> bool {
        self.gateway.read().is_some()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.access.clock.now()
    }

    /// What work at a machine's repository needs.
    pub(crate) fn site(&self, kept: &Kept, stop: Stop) -> Result<Site> {
        let unknown = || Error::Refused("the server did not say yet where repositories are".into());
        let gateway = self.gateway.read().clone().ok_or_else(unknown)?;
        let password = self.keys.open_sealed(&kept.machine.to_string(), &kept.sealed)?;
        Ok(Site {
            machine: kept.machine,
            client: self.client(kept)?,
            place: gateway.place(kept.machine),
            password,
            access: self.access.clone(),
            stop,
            shop: Arc::clone(&self.shop),
        })
    }

    fn client(&self, kept: &Kept) -> Result<Option<ClientId>> {
        let noted = self.shop.memory.get(CLIENT, kept.machine.uuid().as_bytes())?;
        let noted = noted.and_then(|client| String::from_utf8(client).ok()?.parse().ok());
        if let Some(client) = kept.client.filter(|client| noted != Some(*client)) {
            note_client(&self.shop.memory, kept.machine, client)?;
        }
        Ok(kept.client.or(noted))
    }
}

/// Notes whose a machine is, for tasks that do not say it.
pub(crate) fn note_client(memory: &Memory, machine: MachineId, client: ClientId) -> Result<()> {
    memory.put(CLIENT, machine.uuid().as_bytes(), client.to_string().as_bytes())
}
