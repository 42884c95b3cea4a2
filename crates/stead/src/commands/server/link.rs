//! `stead server link`: a way in for whoever lost theirs.

use jiff::Timestamp;
use serde::Serialize;
use server::first;

use super::Site;
use crate::failure::{Doing, Outcome};
use crate::output::Output;

/// Print a one-time link by which somebody sets a new password and signs in
///
/// Example: stead server link owner@localhost
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What they sign in with
    email: String,
    /// How browsers reach the server
    #[arg(long, value_name = "URL", default_value = "https://localhost:8443")]
    address: String,
}

#[derive(Serialize)]
struct Made<'a> {
    message_type: &'static str,
    link: &'a str,
}

impl Args {
    pub(super) async fn run(self, site: &Site, output: Output) -> Outcome {
        let (store, email) = (site.open().await?, &self.email);
        let path =
            first::link(&store, email, Timestamp::now()).await.doing(|| format!("cannot make a link for {email}"))?;
        let link = format!("{}{path}", self.address.trim_end_matches('/'));
        output.message(&Made { message_type: "link", link: &link })?;
        output.result(format_args!("{link}"))?;
        output.remark(format_args!("Good once, within {} hours.", first::LINK_HOURS))
    }
}
