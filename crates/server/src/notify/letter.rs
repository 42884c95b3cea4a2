//! Letter: what a message says, whichever way it goes: a sentence for humans, a link, the alert's identity.

use fleet::{Condition, NoticeKind, Subject};
use jiff::Timestamp;
use serde::Serialize;
use store::Notification;

use crate::token::sha256;

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Something about an alert.
    Alert(NoticeKind),
    /// Nothing: somebody wants to see whether messages arrive.
    Test,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Letter {
    /// The same at every attempt.
    pub(crate) id: String,
    /// When this attempt is made.
    pub(crate) at: Timestamp,
    /// Whose machines.
    pub(crate) firm: String,
    pub(crate) news: News,
    pub(crate) sentence: String,
    pub(crate) link: String,
    pub(crate) alert: Option<String>,
    pub(crate) condition: Option<Condition>,
    pub(crate) machine: Option<String>,
    pub(crate) client: Option<String>,
}

/// A letter as programs read it.
#[derive(Serialize)]
struct Body<'l> {
    r#type: &'static str,
    timestamp: String,
    data: Data<'l>,
}

#[derive(Serialize)]
struct Data<'l> {
    firm: &'l str,
    sentence: &'l str,
    link: &'l str,
    alert: Option<&'l str>,
    condition: Option<&'static str>,
    machine: Option<&'l str>,
    client: Option<&'l str>,
}

impl Letter {
    /// What a message of the outbox says, at a server of this address.
    pub(crate) fn of(message: &Notification, firm: &str, address: &str, at: Timestamp) -> Letter {
        let machine = match message.key.subject {
            Subject::Machine(_, machine) => Some(machine.to_string()),
            _ => None,
        };
        Letter {
            id: stable(&message.id),
            at,
            firm: firm.to_owned(),
            news: News::Alert(message.kind),
            sentence: message.text.clone(),
            link: format!("{address}/alerts/{}", message.alert),
            alert: Some(message.alert.to_string()),
            condition: Some(message.key.condition),
            machine,
            client: message.key.subject.client().map(|client| client.to_string()),
        }
    }

    /// One that only shows that messages arrive. `random` makes it another one each time.
    pub(crate) fn test(firm: &str, address: &str, random: [u8; 10], at: Timestamp) -> Letter {
        Letter {
            id: stable(&hex::encode(random)),
            at,
            firm: firm.to_owned(),
            news: News::Test,
            sentence: "This is a test: nothing is wrong.".into(),
            link: format!("{address}/alerts"),
            alert: None,
            condition: None,
            machine: None,
            client: None,
        }
    }

    /// What it is, in ASCII.
    pub(crate) fn title(&self) -> &'static str {
        match self.news {
            News::Alert(NoticeKind::There) => "stead: needs somebody",
            News::Alert(NoticeKind::StillThere) => "stead: still needs somebody",
            News::Alert(NoticeKind::Over) => "stead: over",
            News::Test => "stead: test",
        }
    }

    /// Its subject, in one line.
    pub(crate) fn subject(&self) -> String {
        let line = one_line(&self.sentence);
        match self.news {
            News::Alert(NoticeKind::Over) => format!("Over: {line}"),
            _ => line,
        }
    }

    /// The whole of it, for people.
    pub(crate) fn text(&self) -> String {
        let Letter { sentence, link, firm, id, .. } = self;
        let what = match self.news {
            News::Alert(NoticeKind::There | NoticeKind::StillThere) => {
                format!("{sentence}\n\nLook, and say that you have it, so that nobody else is called:\n{link}")
            }
            News::Alert(NoticeKind::Over) => format!("This is over: {sentence}\n\n{link}"),
            News::Test => format!("{sentence}\n\n{link}"),
        };
        let alert = self.alert.as_ref().map(|alert| format!("Alert {alert}, message")).unwrap_or("Message".into());
        format!("{what}\n\n{firm}. {alert} {id}.")
    }

    /// The whole of it, for programs.
    pub(crate) fn json(&self) -> String {
        let body = Body {
            r#type: match self.news {
                News::Alert(NoticeKind::There) => "alert.there",
                News::Alert(NoticeKind::StillThere) => "alert.still_there",
                News::Alert(NoticeKind::Over) => "alert.over",
                News::Test => "test",
            },
            timestamp: self.at.to_string(),
            data: Data {
                firm: &self.firm,
                sentence: &self.sentence,
                link: &self.link,
                alert: self.alert.as_deref(),
                condition: self.condition.map(Condition::word),
                machine: self.machine.as_deref(),
                client: self.client.as_deref(),
            },
        };
        serde_json::to_string(&body).unwrap_or_default()
    }
}

/// What fits into a header: one line, 150 characters at most, nothing that writers of headers mind.
pub(super) fn one_line(text: &str) -> String {
    let is_odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let line: String = text.chars().map(|c| if is_odd(c) { ' ' } else { c }).take(150).collect();
    line.trim().to_owned()
}

/// The identity of a message as receivers see it: of one length, without signs that headers or signatures mind.
fn stable(id: &str) -> String {
    format!("msg_{}", hex::encode(&sha256(id.as_bytes())[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_one_line_whatever_machines_are_called() {
        let mut letter = Letter::test("Firm", "https://stead.example", [0; 10], Timestamp::UNIX_EPOCH);
        letter.sentence = format!("a\r\nBcc: b@example.org\u{85}{}", "x".repeat(500));
        assert!(!letter.subject().contains(char::is_control));
        assert_eq!(letter.subject().chars().count(), 150);
    }

    #[test]
    fn the_same_message_has_the_same_identity_and_another_another() {
        assert_eq!(stable("a/there/1/mail:x"), stable("a/there/1/mail:x"));
        assert_ne!(stable("a/there/1/mail:x"), stable("a/there/2/mail:x"));
    }
}
