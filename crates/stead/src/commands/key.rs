//! `stead key`: the passwords that open a repository.

use std::path::PathBuf;

use backend::{FileKind, FileName};
use repo::key;
use serde::Serialize;

use crate::failure::{Doing, Failure, Outcome};
use crate::open::{Context, Opened};
use crate::output;
use crate::password::{Password, PasswordSource};
use crate::render::table::{Table, printable};
use crate::render::time;

/// Manage the passwords of a repository
///
/// Every key opens the whole repository.
///
/// Example: stead key add --new-password-file recovery.txt
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// List keys; the one in use has a star
    List,
    /// Add a password
    Add(NewPassword),
    /// Change the password: a new key, and the one in use goes
    Passwd(NewPassword),
    /// Remove a key, which must not be the one in use
    Remove {
        /// The key, by the start of its id
        #[arg(value_name = "ID")]
        id: String,
    },
}

#[derive(clap::Args)]
struct NewPassword {
    /// Read the new password from a file
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// Add an empty password, which protects nothing
    #[arg(long)]
    new_insecure_no_password: bool,
    /// User name to note with the key
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Host name to note with the key
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyJson {
    current: bool,
    id: String,
    user_name: String,
    host_name: String,
    created: String,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        match self.verb {
            Verb::List => list(context),
            Verb::Add(new) => {
                let opened = context.open_shared()?;
                let id = new.add(context, &opened)?;
                context.output().result_always(format_args!("saved new key with ID {id}"))
            }
            Verb::Passwd(new) => passwd(context, &new),
            Verb::Remove { id } => remove(context, &id),
        }
    }
}

fn list(context: &Context) -> Outcome {
    let opened = context.open_shared()?;
    let current = opened.repo.opened_by().id;
    let keys: Vec<KeyJson> = key::list(opened.repo.backend())?
        .into_iter()
        .map(|key| KeyJson {
            current: key.id == current,
            id: key.id.to_string(),
            user_name: key.username,
            host_name: key.hostname,
            created: time::local_text(&key.created),
        })
        .collect();
    let output = context.output();
    output.message(&keys)?;
    let mut table = Table::new(&[" ID", "User", "Host", "Created"]);
    for key in keys {
        let star = if key.current { '*' } else { ' ' };
        let id = format!("{star}{}", &key.id[..8]);
        table.row(vec![id, printable(&key.user_name), printable(&key.host_name), key.created]);
    }
    output.result(table.render(output::width()).trim_end())
}

fn passwd(context: &Context, new: &NewPassword) -> Outcome {
    let opened = context.open_exclusive()?;
    let id = new.add(context, &opened)?;
    let old = opened.repo.opened_by().id;
    remove_key(&opened, old)?;
    context.output().result_always(format_args!("saved new key with ID {id}"))
}

fn remove(context: &Context, id: &str) -> Outcome {
    let opened = context.open_exclusive()?;
    let id = opened.repo.find_file(FileKind::Key, id)?;
    if id == opened.repo.opened_by().id {
        return Err(Failure::new("refusing to remove the key that opened the repository just now")
            .hint("open it with another password, or change this one with `stead key passwd`"));
    }
    remove_key(&opened, id)?;
    context.output().result_always(format_args!("removed key {id}"))
}

fn remove_key(opened: &Opened, id: repo::Id) -> Outcome {
    let removed = opened.repo.backend().remove(&FileName::new(FileKind::Key, id));
    removed.doing(|| format!("cannot remove key {}", id.short()))
}

impl NewPassword {
    /// Adds the key and proves that the new password opens it.
    fn add(&self, context: &Context, opened: &Opened) -> Outcome<repo::Id> {
        let password = self.password()?;
        let origin = context.key_origin(self.user.clone(), self.host.clone());
        let storage = opened.repo.backend();
        let id = key::add(storage, opened.repo.key(), password.bytes(), password.kdf(), &origin)
            .doing(|| "cannot add the key".into())?;
        let proof = key::open(storage, password.bytes(), Some(&id.to_string()));
        proof.doing(|| format!("the new key {} does not open the repository", id.short()))?;
        Ok(id)
    }

    fn password(&self) -> Outcome<Password> {
        let file = self.new_password_file.clone();
        PasswordSource { none: self.new_insecure_no_password, file, ..PasswordSource::default() }
            .read_new("new password")
    }
}
