//! Farewell: one short call in which a machine tells its server that it leaves. Whoever cannot be told finds out later.

use std::time::Duration;

use api::wire;
use api::wire::agent::{FromAgent, ToAgent};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::channel::{Channel, This, lost};
use super::{Lost, dial};
use crate::membership::Membership;

/// How long all of it may take: somebody waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// Tells the server that the machine leaves, and waits until it has written that down.
pub(super) fn farewell(membership: &Membership, this: &This<'_>) -> Result<(), Lost> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Lost::Unreachable(error.to_string()))?;
    runtime.block_on(async {
        let said = timeout(PATIENCE, say(membership, this)).await;
        said.unwrap_or(Err(Lost::Silent(PATIENCE)))
    })
}

async fn say(membership: &Membership, this: &This<'_>) -> Result<(), Lost> {
    let (socket, fingerprint) = dial::dial(membership).await?;
    let mut channel = Channel::new(socket);
    channel.introduce(this, &fingerprint).await?;
    channel.send(&FromAgent::Farewell).await?;
    loop {
        let Message::Text(text) = channel.next().await.ok_or(Lost::Closed)?.map_err(lost)? else { continue };
        // Duties and orders may come before it.
        if matches!(wire::read(&text), Ok(Some(ToAgent::Retired))) {
            channel.close().await;
            return Ok(());
        }
    }
}
