//! Own: how a person wants to be told, and when not.

use continuity::PersonId;
use fleet::QuietHours;
use serde::{Deserialize, Serialize};

use super::firm::Kept;
use super::sending::Way;
use crate::app::App;
use crate::problem::Problem;
use crate::seal::Seal;

/// The name of the setting.
pub(crate) const SETTING: &str = "messages";

/// A topic of an ntfy server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Topic {
    /// Server and topic: `https://ntfy.example/stead-jim`.
    pub(crate) address: String,
    /// Empty: without.
    pub(crate) token: Kept,
}

/// How a person wants to be told, and when not. Without a word of theirs: by e-mail to the address they sign in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Own {
    /// By e-mail, to the address they sign in with.
    pub(crate) mail: bool,
    pub(crate) ntfy: Option<Topic>,
    pub(crate) quiet: Option<QuietHours>,
}

impl Default for Own {
    fn default() -> Own {
        Own { mail: true, ntfy: None, quiet: None }
    }
}

fn about(person: PersonId) -> String {
    format!("ntfy token of {person}")
}

impl Own {
    /// A person's.
    pub(crate) async fn load(app: &App, person: PersonId) -> Result<Own, Problem> {
        let Some(stored) = app.store.system().setting_of_person(person, SETTING).await? else {
            return Ok(Own::default());
        };
        let read = serde_json::from_str(&stored);
        let mut own: Own = read.map_err(|error| Problem::internal("read how somebody is told", error))?;
        if let Some(topic) = &mut own.ntfy {
            topic.token.open(app, &about(person));
        }
        Ok(own)
    }

    /// As it is stored: the token is sealed.
    pub(crate) fn written(&self, seal: &Seal, person: PersonId) -> Result<String, Problem> {
        let mut own = self.clone();
        if let Some(topic) = &mut own.ntfy {
            topic.token.close(seal, &about(person))?;
        }
        serde_json::to_string(&own).map_err(|error| Problem::internal("write how somebody is told", error))
    }

    /// Each way that they want.
    pub(crate) fn ways(&self, person: PersonId) -> impl Iterator<Item = Way> {
        let mail = self.mail.then_some(Way::Mail(person));
        mail.into_iter().chain(self.ntfy.is_some().then_some(Way::Ntfy(person)))
    }
}
