//! `stead fleet messages`: by what a firm sends messages, and whom it tells in which order.

mod change;

use api::answer::messages::{FirmMessages, Messages, NewTest, Step, Tested};
use api::answer::people::{Firm, People};

use super::call::Call;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Output};
use crate::render::table::{Table, printable};
use change::{FirmArgs, KeyArgs, MailArgs, StepsArgs, WatchdogArgs, WebhookArgs};

/// Show how a firm sends messages, change that, or try it
///
/// Passwords are never shown; the key of a webhook once, when it is made.
///
/// Example: stead fleet messages
///          stead fleet messages steps 0:anna@brightside.example 30:ben@brightside.example,webhook
///          stead fleet messages test mail
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Change the mail server; what is not named stays as it is
    ///
    /// Example: stead fleet messages mail --host mail.example.org --user stead --mail-password-file password --from stead@example.org
    Mail(MailArgs),
    /// Change the webhook; another address gets another key
    ///
    /// Example: stead fleet messages webhook https://hooks.example.org/stead
    Webhook(WebhookArgs),
    /// Give the webhook another key
    ///
    /// Example: stead fleet messages key
    Key(KeyArgs),
    /// Change whom the firm tells, and after how many minutes without anybody having it
    ///
    /// Example: stead fleet messages steps 0:anna@brightside.example 30:ben@brightside.example,webhook
    Steps(StepsArgs),
    /// Change what is called every minute while judging works
    ///
    /// Example: stead fleet messages watchdog https://watch.example.org/ping/abc
    Watchdog(WatchdogArgs),
    /// Send a test: by mail to your own address, or to the webhook
    ///
    /// Example: stead fleet messages test mail
    Test {
        /// mail or webhook
        #[arg(value_name = "WAY", value_enum)]
        way: Way,
        #[command(flatten)]
        firm: FirmArgs,
    },
}

/// By what a message goes.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Way {
    /// The firm's mail server
    Mail,
    /// The firm's webhook
    Webhook,
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        match self.verb {
            None => list(call, output),
            Some(Verb::Mail(args)) => args.run(call, output),
            Some(Verb::Webhook(args)) => args.run(call, output),
            Some(Verb::Key(args)) => args.run(call, output),
            Some(Verb::Steps(args)) => args.run(call, output),
            Some(Verb::Watchdog(args)) => args.run(call, output),
            Some(Verb::Test { way, firm }) => test(call, way, &firm.tenant(call)?, output),
        }
    }
}

fn test(call: &Call, way: Way, tenant: &str, output: Output) -> Outcome {
    let way = match way {
        Way::Mail => "mail",
        Way::Webhook => "webhook",
    };
    let tested: Tested = call.send("/api/v1/messages/test", &NewTest { tenant: tenant.into(), way: way.into() })?;
    output.message(&tested)?;
    let answer = printable(&tested.answer);
    if tested.sent { output.result(answer) } else { Err(Failure::new(answer)) }
}

fn list(call: &Call, output: Output) -> Outcome {
    let Messages { firms } = call.get("/api/v1/messages", &[])?;
    let People { firms: people } = call.get("/api/v1/people", &[])?;
    for firm in &firms {
        output.message(firm)?;
        let mut table = Table::new(&["What", "How"]);
        for (what, how) in rows(firm, &people) {
            table.row(vec![what, how]);
        }
        output.result(format_args!("{}\n{}", printable(&firm.name), table.render(output::width())))?;
    }
    Ok(())
}

fn rows(firm: &FirmMessages, people: &[Firm]) -> Vec<(String, String)> {
    let mail =
        firm.mail.as_ref().map(|mail| format!("{}:{} ({}), from {}", mail.host, mail.port, mail.protection, mail.from));
    let ways = [("mail", mail), ("webhook", firm.webhook.clone()), ("watchdog", firm.watchdog.clone())];
    let none = || "none".to_owned();
    let mut rows: Vec<(String, String)> =
        ways.into_iter().map(|(what, how)| (what.to_owned(), how.as_deref().map_or_else(none, printable))).collect();
    rows.extend(firm.steps.iter().map(|step| (format!("after {} min", step.after_minutes), told(step, people))));
    if firm.steps.is_empty() {
        rows.push(("told".into(), "nobody".into()));
    }
    rows
}

/// Whom a step tells.
fn told(step: &Step, people: &[Firm]) -> String {
    let name = |id: &String| {
        let mut members = people.iter().flat_map(|firm| &firm.members);
        members.find(|member| member.person == *id).map_or_else(|| id.clone(), |member| printable(&member.name))
    };
    let mut told: Vec<String> = step.people.iter().map(name).collect();
    told.extend(step.webhook.then(|| "the webhook".to_owned()));
    told.join(", ")
}
