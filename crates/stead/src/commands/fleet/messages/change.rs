//! Changing how a firm sends messages: what is not named stays as it is.

use std::fs;
use std::path::PathBuf;

use api::answer::messages::{
    Changed, FirmMessages, Messages, NewKey, NewMail, NewSteps, NewWatchdog, NewWebhook, Step,
};
use api::answer::people::Firm;
use zeroize::Zeroizing;

use super::super::call::Call;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Whose messages.
#[derive(clap::Args)]
pub(super) struct FirmArgs {
    /// Of which firm; needed by those who belong to several
    #[arg(long, value_name = "FIRM")]
    firm: Option<String>,
}

impl FirmArgs {
    /// The firm, and how it sends messages now.
    fn found(&self, call: &Call) -> Outcome<(Firm, FirmMessages)> {
        let firm = call.firm(self.firm.as_deref())?;
        let Messages { firms } = call.get("/api/v1/messages", &[])?;
        let found = firms.into_iter().find(|known| known.tenant == firm.tenant);
        let found = found.ok_or_else(|| Failure::new(format!("you do not set up messages of {:?}", firm.name)))?;
        Ok((firm, found))
    }

    pub(super) fn tenant(&self, call: &Call) -> Outcome<String> {
        Ok(call.firm(self.firm.as_deref())?.tenant)
    }
}

#[derive(clap::Args)]
pub(super) struct MailArgs {
    /// The mail server; an empty name: none
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// At which port
    #[arg(long, value_name = "NUMBER")]
    port: Option<u16>,
    /// starttls, tls, or plain (to the server's own machine only)
    #[arg(long, value_name = "HOW")]
    protection: Option<String>,
    /// Sign in as this; an empty name: without
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Read the password from a file; without, the one that is kept
    #[arg(long, value_name = "FILE")]
    mail_password_file: Option<PathBuf>,
    /// The address that messages come from
    #[arg(long, value_name = "EMAIL")]
    from: Option<String>,
    /// Its certificate comes from this authority (PEM); an empty name: from one that the system trusts
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
    #[command(flatten)]
    firm: FirmArgs,
}

impl MailArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let (firm, found) = self.firm.found(call)?;
        let old = found.mail;
        let kept = |pick: fn(&api::answer::messages::Mail) -> &String| {
            old.as_ref().map(|mail| pick(mail).clone()).unwrap_or_default()
        };
        let password = self.mail_password_file.as_ref().map(read).transpose()?;
        let password = password.map(|text| Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()));
        let new = NewMail {
            tenant: firm.tenant,
            host: self.host.unwrap_or_else(|| kept(|mail| &mail.host)),
            port: self.port.or(old.as_ref().map(|mail| mail.port)).unwrap_or(587),
            protection: self.protection.unwrap_or_else(|| match &old {
                Some(mail) => mail.protection.clone(),
                None => "starttls".into(),
            }),
            user: self.user.unwrap_or_else(|| kept(|mail| &mail.user)),
            password: password.map(|text| text.to_string()),
            from: self.from.unwrap_or_else(|| kept(|mail| &mail.from)),
            authority: match &self.authority {
                Some(file) if file.as_os_str().is_empty() => String::new(),
                Some(file) => read(file)?,
                None => kept(|mail| &mail.authority),
            },
        };
        saved(&call.send("/api/v1/messages/mail", &new)?, output)
    }
}

fn read(file: &PathBuf) -> Outcome<String> {
    fs::read_to_string(file).map_err(|error| Failure::io("read", file, error))
}

/// What became of a change.
fn saved(changed: &Changed, output: Output) -> Outcome {
    output.message(changed)?;
    match &changed.key {
        Some(key) => output.result(format_args!("{key}\nis what its messages are signed with; it is told once")),
        None => output.remark("changed; `stead fleet messages test` tries it"),
    }
}

#[derive(clap::Args)]
pub(super) struct WebhookArgs {
    /// Who is called; an empty address: nobody
    #[arg(value_name = "URL")]
    address: String,
    #[command(flatten)]
    firm: FirmArgs,
}

impl WebhookArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let new = NewWebhook { tenant: self.firm.tenant(call)?, address: self.address };
        saved(&call.send("/api/v1/messages/webhook", &new)?, output)
    }
}

#[derive(clap::Args)]
pub(super) struct KeyArgs {
    #[command(flatten)]
    firm: FirmArgs,
}

impl KeyArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        saved(&call.send("/api/v1/messages/key", &NewKey { tenant: self.firm.tenant(call)? })?, output)
    }
}

#[derive(clap::Args)]
pub(super) struct WatchdogArgs {
    /// What is called; an empty address: nothing
    #[arg(value_name = "URL")]
    address: Option<String>,
    /// Whether addresses inside the server's network may be called, by this and by the webhook
    #[arg(long, value_name = "WHETHER", value_enum)]
    inside: Option<Inside>,
    #[command(flatten)]
    firm: FirmArgs,
}

/// Whether addresses that are not on the open Internet may be called.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Inside {
    /// They are refused, whatever a name resolves to
    Refused,
    /// They may be called
    Allowed,
}

impl WatchdogArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let (firm, found) = self.firm.found(call)?;
        let new = NewWatchdog {
            tenant: firm.tenant,
            address: self.address.or(found.watchdog).unwrap_or_default(),
            inside_allowed: self.inside.map_or(found.inside_allowed, |inside| inside == Inside::Allowed),
        };
        saved(&call.send("/api/v1/messages/watchdog", &new)?, output)
    }
}

#[derive(clap::Args)]
pub(super) struct StepsArgs {
    /// Minutes and whom: e-mail addresses of members, or webhook, with commas between; none: nobody is told
    #[arg(value_name = "MINUTES:WHOM", value_parser = step)]
    steps: Vec<(u32, Vec<String>)>,
    #[command(flatten)]
    firm: FirmArgs,
}

fn step(text: &str) -> Result<(u32, Vec<String>), String> {
    let (minutes, whom) = text.split_once(':').ok_or_else(|| format!("`{text}` is no MINUTES:WHOM"))?;
    let minutes = minutes.parse().map_err(|_| format!("`{minutes}` is no number of minutes"))?;
    Ok((minutes, whom.split(',').map(|whom| whom.trim().to_owned()).filter(|whom| !whom.is_empty()).collect()))
}

impl StepsArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let firm = call.firm(self.firm.firm.as_deref())?;
        let steps = self.steps.into_iter().map(|step| meant(&firm, step)).collect::<Outcome<_>>()?;
        saved(&call.send("/api/v1/messages/steps", &NewSteps { tenant: firm.tenant, steps })?, output)
    }
}

/// A step with its people by their identities.
fn meant(firm: &Firm, (after_minutes, whom): (u32, Vec<String>)) -> Outcome<Step> {
    let webhook = whom.iter().any(|whom| whom == "webhook");
    let person = |whom: &String| {
        let found = firm.members.iter().find(|member| member.email == *whom || member.person == *whom);
        let nobody = || Failure::new(format!("{whom:?} is no member of {}", firm.name));
        found.map(|member| member.person.clone()).ok_or_else(|| nobody().hint("`stead fleet people` lists them"))
    };
    let people = whom.iter().filter(|whom| *whom != "webhook").map(person).collect::<Outcome<_>>()?;
    Ok(Step { after_minutes, people, webhook })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_minutes_and_whom() {
        let whom = vec!["anna@brightside.example".to_owned(), "webhook".into()];
        assert_eq!(step("30:anna@brightside.example, webhook"), Ok((30, whom)));
        assert_eq!(step("0:"), Ok((0, Vec::new())));
        assert!(step("soon:anna").is_err() && step("30").is_err());
    }
}
