//! By what a firm sends messages and whom it tells, on the wire. Passwords and keys are never told.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who takes e-mail for a firm.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Mail {
    /// A name or a number.
    pub host: String,
    /// At which port.
    pub port: u16,
    /// starttls, tls, or plain: to the server's own machine only.
    pub protection: String,
    /// Empty: without signing in.
    pub user: String,
    /// Whether a password is kept.
    pub has_password: bool,
    /// The address that messages come from.
    pub from: String,
    /// The authority (PEM) that its certificate must come from; empty: one that the system trusts.
    pub authority: String,
}

/// Whom to tell, and when.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Step {
    /// After how many minutes without anybody having it.
    pub after_minutes: u32,
    /// Which persons.
    pub people: Vec<String>,
    /// Whether the webhook is called.
    pub webhook: bool,
}

/// How a firm sends messages.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FirmMessages {
    /// Which tenant.
    pub tenant: String,
    /// What it is called.
    pub name: String,
    /// Its mail server, if it has one.
    pub mail: Option<Mail>,
    /// Its webhook's address, if it has one.
    pub webhook: Option<String>,
    /// Whom it tells, in order of time.
    pub steps: Vec<Step>,
    /// What is called every minute while judging works.
    pub watchdog: Option<String>,
    /// Whether addresses inside its network may be called.
    pub inside_allowed: bool,
}

/// How the firms within sight send messages.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Messages {
    /// Those that the asker may set up.
    pub firms: Vec<FirmMessages>,
}

/// A way to try.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTest {
    /// Of which tenant.
    pub tenant: String,
    /// mail, to the asker's own address, or webhook.
    pub way: String,
}

/// What became of a test.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tested {
    /// Whether it was sent.
    pub sent: bool,
    /// What was answered, or why it was not sent.
    pub answer: String,
}

/// A firm's mail server, as it is from now on. Without a host there is none.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMail {
    /// Of which tenant.
    pub tenant: String,
    /// A name or a number.
    pub host: String,
    /// At which port.
    pub port: u16,
    /// starttls, tls, or plain: to the server's own machine only.
    pub protection: String,
    /// Empty: without signing in.
    #[serde(default)]
    pub user: String,
    /// None: the one that is kept for this host and user.
    #[serde(default)]
    pub password: Option<String>,
    /// The address that messages come from.
    pub from: String,
    /// The authority (PEM) that its certificate must come from; empty: one that the system trusts.
    #[serde(default)]
    pub authority: String,
}

/// A firm's webhook, as it is from now on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhook {
    /// Of which tenant.
    pub tenant: String,
    /// Who is called; empty: nobody.
    pub address: String,
}

/// Whom a firm tells, from now on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSteps {
    /// Of which tenant.
    pub tenant: String,
    /// At most four.
    pub steps: Vec<Step>,
}

/// What is called every minute while judging works, from now on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWatchdog {
    /// Of which tenant.
    pub tenant: String,
    /// Empty: nothing.
    pub address: String,
    /// Whether addresses inside the server's network may be called, by this and by the webhook.
    pub inside_allowed: bool,
}

/// A firm whose webhook gets another key.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Of which tenant.
    pub tenant: String,
}

/// How messages are sent is changed.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// What the webhook's messages are signed with from now on, told once; none: that did not change.
    pub key: Option<String>,
}
