//! Sending: a letter on one of its ways, with what the firm and the person set up.

use continuity::{Person, PersonId};
use fleet::{QuietHours, Recipient, TenantId};

use super::firm::{Firm, Inside};
use super::letter::Letter;
use super::own::Own;
use super::reach::Unreached;
use super::{mail, ntfy, webhook};
use crate::app::App;
use crate::problem::Problem;

/// A way of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By e-mail, to a person.
    Mail(PersonId),
    /// By ntfy, to a person.
    Ntfy(PersonId),
    /// To the firm's webhook.
    Webhook,
}

impl Way {
    /// As the outbox names it.
    pub(crate) fn recipient(self) -> Recipient {
        Recipient(match self {
            Way::Mail(person) => format!("mail:{person}"),
            Way::Ntfy(person) => format!("ntfy:{person}"),
            Way::Webhook => "webhook".into(),
        })
    }

    /// The way that the outbox names so.
    pub(crate) fn read(recipient: &str) -> Option<Way> {
        match recipient.split_once(':') {
            None if recipient == "webhook" => Some(Way::Webhook),
            Some(("mail", person)) => Some(Way::Mail(person.parse().ok()?)),
            Some(("ntfy", person)) => Some(Way::Ntfy(person.parse().ok()?)),
            _ => None,
        }
    }

    /// To whom.
    pub(crate) fn person(self) -> Option<PersonId> {
        match self {
            Way::Mail(person) | Way::Ntfy(person) => Some(person),
            Way::Webhook => None,
        }
    }

    /// What it is called.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Way::Mail(_) => "e-mail",
            Way::Ntfy(_) => "ntfy",
            Way::Webhook => "the webhook",
        }
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsent {
    /// The firm has no such way.
    #[error("nobody set up {0}")]
    NotSetUp(&'static str),
    /// Whoever it is for does not belong to the firm, or does not want it.
    #[error("nobody is there for it any more")]
    Nobody,
    /// An address is none.
    #[error("{0:?} is no e-mail address")]
    NoMailbox(String),
    /// It could not be written.
    #[error("cannot write the message: {0}")]
    Unwritten(#[from] lettre::error::Error),
    /// The mail server did not take it.
    #[error("the mail server {host} did not take it: {reason}")]
    Mail { host: String, reason: String },
    /// A plain way to another machine.
    #[error("the mail server {0} is another machine: it needs TLS or STARTTLS")]
    PlainAway(String),
    /// The address was not reached, or refused it.
    #[error(transparent)]
    Unreached(#[from] Unreached),
    /// The key of the webhook is none.
    #[error("the webhook's key is damaged: make a new one")]
    NoKey,
}

impl Unsent {
    /// What is kept and shown.
    pub(crate) fn words(&self) -> String {
        self.to_string().chars().take(500).collect()
    }
}

/// What a firm and a person set up.
pub(crate) struct Sender {
    name: String,
    firm: Firm,
    person: Option<(Person, Own)>,
}

impl Sender {
    /// For one way.
    pub(crate) async fn of(app: &App, tenant: TenantId, way: &Way) -> Result<Sender, Problem> {
        let system = app.store.system();
        let name = system.tenants().await?.into_iter().find(|found| found.id == tenant).map(|found| found.name);
        let mut person = None;
        if let Some(id) = way.person() {
            let member = system.people_of(tenant).await?.into_iter().find(|person| person.id == id);
            if let Some(member) = member {
                person = Some((member, Own::load(app, id).await?));
            }
        }
        Ok(Sender { name: name.unwrap_or_default(), firm: Firm::load(app, tenant).await?, person })
    }

    /// What the firm is called.
    pub(crate) fn firm(&self) -> &str {
        &self.name
    }

    /// When the person is not to be woken.
    pub(crate) fn quiet(&self) -> Option<&QuietHours> {
        self.person.as_ref().and_then(|(_, own)| own.quiet.as_ref())
    }

    /// Sends; what was answered.
    pub(crate) async fn send(&self, way: &Way, letter: &Letter) -> Result<String, Unsent> {
        let inside: Inside = self.firm.inside;
        match (way, &self.person) {
            (Way::Webhook, _) => {
                let webhook = self.firm.webhook.as_ref().ok_or(Unsent::NotSetUp("a webhook"))?;
                webhook::send(webhook, inside, letter).await
            }
            (Way::Mail(_), Some((person, own))) if own.mail => {
                let server = self.firm.mail.as_ref().ok_or(Unsent::NotSetUp("a mail server"))?;
                mail::send(server, inside, person, letter).await
            }
            (Way::Ntfy(_), Some((_, Own { ntfy: Some(topic), .. }))) => ntfy::send(topic, inside, letter).await,
            _ => Err(Unsent::Nobody),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_are_read_as_they_are_written() {
        let person = PersonId::new(fleet::Uuid::from_u128(7));
        for way in [Way::Mail(person), Way::Ntfy(person), Way::Webhook] {
            assert_eq!(Way::read(&way.recipient().0), Some(way));
        }
        for nonsense in ["", "mail:", "mail:x", "fax:1", "webhook:1"] {
            assert_eq!(Way::read(nonsense), None, "{nonsense}");
        }
    }
}
