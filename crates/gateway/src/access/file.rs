//! Accounts in a JSON file. It is replaced as a whole and durably; a running gateway sees a change with the next request.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;

use super::*;
use crate::Secret;

/// A file with accounts and repositories. A file that does not exist has none.
pub struct FileAccess {
    path: PathBuf,
    seen: Mutex<Option<Seen>>,
}

/// What the file said when it had that stamp.
struct Seen {
    stamp: Stamp,
    content: Arc<Content>,
}

/// Changes with the file.
type Stamp = Option<(SystemTime, u64)>;

#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Content {
    #[serde(default)]
    accounts: BTreeMap<String, Entry>,
    #[serde(default)]
    repositories: BTreeMap<RepositoryName, Kept>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Entry {
    secret: SecretHash,
    #[serde(flatten)]
    role: Role,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "role", rename_all = "lowercase")]
enum Role {
    Machine {
        repository: RepositoryName,
    },
    Keeper {
        /// Missing: all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repositories: Option<Vec<RepositoryName>>,
    },
}

#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
struct Kept {
    enrolment: Enrolment,
    #[serde(flatten)]
    limits: Limits,
}

/// What a new credential is for.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Its name, which restic sends as the user.
    pub name: String,
    /// Who will have it. A machine's repository comes into being with its first account, enrolment open.
    pub holder: Holder,
    /// Limits of that repository; `None` leaves those that it has.
    pub limits: Option<Limits>,
}

/// Something that the file's content does not allow.
#[derive(Debug, thiserror::Error)]
enum Objection {
    #[error("an account of that name exists; its secret cannot be shown again")]
    Exists,
    #[error("there is no repository of that name")]
    NoRepository,
    #[error("an account's name has 1 to 64 of A-Z, a-z, 0-9, `-`, `_` and `.`")]
    BadAccountName,
}

impl FileAccess {
    /// The accounts in that file, which is read when somebody asks.
    pub fn new(path: impl Into<PathBuf>) -> FileAccess {
        FileAccess { path: path.into(), seen: Mutex::new(None) }
    }

    /// Adds a credential and gives its secret, which is kept nowhere else.
    pub fn add(&self, new: NewAccount) -> Result<Secret, AccessError> {
        let secret = Secret::random();
        self.change("add", &new.name.clone(), |content| {
            if !is_account_name(&new.name) {
                return Err(Objection::BadAccountName);
            }
            if content.accounts.contains_key(&new.name) {
                return Err(Objection::Exists);
            }
            if let Holder::Machine(repository) = &new.holder {
                let kept = content.repositories.entry(repository.clone()).or_default();
                kept.limits = new.limits.unwrap_or(kept.limits);
            }
            let entry = Entry { secret: secret.hash(), role: new.holder.into() };
            content.accounts.insert(new.name, entry);
            Ok(())
        })?;
        Ok(secret)
    }

    /// Ends the enrolment of a repository: from now on its config and keys are a keeper's.
    pub fn seal(&self, repository: &RepositoryName) -> Result<(), AccessError> {
        self.change("seal", repository.as_str(), |content| {
            let kept = content.repositories.get_mut(repository).ok_or(Objection::NoRepository)?;
            kept.enrolment = Enrolment::Sealed;
            Ok(())
        })
    }

    /// Names of all accounts with who has them, in order.
    pub fn accounts(&self) -> Result<Vec<(String, Holder)>, AccessError> {
        let content = self.content()?;
        Ok(content.accounts.iter().map(|(name, entry)| (name.clone(), entry.role.clone().into())).collect())
    }

    fn change(
        &self,
        action: &'static str,
        what: &str,
        change: impl FnOnce(&mut Content) -> Result<(), Objection>,
    ) -> Result<(), AccessError> {
        let fail = |error: Box<dyn Error + Send + Sync>| AccessError { action, what: what.to_owned(), source: error };
        let _alone = self.lock().map_err(|error| fail(error.into()))?;
        let mut content = read(&self.path).map_err(fail)?;
        change(&mut content).map_err(|objection| fail(objection.into()))?;
        self.replace(&content).map_err(|error| fail(error.into()))
    }

    /// Two commands at once take turns.
    fn lock(&self) -> io::Result<File> {
        let lock = private(&self.path.with_extension("lock"), false)?;
        lock.lock()?;
        Ok(lock)
    }

    fn replace(&self, content: &Content) -> io::Result<()> {
        let new = self.path.with_extension("new");
        let mut file = private(&new, true)?;
        file.write_all(&serde_json::to_vec_pretty(content)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
    }

    fn content(&self) -> Result<Arc<Content>, AccessError> {
        let fail = |error| AccessError { action: "read", what: self.path.display().to_string(), source: error };
        let stamp = stamp(&self.path);
        let mut seen = self.seen.lock();
        if let Some(seen) = seen.as_ref().filter(|seen| seen.stamp == stamp && stamp.is_some()) {
            return Ok(Arc::clone(&seen.content));
        }
        let content = Arc::new(read(&self.path).map_err(fail)?);
        *seen = Some(Seen { stamp, content: Arc::clone(&content) });
        Ok(content)
    }
}

impl Access for FileAccess {
    fn account(&self, name: &str) -> Result<Option<Account>, AccessError> {
        let content = self.content()?;
        let found = content.accounts.get(name);
        Ok(found.map(|entry| Account { secret: entry.secret, holder: entry.role.clone().into() }))
    }

    fn rules(&self, repository: &RepositoryName) -> Result<Option<Rules>, AccessError> {
        let content = self.content()?;
        let found = content.repositories.get(repository);
        Ok(found.map(|kept| Rules { enrolment: kept.enrolment, limits: kept.limits }))
    }

    fn repositories(&self) -> Result<Vec<RepositoryName>, AccessError> {
        Ok(self.content()?.repositories.keys().cloned().collect())
    }
}

impl From<Holder> for Role {
    fn from(holder: Holder) -> Role {
        match holder {
            Holder::Machine(repository) => Role::Machine { repository },
            Holder::Keeper(Reach::All) => Role::Keeper { repositories: None },
            Holder::Keeper(Reach::Only(repositories)) => Role::Keeper { repositories: Some(repositories) },
        }
    }
}

impl From<Role> for Holder {
    fn from(role: Role) -> Holder {
        match role {
            Role::Machine { repository } => Holder::Machine(repository),
            Role::Keeper { repositories: None } => Holder::Keeper(Reach::All),
            Role::Keeper { repositories: Some(repositories) } => Holder::Keeper(Reach::Only(repositories)),
        }
    }
}

fn is_account_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"-_.".contains(&letter))
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn read(path: &Path) -> Result<Content, Box<dyn Error + Send + Sync>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Content::default()),
        Err(error) => Err(error.into()),
    }
}

/// A file that only its owner may read.
fn private(path: &Path, truncate: bool) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(truncate);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(name: &str) -> NewAccount {
        NewAccount { name: name.into(), holder: Holder::Machine("office".parse().unwrap()), limits: None }
    }

    #[test]
    fn a_new_account_is_known_to_a_gateway_that_runs_already() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("access.json");
        let (running, command) = (FileAccess::new(&path), FileAccess::new(&path));
        assert_eq!(running.account("pc").unwrap(), None);
        let secret = command.add(machine("pc")).unwrap();
        let account = running.account("pc").unwrap().unwrap();
        assert!(account.secret.is_of(secret.reveal()));
        assert_eq!(account.holder, Holder::Machine("office".parse().unwrap()));
        assert!(!fs::read_to_string(&path).unwrap().contains(secret.reveal()), "only the hash is stored");
    }

    #[test]
    fn names_are_taken_once_and_sealing_needs_a_repository() {
        let room = tempfile::tempdir().unwrap();
        let access = FileAccess::new(room.path().join("access.json"));
        access.add(machine("pc")).unwrap();
        assert!(access.add(machine("pc")).is_err());
        assert!(access.add(machine("a:b")).is_err());
        let office: RepositoryName = "office".parse().unwrap();
        assert_eq!(access.rules(&office).unwrap().unwrap().enrolment, Enrolment::Open);
        access.seal(&office).unwrap();
        assert_eq!(access.rules(&office).unwrap().unwrap().enrolment, Enrolment::Sealed);
        assert!(access.seal(&"other".parse().unwrap()).is_err());
    }

    #[test]
    fn a_damaged_file_lets_nobody_in() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("access.json");
        fs::write(&path, "{\"accounts\": {\"pc\": {\"secret\": \"\"}}}").unwrap();
        assert!(FileAccess::new(&path).account("pc").is_err());
    }
}
