//! `stead keeper`: tends repositories for a server.

mod init;
mod run;
mod seal;
mod sheet;
mod status;

use std::path::PathBuf;

use keeper::home::Home;
use keeper::keys::{Opener, Tpm, Way, ways_of};
use zeroize::Zeroizing;

use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output::Output;
use crate::password::PasswordSource;

/// Tend repositories for a server: check, prune, copy, practise restores, hand out files
///
/// A keeper has the keys of the repositories that it tends, sealed to it by the machines; the server has none. Run it beside
/// the storage, not where the server is reached by browsers. Secrets of destinations that copies go to are files on its
/// machine, in `destinations` of its directory, named by the destination's id: lines such as AWS_ACCESS_KEY_ID=…
///
/// Example: stead keeper init --server backup.example --fingerprint 12:34:…
///          stead keeper run
///          stead keeper seal --add-tpm --add-passphrase --remove key-file
///          stead keeper sheet 01a1b2c3-… --page sheet.html
///          stead keeper status
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Where the keeper keeps its keys and what it must not lose [default: /var/lib/stead/keeper for root, else
    /// stead/keeper in your state directory]
    #[arg(long, global = true, value_name = "DIRECTORY")]
    state: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Verb {
    Init(init::Args),
    Run(run::Args),
    Seal(seal::Args),
    Sheet(sheet::Args),
    Status(status::Args),
}

/// What opens the keeper's keys; without any of them the key file, or the TPM where it was chosen and there is no key file.
#[derive(clap::Args, Default, PartialEq, Eq)]
#[command(next_help_heading = "What opens the keeper's keys")]
struct OpenerArgs {
    /// A file with a key; made by `init` where it is missing [default: `key` in the keeper's directory]
    #[arg(long, value_name = "FILE", group = "opener")]
    key_file: Option<PathBuf>,
    /// A passphrase that is typed at every start, or comes through a pipe
    #[arg(long, group = "opener")]
    passphrase: bool,
    /// A passphrase that is in this file at every start
    #[arg(long, value_name = "FILE", group = "opener")]
    passphrase_file: Option<PathBuf>,
    /// The machine's TPM 2.0, through tpm2-tools [env: TPM2TOOLS_TCTI, as tpm2-tools read it; else device:/dev/tpmrm0]
    #[arg(long, group = "opener")]
    tpm: bool,
}

/// A way in which the keys can be opened.
#[derive(Clone, Copy, clap::ValueEnum)]
enum WayArg {
    KeyFile,
    Passphrase,
    Tpm,
}

impl From<WayArg> for Way {
    fn from(way: WayArg) -> Way {
        match way {
            WayArg::KeyFile => Way::KeyFile,
            WayArg::Passphrase => Way::Passphrase,
            WayArg::Tpm => Way::Tpm,
        }
    }
}

/// Whether a passphrase is chosen now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phrase {
    New,
    Known,
}

impl Args {
    pub(crate) fn run(self, context: impl FnOnce() -> Outcome<Context>, output: Output) -> Outcome {
        let home = home(self.state)?;
        match self.verb {
            Verb::Init(args) => args.run(&home, output),
            Verb::Run(args) => args.run(home, &context()?),
            Verb::Seal(args) => args.run(&home, output),
            Verb::Sheet(args) => args.run(&home, output),
            Verb::Status(args) => args.run(&home, output),
        }
    }
}

fn home(given: Option<PathBuf>) -> Outcome<Home> {
    let usual = || match platform::effective_uid() {
        0 => Some(PathBuf::from("/var/lib/stead/keeper")),
        _ => environment::state_directory().map(|state| state.join("keeper")),
    };
    let nowhere =
        || Failure::new("there is no home directory to keep the keeper's state in").hint("name one with `--state`");
    Ok(Home::at(given.or_else(usual).ok_or_else(nowhere)?)?)
}

impl OpenerArgs {
    fn opener(&self, home: &Home, phrase: Phrase) -> Outcome<Opener> {
        if self.tpm || (phrase == Phrase::Known && self.is_only_by_tpm(home)?) {
            return Ok(Opener::Tpm(tpm(home)));
        }
        if self.passphrase || self.passphrase_file.is_some() {
            let source = PasswordSource { file: self.passphrase_file.clone(), ..PasswordSource::default() };
            let what = "passphrase of the keeper's keys";
            let typed = if phrase == Phrase::New { source.read_new(what)? } else { source.read(what)? };
            let text = std::str::from_utf8(typed.bytes()).map_err(|_| Failure::new("the passphrase is no text"))?;
            return Ok(Opener::Passphrase(Zeroizing::new(text.to_owned())));
        }
        Ok(Opener::File(self.key_file.clone().unwrap_or_else(|| home.key_file())))
    }
    /// Whether nothing was said and the TPM is the way that needs nobody.
    fn is_only_by_tpm(&self, home: &Home) -> Outcome<bool> {
        if *self != OpenerArgs::default() {
            return Ok(false);
        }
        let ways = ways_of(&home.keys())?;
        Ok(ways.contains(&Way::Tpm) && !ways.contains(&Way::KeyFile))
    }
}

fn tpm(home: &Home) -> Tpm {
    let tcti = environment::tpm().unwrap_or_else(|| "device:/dev/tpmrm0".into());
    let keys = home.keys();
    Tpm { tcti, room: keys.parent().map(std::path::Path::to_owned).unwrap_or_default() }
}
