//! What a firm set up, on the wire: clients, codes, policies, and its audit log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A business that is looked after.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Client {
    /// Which.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// What it is called.
    pub name: String,
    /// Its days and quiet hours are those of this zone.
    pub zone: String,
    /// managed or blind.
    pub custody: String,
    /// When somebody confirmed to have its recovery sheet at hand.
    pub sheet_confirmed: Option<String>,
}

/// The clients within sight, by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Clients {
    /// The clients.
    pub clients: Vec<Client>,
}

/// A new client.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewClient {
    /// Of which tenant.
    pub tenant: String,
    /// 1 to 100 characters.
    pub name: String,
    /// Such as Europe/Vienna.
    pub zone: String,
}

/// A code to make, that lets machines in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCode {
    /// For machines of which client.
    pub client: String,
    /// server, workstation or laptop.
    pub class: String,
    /// The policy that the machines get.
    pub policy: Option<String>,
    /// How many machines it lets in, at least one.
    pub uses: u64,
    /// For how many hours; at most 744.
    pub hours: u16,
}

/// A code that was made.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Code {
    /// Which.
    pub id: String,
    /// The code; told once.
    pub code: String,
    /// What is typed at the machine.
    pub command: String,
    /// When it ends.
    pub ends: String,
    /// What the page's QR code holds: the server's address with the code.
    #[serde(default)]
    pub link: String,
}

/// A code that still lets machines in; what it reads is told to nobody.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OpenCode {
    /// Which.
    pub id: String,
    /// For machines of which client.
    pub client: String,
    /// server, workstation or laptop.
    pub class: String,
    /// The policy that the machines get.
    pub policy: Option<String>,
    /// How many machines it still lets in.
    pub uses_left: u64,
    /// When it ends.
    pub ends: String,
    /// Who made it.
    pub made_by: String,
}

/// The codes that still let machines in.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OpenCodes {
    /// Those of clients that the asker may set up.
    pub codes: Vec<OpenCode>,
}

/// Where backups or copies of them go.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Destination {
    /// Which.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// What it is called.
    pub name: String,
    /// Where copies go; none: it is the gateway's own storage.
    pub address: Option<String>,
    /// offsite, away from the machines; or on_site.
    pub distance: String,
}

/// The destinations of firms that the asker may set up, by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Destinations {
    /// The destinations.
    pub destinations: Vec<Destination>,
}

/// A destination to save.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDestination {
    /// Of which tenant.
    pub tenant: String,
    /// Which one to change; none: a new one.
    pub id: Option<String>,
    /// 1 to 100 characters.
    pub name: String,
    /// A directory, `sftp:` or `s3:`, without passwords; empty for the gateway's own storage.
    #[serde(default)]
    pub address: String,
    /// offsite, away from the machines; or on_site.
    pub distance: String,
}

/// No run starts for a while.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPause {
    /// Why.
    pub reason: String,
    /// For how many hours, 1 to 744.
    pub hours: u16,
}

/// A policy.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Policy {
    /// Which.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// What it is called.
    pub name: String,
    /// What it means, in sentences.
    pub sentences: Vec<String>,
    /// The fields of its form.
    pub fields: BTreeMap<String, String>,
}

/// The policies of firms that the asker may set up, by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Policies {
    /// The policies.
    pub policies: Vec<Policy>,
}

/// A policy to save.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPolicy {
    /// Of which tenant.
    pub tenant: String,
    /// Which one to change; none: a new one.
    pub id: Option<String>,
    /// The fields of its form, as a policy's `fields` has them: name, paths, at, zone, daily and so on. What is not here is
    /// empty.
    pub fields: BTreeMap<String, String>,
}

/// What a policy would mean.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Preview {
    /// In sentences.
    pub sentences: Vec<String>,
}

/// A line of an audit log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditLine {
    /// Its place in the chain, from 1.
    pub number: u64,
    /// When.
    pub at: String,
    /// Who.
    pub by: String,
    /// What was done.
    pub act: String,
    /// To what.
    pub about: String,
    /// More of it.
    pub detail: String,
    /// The hash of this line and all before.
    pub hash: String,
}

/// A firm's audit log.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditLog {
    /// Whose.
    pub tenant: String,
    /// Whether the whole chain is as it was written, verified for this answer.
    pub whole: bool,
    /// The same in a sentence.
    pub verdict: String,
    /// The newest first; at most 200.
    pub lines: Vec<AuditLine>,
    /// What to give as `before` for older ones; none: these are the oldest.
    pub next: Option<u64>,
}
