//! `stead fleet policies`: what is done for machines, in words.

use std::collections::BTreeMap;

use api::answer::firm::{NewPolicy, Policies, Policy, Preview};

use super::call::Call;
use super::codes::policy;
use crate::consent;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Output};
use crate::render::table::{Table, printable};

/// List policies, show what one means, preview or save one, or remove one that nobody has
///
/// Example: stead fleet policies
///          stead fleet policies show Offices
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Show what a policy means, and the fields of its form
    ///
    /// Example: stead fleet policies show Offices
    Show {
        /// Its name or id
        #[arg(value_name = "POLICY")]
        policy: String,
    },
    /// Show what a policy would mean, and save nothing
    ///
    /// Example: stead fleet policies preview Offices daily=30 monthly=24
    Preview(FormArgs),
    /// Change a policy, or make a new one
    ///
    /// Fields are those of the page's form, as `stead fleet policies show` lists them; those that are not named stay as they
    /// are. A new policy is made with `--new`. Of several lines, the next one comes after `\n`; a box is ticked by `on`.
    ///
    /// Example: stead fleet policies save Offices daily=30
    ///          stead fleet policies save Nights --new paths=/srv at=22:00 zone=Europe/Vienna daily=14
    #[command(verbatim_doc_comment)]
    Save(FormArgs),
    /// Remove a policy that no machine has
    ///
    /// Example: stead fleet policies remove Nights --yes
    Remove {
        /// Its name or id
        #[arg(value_name = "POLICY")]
        policy: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

#[derive(clap::Args)]
struct FormArgs {
    /// Its name or id; of a new one the name
    #[arg(value_name = "POLICY")]
    policy: String,
    /// What is filled in; an empty value empties a field
    #[arg(value_name = "FIELD=VALUE", value_parser = field)]
    fields: Vec<(String, String)>,
    /// It is a new one
    #[arg(long)]
    new: bool,
    /// Of which firm a new one is; needed by those who belong to several
    #[arg(long, value_name = "FIRM", requires = "new")]
    firm: Option<String>,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is no FIELD=VALUE"))?;
    Ok((name.to_owned(), value.replace("\\n", "\n")))
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        match self.verb {
            None => list(call, output),
            Some(Verb::Show { policy: name }) => show(&policy(call, &name)?, output),
            Some(Verb::Preview(form)) => {
                let meant: Preview = call.send("/api/v1/policies/preview", &form.meant(call)?)?;
                output.message(&meant)?;
                sentences(&meant.sentences, output)
            }
            Some(Verb::Save(form)) => {
                let saved: Policy = call.send("/api/v1/policies", &form.meant(call)?)?;
                output.message(&saved)?;
                sentences(&saved.sentences, output)
            }
            Some(Verb::Remove { policy, yes }) => remove(call, &policy, yes, output),
        }
    }
}

fn list(call: &Call, output: Output) -> Outcome {
    let Policies { policies } = call.get("/api/v1/policies", &[])?;
    let mut table = Table::new(&["Policy", "What it means"]);
    for policy in &policies {
        output.message(policy)?;
        let sentences: Vec<String> = policy.sentences.iter().map(|sentence| printable(sentence)).collect();
        table.row(vec![printable(&policy.name), sentences.join("\n")]);
    }
    match policies.len() {
        0 => output.result("there is no policy yet"),
        _ => output.result(table.render(output::width()).trim_end()),
    }
}

fn show(policy: &Policy, output: Output) -> Outcome {
    output.message(policy)?;
    sentences(&policy.sentences, output)?;
    let mut table = Table::new(&["Field", "Value"]);
    for (name, value) in &policy.fields {
        let lines: Vec<String> = value.lines().map(printable).collect();
        table.row(vec![name.clone(), lines.join("\n")]);
    }
    output.result(format_args!("\n{}", table.render(output::width()).trim_end()))
}

fn sentences(sentences: &[String], output: Output) -> Outcome {
    sentences.iter().try_for_each(|sentence| output.result(printable(sentence)))
}

impl FormArgs {
    /// The whole form: what is stored, with what was named instead.
    fn meant(self, call: &Call) -> Outcome<NewPolicy> {
        let (tenant, id, mut fields) = match self.new {
            true => {
                let name = BTreeMap::from([("name".to_owned(), self.policy)]);
                (call.firm(self.firm.as_deref())?.tenant, None, name)
            }
            false => {
                let found = policy(call, &self.policy).map_err(|failure| failure_of_old(failure, &self.policy))?;
                (found.tenant, Some(found.id), found.fields)
            }
        };
        for (name, value) in self.fields {
            match value.is_empty() {
                true => fields.remove(&name),
                false => fields.insert(name, value),
            };
        }
        Ok(NewPolicy { tenant, id, fields })
    }
}

fn failure_of_old(failure: Failure, name: &str) -> Failure {
    let advice = failure.advice().unwrap_or_default();
    failure.hint(format!("{advice}; `--new` makes {name:?} a new one"))
}

fn remove(call: &Call, name: &str, yes: bool, output: Output) -> Outcome {
    let Policy { id, name, .. } = policy(call, name)?;
    if !yes {
        let what = format!("The policy {} is removed.\nRemove it?", printable(&name));
        consent::ask(&what, "`--yes` removes without asking", output)?;
    }
    call.post(&format!("/api/v1/policies/{id}/remove"))?;
    output.remark("removed")
}
