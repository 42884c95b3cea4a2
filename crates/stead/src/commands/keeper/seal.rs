//! `stead keeper seal`: in which ways the keeper's keys can be opened.

use std::path::PathBuf;

use keeper::home::Home;
use keeper::keys::{Keys, Way, ways_of};
use serde::Serialize;

use super::{OpenerArgs, Phrase, WayArg};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Choose what opens the keeper's keys: add a way, take one away
///
/// Each way that is there opens all of them: a key file, a passphrase, the machine's TPM, at most one of each. With a TPM the
/// keeper starts without anybody, and who carries its disk away has nothing; keep a passphrase beside it for the day on
/// which the machine breaks. Without options it lists the ways. A keeper that runs goes on.
///
/// Example: stead keeper seal --add-tpm --remove key-file
///          stead keeper seal --tpm --add-passphrase
///          stead keeper seal --passphrase --remove tpm
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// Let this machine's TPM open them too
    #[arg(long, help_heading = "What is changed")]
    add_tpm: bool,
    /// Let a passphrase open them too; it is asked for
    #[arg(long, help_heading = "What is changed")]
    add_passphrase: bool,
    /// Let the passphrase in this file open them too
    #[arg(long, value_name = "FILE", conflicts_with = "add_passphrase", help_heading = "What is changed")]
    add_passphrase_file: Option<PathBuf>,
    /// Let the key in this file open them too; made where it is missing
    #[arg(long, value_name = "FILE", help_heading = "What is changed")]
    add_key_file: Option<PathBuf>,
    /// Let this open them no more, after the others were added
    #[arg(long, value_name = "WAY", help_heading = "What is changed")]
    remove: Vec<WayArg>,
    #[command(flatten)]
    opener: OpenerArgs,
}

#[derive(Serialize)]
struct Told {
    message_type: &'static str,
    opens_with: Vec<&'static str>,
}

impl Args {
    pub(super) fn run(self, home: &Home, output: Output) -> Outcome {
        let path = home.keys();
        if !path.exists() {
            return Err(Failure::new("this keeper has no keys yet").hint("`stead keeper init` makes them"));
        }
        if self.changes() {
            let keys = Keys::open(&path, &self.opener.opener(home, Phrase::Known)?)?;
            for add in self.added() {
                keys.add_way(&path, &add.opener(home, Phrase::New)?)?;
            }
            for way in &self.remove {
                keys.remove_way(&path, (*way).into())?;
            }
        }
        let ways: Vec<&str> = ways_of(&path)?.into_iter().map(Way::word).collect();
        output.message(&Told { message_type: "keeper_ways", opens_with: ways.clone() })?;
        output.result(format_args!("the keeper's keys are opened by: {}", ways.join(", ")))
    }

    fn changes(&self) -> bool {
        !self.added().is_empty() || !self.remove.is_empty()
    }

    /// Each added way as what would open it.
    fn added(&self) -> Vec<OpenerArgs> {
        let (phrase, file) = (self.add_passphrase, self.add_passphrase_file.clone());
        let key = OpenerArgs { key_file: self.add_key_file.clone(), ..OpenerArgs::default() };
        let typed = OpenerArgs { passphrase: phrase, passphrase_file: file, ..OpenerArgs::default() };
        let tpm = OpenerArgs { tpm: self.add_tpm, ..OpenerArgs::default() };
        [key, typed, tpm].into_iter().filter(|args| *args != OpenerArgs::default()).collect()
    }
}
