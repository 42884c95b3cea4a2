//! `stead fleet people`: who belongs to a firm.

use api::answer::people::{Firm, Invited, Member, NewPerson, NewRole, People};

use super::call::Call;
use super::named::one;
use crate::failure::Outcome;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};
use crate::render::time::local_text;

/// List members, add one, make a one-time link for one, or change a role
///
/// Example: stead fleet people
///          stead fleet people add Ben ben@brightside.example --role technician
#[derive(clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Add a member; who has no account yet gets a one-time link
    ///
    /// Example: stead fleet people add Ben ben@brightside.example --role technician
    Add {
        /// What they are called
        #[arg(value_name = "NAME")]
        name: String,
        /// What they sign in with
        #[arg(value_name = "EMAIL")]
        email: String,
        #[command(flatten)]
        role: RoleArgs,
    },
    /// Make a one-time link for a member who cannot sign in; it is told once
    ///
    /// Example: stead fleet people link ben@brightside.example
    Link {
        /// Their e-mail address or id
        #[arg(value_name = "PERSON")]
        person: String,
    },
    /// Give a member another role
    ///
    /// Example: stead fleet people role ben@brightside.example --role owner
    Role {
        /// Their e-mail address or id
        #[arg(value_name = "PERSON")]
        person: String,
        #[command(flatten)]
        role: RoleArgs,
    },
}

#[derive(clap::Args)]
struct RoleArgs {
    /// What they may: owner, technician, or client-viewer
    #[arg(long, value_name = "ROLE", value_enum)]
    role: Role,
    /// The client that a client viewer sees
    #[arg(long, value_name = "CLIENT", required_if_eq("role", "client-viewer"))]
    client: Option<String>,
    /// At which firm; needed by those who belong to several
    #[arg(long, value_name = "FIRM")]
    firm: Option<String>,
}

/// What a member may.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Role {
    /// Everything
    Owner,
    /// Looks after machines
    Technician,
    /// Sees one client
    ClientViewer,
}

impl Role {
    fn words(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Technician => "technician",
            Role::ClientViewer => "client viewer",
        }
    }
}

impl Args {
    pub(super) fn run(self, call: &Call, output: Output) -> Outcome {
        match self.verb {
            None => list(call, output),
            Some(Verb::Add { name, email, role }) => {
                let NewRole { tenant, role, client } = role.meant(call)?;
                invited(&call.send("/api/v1/people", &NewPerson { tenant, name, email, role, client })?, output)
            }
            Some(Verb::Link { person }) => {
                let person = member(call, &person)?.person;
                invited(&call.ask(&format!("/api/v1/people/{person}/link"), &[])?, output)
            }
            Some(Verb::Role { person, role }) => {
                let person = member(call, &person)?.person;
                call.tell(&format!("/api/v1/people/{person}/role"), &role.meant(call)?)?;
                output.remark("changed")
            }
        }
    }
}

impl RoleArgs {
    fn meant(self, call: &Call) -> Outcome<NewRole> {
        let client = self.client.map(|client| call.client(&client)).transpose()?.map(|client| client.id);
        let tenant = call.firm(self.firm.as_deref())?.tenant;
        Ok(NewRole { tenant, role: self.role.words().into(), client })
    }
}

/// The member of any firm who has this address, or identity.
fn member(call: &Call, name: &str) -> Outcome<Member> {
    let People { firms } = call.get("/api/v1/people", &[])?;
    let mut found: Vec<Member> = firms.into_iter().flat_map(|firm| firm.members).collect();
    found.retain(|member| member.email == name || member.person == name);
    // Whoever belongs to two firms is one person.
    found.dedup_by(|one, other| one.person == other.person);
    one("member", name, found, "`stead fleet people` lists them")
}

fn list(call: &Call, output: Output) -> Outcome {
    let People { firms } = call.get("/api/v1/people", &[])?;
    let mut table = Table::new(&["Firm", "Name", "E-mail", "Role", "Id"]);
    for Firm { name: firm, members, .. } in &firms {
        for member in members {
            output.message(member)?;
            let Member { person, name, email, role, .. } = member;
            table.row(vec![printable(firm), printable(name), printable(email), role.clone(), person.clone()]);
        }
    }
    output.result(table.render(output::width()).trim_end())
}

fn invited(invited: &Invited, output: Output) -> Outcome {
    output.message(invited)?;
    match (&invited.link, &invited.ends) {
        (Some(link), Some(ends)) => {
            output.result(format_args!("{link}\nlets whoever holds it in once, until {}", local_text(ends)))
        }
        _ => output.result("they sign in as usual"),
    }
}
