//! `stead server keeper`: who may tend repositories.

use jiff::Timestamp;
use serde::Serialize;
use store::{KeeperId, NewKeeper};

use super::Site;
use crate::failure::{Doing, Failure, Outcome};
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
            let (identity, public) = (key("identity", &identity)?, key("public key", &public)?);
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

fn key(what: &str, text: &str) -> Outcome<[u8; 32]> {
    let wrong = || Failure::new(format!("the {what} is not 64 hexadecimal digits"));
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    for (byte, place) in bytes.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[place..place + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
