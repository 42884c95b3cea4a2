//! `stead fleet enrol`, `codes`: how machines come in.

use api::answer::firm::{Code, NewCode, OpenCode, OpenCodes, Policies, Policy};

use super::call::Call;
use super::named::one;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};
use crate::render::time::local_text;

/// Make a code that lets machines of a client in
///
/// It prints what is typed at the machine, and the QR code of the page. The code is told once.
///
/// Example: stead fleet enrol "Harbour Dental" --class laptop --policy Offices
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The client's name or id
    #[arg(value_name = "CLIENT")]
    client: String,
    /// What the machines are: server, workstation or laptop
    #[arg(long, value_name = "CLASS", default_value = "workstation")]
    class: String,
    /// What is done for them; without, nothing until somebody says so
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// How many machines it lets in
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    uses: u64,
    /// For how many hours, at most 744
    #[arg(long, value_name = "NUMBER", default_value_t = 24)]
    hours: u16,
}

/// List codes that still let machines in, or end one
///
/// Example: stead fleet codes
///          stead fleet codes end 0190b1c2-3d4e-7f50-8a6b-7c8d9e0f1a2b
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct CodesArgs {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Let nobody in by a code any more
    ///
    /// Example: stead fleet codes end 0190b1c2-3d4e-7f50-8a6b-7c8d9e0f1a2b
    End {
        /// Its id, as `stead fleet codes` shows it
        #[arg(value_name = "CODE")]
        id: store::CodeId,
    },
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        let client = call.client(&self.client)?;
        let policy = self.policy.as_deref().map(|name| policy(call, name)).transpose()?.map(|policy| policy.id);
        let new = NewCode { client: client.id, class: self.class, policy, uses: self.uses, hours: self.hours };
        let made: Code = call.send("/api/v1/codes", &new)?;
        output.message(&made)?;
        if let Some(picture) = server::qr::terminal(&made.link) {
            output.remark(picture)?;
        }
        output.result(format_args!("{}\n", made.command))?;
        let machines = if self.uses == 1 { "one machine".to_owned() } else { format!("{} machines", self.uses) };
        let until = local_text(&made.ends);
        output.result(format_args!("Lets {machines} of {} in until {until}.", printable(&client.name)))
    }
}

/// The one policy whose name, or identity, this is.
pub(super) fn policy(call: &Call, name: &str) -> Outcome<Policy> {
    let Policies { mut policies } = call.get("/api/v1/policies", &[])?;
    policies.retain(|policy| policy.id == name || policy.name == name);
    one("policy", name, policies, "`stead fleet policies` lists them")
}

impl CodesArgs {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        match self.verb {
            None => list(call, output),
            Some(Verb::End { id }) => {
                call.post(&format!("/api/v1/codes/{id}/end"))?;
                output.remark("it lets nobody in any more")
            }
        }
    }
}

fn list(call: &Call, output: Output) -> Outcome {
    let OpenCodes { codes } = call.get("/api/v1/codes", &[])?;
    let clients = call.clients()?;
    let mut table = Table::new(&["Client", "Lets in", "Until", "Made by", "Id"]);
    for code in &codes {
        output.message(code)?;
        let OpenCode { id, client, class, uses_left, ends, made_by, .. } = code;
        let known = clients.iter().find(|known| known.id == *client);
        let client = known.map_or_else(|| client.clone(), |known| printable(&known.name));
        table.row(vec![client, format!("{uses_left} {class}"), local_text(ends), printable(made_by), id.clone()]);
    }
    match codes.len() {
        0 => output.result("no code lets anybody in"),
        _ => output.result(table.render(output::width()).trim_end()),
    }
}
