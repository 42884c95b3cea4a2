//! A terminal of somebody who has a token: `stead fleet` as they type it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use continuity::Act;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use store::{Secret, Store, Token, TokenId};

/// Somebody's terminal.
pub(crate) struct Terminal {
    server: String,
    authority: Option<PathBuf>,
    token: String,
}

impl Terminal {
    /// The owner's, at a server that told this when it began to listen, with its files below `data`.
    pub(crate) fn of_owner(told: &Value, data: &Path) -> Terminal {
        let address = told["address"].as_str().unwrap();
        let port = address.rsplit(':').next().unwrap();
        let scheme = address.split(':').next().unwrap();
        let authority = Some(data.join("tls/authority.pem")).filter(|file| file.exists());
        Terminal { server: format!("{scheme}://localhost:{port}"), authority, token: token(data) }
    }

    fn types(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stead"));
        command.arg("fleet").args(args).env("STEAD_SERVER", &self.server).env("STEAD_TOKEN", &self.token);
        if let Some(authority) = &self.authority {
            command.arg("--cacert").arg(authority);
        }
        command.output().unwrap()
    }

    /// What is shown, if it was done; else why not.
    pub(crate) fn tries(&self, args: &[&str]) -> Result<String, String> {
        let output = self.types(args);
        let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        if output.status.success() { Ok(out) } else { Err(out + &err) }
    }

    /// What is shown.
    pub(crate) fn shows(&self, args: &[&str]) -> String {
        self.tries(args).unwrap_or_else(|why| panic!("{args:?}: {why}"))
    }

    /// Why it is refused.
    pub(crate) fn refuses(&self, args: &[&str]) -> String {
        match self.tries(args) {
            Ok(out) => panic!("{args:?} was done: {out}"),
            Err(why) => why,
        }
    }

    /// What a script reads.
    pub(crate) fn tells(&self, args: &[&str]) -> Vec<Value> {
        let text = self.shows(&[args, &["--json"]].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{args:?}: {line}"))).collect()
    }
}

/// A token that may do what the owner may.
fn token(data: &Path) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (made, secret) = (Timestamp::now(), Secret::random());
        let store = Store::open(&format!("sqlite:{}", data.join("stead.db").display())).await.unwrap();
        let owner = store.system().sign_in("owner@localhost").await.unwrap().unwrap();
        let scope = store.system().scope(owner.person.id, made).await.unwrap().unwrap();
        let (id, ends) = (TokenId::made(made, rand::random()), made + SignedDuration::from_hours(1));
        let token = Token { id, name: "terminal".into(), acts: Act::ALL.into(), made, ends };
        store.within(&scope).add_token(&token, &secret).await.unwrap();
        secret.text().to_owned()
    })
}
