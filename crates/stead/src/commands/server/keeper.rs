//! `stead server keeper`: who may tend repositories.

use jiff::Timestamp;
use serde::Serialize;
use store::{KeeperId, NewKeeper};

use super::Site;
use crate::commands::up::local_keeper::digits;
use crate::failure::{Doing, Outcome};
use crate::output::Output;

#[derive(clap::Subcommand)]
pub(super) enum Verb {
    /// Let a keeper in, or believe one again; from now on machines seal copies of their keys to the first that was added
    ///
    /// Example: stead server keeper add vault --identity HEX --public HEX
    Add {
        /// What people call it
        name: String,
        /// The public key that it proves itself with (Ed25519), 64 hexadecimal digits
        #[arg(long, value_name = "HEX")]
        identity: String,
        /// The public key that keys are sealed to (X25519), 64 hexadecimal digits
        #[arg(long, value_name = "HEX")]
        public: String,
    },
    /// List the keepers
    ///
    /// Example: stead server keeper list
    List,
}

#[derive(Serialize)]
struct Shown<'a> {
    message_type: &'static str,
    id: String,
    name: &'a str,
    public: String,
    quarantined: Option<&'a str>,
}

impl Verb {
    pub(super) async fn run(self, site: &Site, output: Output) -> Outcome {
        let store = site.open().await?;
        if let Verb::Add { name, identity, public } = self {
            let now = Timestamp::now();
            let (identity, public) = (digits(&identity)?, digits(&public)?);
            let new = NewKeeper { id: KeeperId::made(now, rand::random()), name, identity, public };
            let doing = || format!("cannot add the keeper {}", new.name);
            store.system().add_keeper(&new, now).await.doing(doing)?;
        }
        for keeper in store.system().keepers().await? {
            let (id, public) = (keeper.id.to_string(), hex(&keeper.public));
            let (name, quarantined) = (keeper.name.as_str(), keeper.quarantined.as_deref());
            output.message(&Shown { message_type: "keeper", id, name, public, quarantined })?;
            let doubt = quarantined.map(|why| format!(", not believed: {why}")).unwrap_or_default();
            output.result(format_args!("{name} ({}){doubt}", keeper.id))?;
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
