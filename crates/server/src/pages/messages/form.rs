//! Forms of messages: what was typed, kept as it was typed, and what it means.

use std::collections::BTreeMap;

use continuity::{Person, PersonId};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::notify::firm::{Kept, MailServer, Protection, Step};

/// Steps that a form offers.
pub(crate) const STEPS: usize = 4;

/// Minutes of the first step and those after it, where nobody said otherwise.
const USUAL: [u32; STEPS] = [0, 30, 60, 120];

/// A mail server as it is typed.
#[derive(Clone, Default)]
pub(super) struct MailForm {
    pub(super) host: String,
    pub(super) port: String,
    pub(super) protection: String,
    pub(super) user: String,
    pub(super) from: String,
    pub(super) authority: String,
    pub(super) has_password: bool,
}

impl MailForm {
    /// As it is stored.
    pub(super) fn of(server: Option<&MailServer>) -> MailForm {
        let Some(server) = server else {
            return MailForm { port: "587".into(), protection: "starttls".into(), ..MailForm::default() };
        };
        MailForm {
            host: server.host.clone(),
            port: server.port.to_string(),
            protection: server.protection.word().into(),
            user: server.user.clone(),
            from: server.from.clone(),
            authority: server.authority.clone(),
            has_password: !server.password.0.is_empty(),
        }
    }

    /// Protections, with their words, and whether chosen.
    pub(super) fn protections(&self) -> Vec<(&'static str, &'static str, bool)> {
        Protection::ALL.into_iter().map(|(_, word, words)| (word, words, self.protection == word)).collect()
    }

    /// What was meant; `password` is the new one, or the one that is kept.
    pub(super) fn meant(&self, password: Kept) -> Result<MailServer, &'static str> {
        let host = self.host.trim();
        if host.len() > 253 || host.contains(|c: char| c.is_whitespace() || c == '/' || c == '@') {
            return Err("A mail server is a name or a number, such as mail.example.org.");
        }
        let port = self.port.trim().parse().ok().filter(|port| *port > 0).ok_or("A port is a number, usually 587.")?;
        let protection = Protection::of_word(&self.protection).ok_or("There is no such protection.")?;
        let from = self.from.trim();
        if from.parse::<lettre::Address>().is_err() {
            return Err("Messages come from an e-mail address, such as stead@example.org.");
        }
        let authority = self.authority.trim();
        if !authority.is_empty() && !is_certificate(authority) {
            return Err("An authority is a certificate as text: it begins with -----BEGIN CERTIFICATE-----.");
        }
        let (host, user, from) = (host.to_owned(), self.user.trim().to_owned(), from.to_owned());
        Ok(MailServer { host, port, protection, user, password, from, authority: authority.to_owned() })
    }
}

/// Whether a text holds certificates that can be trusted, and nothing that cannot be read.
fn is_certificate(text: &str) -> bool {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let mut roots = RootCertStore::empty();
    read.is_ok_and(|found| !found.is_empty() && found.into_iter().all(|found| roots.add(found).is_ok()))
}

/// A step as it is typed.
pub(super) struct StepForm {
    pub(super) number: usize,
    pub(super) after: String,
    pub(super) people: Vec<(PersonId, String, bool)>,
    pub(super) webhook: bool,
}

impl StepForm {
    /// Those that are stored, and empty ones after them.
    pub(super) fn all(steps: &[Step], people: &[Person]) -> Vec<StepForm> {
        let form = |number: usize| {
            let step = steps.get(number);
            let is_told = |person: &Person| step.is_some_and(|step| step.people.contains(&person.id));
            let people = people.iter().map(|person| (person.id, person.name.clone(), is_told(person)));
            StepForm {
                number,
                after: step.map_or(USUAL[number], |step| step.after).to_string(),
                people: people.collect(),
                webhook: step.is_some_and(|step| step.webhook),
            }
        };
        (0..STEPS).map(form).collect()
    }

    /// As they were typed.
    pub(super) fn typed(fields: &BTreeMap<String, String>, people: &[Person]) -> Vec<StepForm> {
        let form = |number: usize| {
            let is_on = |whom: &str| fields.contains_key(&format!("{number}-{whom}"));
            let people = people.iter().map(|person| (person.id, person.name.clone(), is_on(&person.id.to_string())));
            StepForm {
                number,
                after: fields.get(&format!("{number}-after")).cloned().unwrap_or_default(),
                people: people.collect(),
                webhook: is_on("webhook"),
            }
        };
        (0..STEPS).map(form).collect()
    }

    /// Whether it tells nobody.
    pub(super) fn is_nobody(&self) -> bool {
        !self.webhook && !self.people.iter().any(|(_, _, is_told)| *is_told)
    }

    /// What was meant: steps that tell somebody, in order of time.
    pub(super) fn meant(forms: &[StepForm]) -> Result<Vec<Step>, &'static str> {
        let mut steps = Vec::new();
        for form in forms.iter().filter(|form| !form.is_nobody()) {
            let after = form.after.trim().parse::<u32>().ok().filter(|after| *after <= 7 * 24 * 60);
            let after = after.ok_or("A step comes after so many minutes: a number, at most a week.")?;
            let people = form.people.iter().filter(|(_, _, is_told)| *is_told).map(|(id, ..)| *id).collect();
            steps.push(Step { after, people, webhook: form.webhook });
        }
        steps.sort_by_key(|step| step.after);
        Ok(steps)
    }
}
