//! What all pages share: title, navigation, who is signed in, and what was just done, with its undo.

use askama::Template;
use axum::response::Html;
use serde::Deserialize;

use crate::problem::Problem;
use crate::visitor::Visitor;

/// A place in the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Fleet,
    Alerts,
    People,
    Enrol,
    Settings,
}

impl Place {
    /// All of them, in order; five fit on a phone.
    pub(crate) const ALL: [Place; 5] = [Place::Fleet, Place::Alerts, Place::People, Place::Enrol, Place::Settings];

    /// What it is called.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Place::Fleet => "Fleet",
            Place::Alerts => "Alerts",
            Place::People => "People",
            Place::Enrol => "Enrol",
            Place::Settings => "Settings",
        }
    }

    /// Where it is.
    pub(crate) fn address(self) -> &'static str {
        match self {
            Place::Fleet => "/",
            Place::Alerts => "/alerts",
            Place::People => "/people",
            Place::Enrol => "/enrol",
            Place::Settings => "/settings",
        }
    }
}

/// What was just done, as the address of a page says it: a word of ours and an identity, never free text.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Just {
    /// The word.
    pub(crate) said: Option<String>,
    /// What it was done to.
    pub(crate) of: Option<String>,
}

/// What was just done, in a sentence, and how to undo it.
pub(crate) struct Said {
    pub(crate) sentence: &'static str,
    pub(crate) undo: Option<String>,
}

impl Just {
    /// The address of a page that says so.
    pub(crate) fn at(page: &str, said: &str, of: impl std::fmt::Display) -> String {
        format!("{page}?said={said}&of={of}")
    }

    fn said(&self) -> Option<Said> {
        let of = self.of.as_deref().filter(|of| of.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))?;
        let done = |sentence, undo: Option<String>| Some(Said { sentence, undo });
        match self.said.as_deref()? {
            "acknowledged" => done("It is yours. It escalates no more.", Some(format!("/alerts/{of}/release"))),
            "released" => done("The alert is open again.", None),
            "silenced" => {
                done("Silenced: nobody is notified. The red stays visible.", Some(format!("/silences/{of}/end")))
            }
            "silence-ended" => done("The silence has ended.", None),
            "paused" => done("Paused: no run starts until the pause ends.", Some(format!("/machines/{of}/resume"))),
            "resumed" => done("The pause has ended.", None),
            "asked" => done("A backup is asked for. The machine begins when it can.", None),
            "cancelled" => done("It is called back. What was done of it stays.", None),
            "released-machine" => done("The machine is believed again, from its next call on.", None),
            "restoring" => done("The machine is told to put it back. The run shows where it went.", None),
            "granted" => done("The grant is given. It ends by itself.", Some(format!("/grants/{of}/end"))),
            "grant-ended" => done("The grant has ended. Its holder sees nothing of it any more.", None),
            "password" => done("Your password is changed. Your other sessions were ended.", None),
            "factor-on" => done("From now on a code of your phone is asked for at sign-in.", None),
            "factor-off" => done("Codes are not asked for any more.", None),
            "passkey" => done("The passkey is added. You can sign in with it.", None),
            "passkey-ended" => done("The passkey opens nothing any more. Remove it from your device, too.", None),
            "session-ended" => done("The session has ended: that browser must sign in again.", None),
            "token-ended" => done("The token opens nothing any more.", None),
            "code-ended" => done("The code opens nothing any more.", None),
            "client" => done("The client is there. Enrol its first machine.", None),
            "sheet" => done("The recovery sheet is at hand: that is noted now.", None),
            "policy" => done("The policy is saved. Machines that have it follow it from their next run.", None),
            "policy-removed" => done("The policy is removed.", None),
            "destination" => done("The destination is saved.", None),
            "machine" => done("The machine's settings are saved.", None),
            "retired" => done("The machine is retired. Its backups stay.", None),
            "messages" => done("Saved. Send a test to see that it arrives.", None),
            "role" => done("The role is changed.", None),
            _ => None,
        }
    }
}

/// The frame of a page.
pub(crate) struct Frame {
    pub(crate) title: String,
    pub(crate) here: Option<Place>,
    pub(crate) who: Option<String>,
    pub(crate) token: String,
    pub(crate) said: Option<Said>,
    pub(crate) demo: bool,
}

impl Frame {
    /// Of a page for somebody who is signed in.
    pub(crate) fn new(title: &str, here: Place, visitor: &Visitor, just: &Just) -> Frame {
        Frame {
            title: title.into(),
            here: Some(here),
            who: Some(visitor.person.name.clone()),
            token: visitor.form_token.clone(),
            said: just.said(),
            demo: visitor.demo,
        }
    }

    /// Of a page for anybody.
    pub(crate) fn outside(title: &str) -> Frame {
        Frame { title: title.into(), here: None, who: None, token: String::new(), said: None, demo: false }
    }
}

/// A template's HTML.
pub(crate) fn show(page: &impl Template) -> Result<Html<String>, Problem> {
    page.render().map(Html).map_err(|error| Problem::internal("fill a page", error))
}
