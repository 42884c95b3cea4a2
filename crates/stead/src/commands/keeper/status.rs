//! `stead keeper status`: what the keeper does, in words.

use keeper::home::Home;
use keeper::keys::{Public, public_of};
use keeper::status::{Contact, Status, is_running, read, server_of};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::render::time;

/// Tell what the keeper does, and whether it has its server
///
/// Example: stead keeper status --json
#[derive(clap::Args)]
pub(super) struct Args {}

#[derive(Serialize)]
struct Told<'t> {
    message_type: &'static str,
    #[serde(flatten)]
    public: &'t Public,
    server: Option<&'t str>,
    running: bool,
    status: Option<&'t Status>,
}

impl Args {
    pub(super) fn run(self, home: &Home, output: Output) -> Outcome {
        if !home.keys().exists() {
            return Err(Failure::new("this keeper has no keys yet").hint("`stead keeper init` makes them"));
        }
        let (public, dial) = (public_of(&home.keys())?, server_of(home)?);
        let (running, status) = (is_running(home), read(home)?);
        let server = dial.as_ref().map(|dial| dial.server.as_str());
        output.message(&Told { message_type: "status", public: &public, server, running, status: status.as_ref() })?;
        output.result(format_args!("server    {}", server.unwrap_or("none yet")))?;
        output.result(format_args!("keeper    {}", standing(running, status.as_ref())))?;
        for status in status.iter().filter(|_| running) {
            for (machine, work) in &status.busy {
                output.result(format_args!("{work:<9} {machine}"))?;
            }
            output.result(format_args!("waiting   {} tasks", status.waiting))?;
        }
        Ok(())
    }
}

fn standing(running: bool, status: Option<&Status>) -> String {
    match status {
        _ if !running => "does not run; `stead keeper run` starts it".into(),
        None => "runs".into(),
        Some(Status { contact: Contact::Calling, .. }) => "runs, and calls the server".into(),
        Some(Status { contact: Contact::Connected, .. }) => "runs, connected".into(),
        Some(Status { contact: Contact::Apart(why), at, .. }) => {
            format!("runs, without the server since {}: {why}", time::local(*at))
        }
    }
}
