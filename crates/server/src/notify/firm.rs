//! Firm: by what a tenant sends messages, and whom it tells in which order.

use std::fmt;

use continuity::PersonId;
use fleet::TenantId;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::observer::Event;
use crate::problem::Problem;
use crate::seal::Seal;

/// The name of the setting.
pub(crate) const SETTING: &str = "messages";

/// A password or key that is kept and never shown again.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Kept(pub(crate) String);

impl Kept {
    /// As it is stored.
    pub(crate) fn close(&mut self, seal: &Seal, about: &str) -> Result<(), Problem> {
        self.0 = seal.close(about, &self.0)?;
        Ok(())
    }

    /// As it was given. What another key sealed is gone: that is told, and it is empty.
    pub(crate) fn open(&mut self, app: &App, about: &str) {
        self.0 = app.seal.open(about, &self.0).unwrap_or_else(|| {
            let why = "the server's key file is another one than it was sealed with; it must be given again";
            app.observe(Event::Problem(format!("cannot open the {about}: {why}")));
            String::new()
        });
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept(…)")
    }
}

/// How the way to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protection {
    /// TLS from the first byte, usually at port 465.
    Tls,
    /// TLS after a word in plain, usually at port 587; without it nothing is sent.
    Starttls,
    /// None: to this machine itself only.
    Plain,
}

impl Protection {
    /// All of them, with their words.
    pub(crate) const ALL: [(Protection, &str, &str); 3] = [
        (Protection::Starttls, "starttls", "STARTTLS (587)"),
        (Protection::Tls, "tls", "TLS (465)"),
        (Protection::Plain, "plain", "None: a mail server on this machine"),
    ];

    /// What a form calls it.
    pub(crate) fn word(self) -> &'static str {
        Protection::ALL.into_iter().find(|(known, ..)| *known == self).map_or("", |(_, word, _)| word)
    }

    /// The one that a form names.
    pub(crate) fn of_word(word: &str) -> Option<Protection> {
        Protection::ALL.into_iter().find(|(_, known, _)| *known == word).map(|(protection, ..)| protection)
    }
}

/// Who takes e-mail for us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MailServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) protection: Protection,
    /// Empty: without signing in.
    pub(crate) user: String,
    pub(crate) password: Kept,
    /// The address that messages come from.
    pub(crate) from: String,
    /// The authority (PEM) that alone its certificate may come from; empty: one that the system trusts.
    #[serde(default)]
    pub(crate) authority: String,
}

/// A program that is told everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Webhook {
    pub(crate) address: String,
    /// What messages are signed with: `whsec_` and base64.
    pub(crate) secret: Kept,
}

/// Whom to tell, after how many minutes without anybody having it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) after: u32,
    pub(crate) people: Vec<PersonId>,
    #[serde(default)]
    pub(crate) webhook: bool,
}

/// Whether addresses that are not on the open Internet may be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Inside {
    /// They are refused, whatever a name resolves to.
    #[default]
    Refused,
    /// An owner said so.
    Allowed,
}

/// By what a tenant sends messages, and whom it tells in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Firm {
    pub(crate) mail: Option<MailServer>,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) steps: Vec<Step>,
    /// What is called every minute while judging works.
    pub(crate) watchdog: Option<String>,
    pub(crate) inside: Inside,
}

impl Firm {
    /// A tenant's; nothing set up where nobody did.
    pub(crate) async fn load(app: &App, tenant: TenantId) -> Result<Firm, Problem> {
        let mut firm = Firm::read(app.store.system().setting_of_tenant(tenant, SETTING).await?.as_deref())?;
        for (what, kept) in firm.secrets() {
            kept.open(app, &format!("{what} of {tenant}"));
        }
        Ok(firm)
    }

    fn read(stored: Option<&str>) -> Result<Firm, Problem> {
        let Some(stored) = stored else { return Ok(Firm::default()) };
        serde_json::from_str(stored).map_err(|error| Problem::internal("read how messages are sent", error))
    }

    /// As it is stored: secrets are sealed.
    pub(crate) fn written(&self, seal: &Seal, tenant: TenantId) -> Result<String, Problem> {
        let mut firm = self.clone();
        for (what, kept) in firm.secrets() {
            kept.close(seal, &format!("{what} of {tenant}"))?;
        }
        serde_json::to_string(&firm).map_err(|error| Problem::internal("write how messages are sent", error))
    }

    /// What nobody else may have, and what it is.
    fn secrets(&mut self) -> impl Iterator<Item = (&'static str, &mut Kept)> {
        let mail = self.mail.as_mut().map(|mail| ("mail password", &mut mail.password));
        mail.into_iter().chain(self.webhook.as_mut().map(|webhook| ("webhook key", &mut webhook.secret)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show_themselves() {
        let mail = MailServer {
            host: "mail.example".into(),
            port: 587,
            protection: Protection::Starttls,
            user: "stead".into(),
            password: Kept("sesame".into()),
            from: "stead@example.org".into(),
            authority: String::new(),
        };
        let firm = Firm { mail: Some(mail), ..Firm::default() };
        assert!(!format!("{firm:?}").contains("sesame"));
        let room = tempfile::tempdir().unwrap();
        let (seal, tenant) = (Seal::at(&room.path().join("key")).unwrap(), TenantId::new(fleet::Uuid::nil()));
        let written = firm.written(&seal, tenant).unwrap();
        assert!(!written.contains("sesame"), "{written}");
        let mut read = Firm::read(Some(&written)).unwrap();
        for (what, kept) in read.secrets() {
            kept.0 = seal.open(&format!("{what} of {tenant}"), &kept.0).unwrap();
        }
        assert_eq!(read, firm);
    }
}
