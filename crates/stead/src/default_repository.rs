//! The repository of those who named none: below the user's data directory, with a password that we made.
//!
//! Only the user can read the password's file. It exists, durably, before the repository does, so that there is never a
//! repository whose password nobody knows.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::password::Password;

/// Where it is, or would be.
#[derive(Clone, Debug)]
pub(crate) struct DefaultRepository {
    /// The repository's directory.
    pub(crate) directory: PathBuf,
    /// The file with its password.
    pub(crate) password_file: PathBuf,
}

impl DefaultRepository {
    /// The place in this user's surroundings; `None` without a home.
    pub(crate) fn place() -> Option<DefaultRepository> {
        environment::data_directory().map(|below| DefaultRepository::below(&below))
    }

    /// The place below a directory.
    pub(crate) fn below(data: &Path) -> DefaultRepository {
        DefaultRepository { directory: data.join("repository"), password_file: data.join("password") }
    }

    /// True once somebody backed up to it. That it cannot be looked at does not mean that it is not there.
    pub(crate) fn exists(&self) -> Outcome<bool> {
        let config = self.directory.join("config");
        config.try_exists().map_err(|error| Failure::io("look for your own repository at", &config, error))
    }

    /// The password that was made for it.
    pub(crate) fn password(&self) -> Outcome<Password> {
        let doing = |error| Failure::io("read the password of your own repository from", &self.password_file, error);
        let content = fs::read(&self.password_file).map_err(doing).map_err(|failure| {
            failure.hint(format!(
                "put the file back, or name another with `--password-file`; without its password nothing in {} can \
                 be read",
                self.directory.display()
            ))
        })?;
        Ok(Password::generated(content.trim_ascii().to_vec()))
    }

    /// The password that an interrupted first run stored, or a new one, stored.
    pub(crate) fn make_password(&self) -> Outcome<Password> {
        let looking = |error| Failure::io("look for the password in", &self.password_file, error);
        if self.password_file.try_exists().map_err(looking)? {
            return self.password();
        }
        let password = Password::generate()?;
        self.store(&password).map_err(|error| Failure::io("store the new password in", &self.password_file, error))?;
        Ok(password)
    }

    fn store(&self, password: &Password) -> io::Result<()> {
        let directory = self.password_file.parent().unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let new = self.password_file.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
        file.write_all(password.bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        put_in_place(&new, &self.password_file)?;
        File::open(directory)?.sync_all()
    }

    /// What to tell when it was made.
    pub(crate) fn welcome(&self) -> String {
        format!(
            "made a repository for you at {}\n\
             its password is in {}, which only you can read.\n\
             Keep a copy of that file somewhere else: without it nobody, you included, can restore anything.\n\
             This repository is on the same machine as your files. To back up to another disk or machine, name it with \
             `-r`,\nfor example: stead backup -r /media/usb/backup PATH, or -r sftp:user@host:/backup",
            self.directory.display(),
            self.password_file.display()
        )
    }
}

/// Gives a file its name unless the name is taken: a password that opens a repository is never replaced.
fn put_in_place(new: &Path, name: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, new, CWD, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::hard_link(new, name)?;
            fs::remove_file(new)
        }
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_stored_for_the_user_only_and_found_again() {
        let room = tempfile::tempdir().expect("room");
        let place = DefaultRepository::below(&room.path().join("data"));
        let made = place.make_password().expect("a password");
        let again = place.make_password().expect("the same");
        assert_eq!(made.bytes(), again.bytes());
        assert_eq!(made.bytes(), place.password().expect("the same").bytes());
        let mode = fs::metadata(&place.password_file).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    /// A look at the file that failed once made a new password in the place of the only one.
    #[test]
    fn a_password_is_never_replaced() {
        let room = tempfile::tempdir().expect("room");
        let place = DefaultRepository::below(room.path());
        let made = place.make_password().expect("a password");
        assert!(place.store(&Password::generate().expect("another")).is_err());
        assert_eq!(made.bytes(), place.password().expect("the first").bytes());
    }

    #[test]
    fn a_lost_password_file_is_said() {
        let room = tempfile::tempdir().expect("room");
        let place = DefaultRepository::below(room.path());
        let failure = place.password().err().expect("no file");
        assert!(failure.to_string().contains("password"), "{failure}");
        assert!(failure.advice().expect("a hint").contains("--password-file"));
    }
}
