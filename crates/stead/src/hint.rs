//! From an error to what helps against it. Hints are the edge's business: the engine only says what happened.

use std::error::Error;

use backend::Class;
use files::backup::BackupError;
use files::locate::LocateError;
use keeper::keys::TpmError;

use crate::failure::repository_error;

/// Advice for one error of a chain.
pub(crate) fn for_error(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = repository_error(error) {
        return for_repository(error);
    }
    if let Some(hint) = error.downcast_ref().and_then(for_path) {
        return Some(hint);
    }
    if let Some(BackupError::NothingThere) = error.downcast_ref() {
        return Some("check the spelling; a path that does not begin with `/` starts from the current folder".into());
    }
    if let Some(keeper::Error::Tpm(error)) = error.downcast_ref() {
        return for_tpm(error);
    }
    error.downcast_ref::<backend::Error>().and_then(for_storage)
}

fn for_tpm(error: &TpmError) -> Option<String> {
    let hint = match error {
        TpmError::NoProgram(_) => "install tpm2-tools (`apt-get install tpm2-tools` on Debian)",
        TpmError::Silent { .. } => {
            "is there a TPM 2.0 (`ls /dev/tpmrm0`), switched on in the firmware, and may this user use it (group tss)? \
             Another way to open the keys: `--passphrase`, `--key-file`"
        }
        TpmError::Foreign | TpmError::Damaged => {
            "open them in another way, if there is one (`--passphrase`, `--key-file`), and seal them to this TPM by \
             `stead keeper seal --passphrase --add-tpm`. If there is none, no keeper opens them again: copies and \
             repositories are opened by the clients' recovery sheets and by the machines' own passwords"
        }
        TpmError::Failed { .. } | TpmError::Program { .. } | TpmError::Room { .. } => return None,
    };
    Some(hint.into())
}

fn for_path(error: &LocateError) -> Option<String> {
    match error {
        LocateError::NotFound { .. } => {
            Some("`stead ls SNAPSHOT` shows what is; paths begin with `/` there, as on the machine".into())
        }
        LocateError::NotADirectory { .. } | LocateError::Repository(_) => None,
    }
}

fn for_repository(error: &repo::Error) -> Option<String> {
    use repo::Error as E;
    let hint = match error {
        E::Backend(error) => return for_storage(error),
        E::NoRepository { location } => format!("`stead init -r {location}` makes one; check the spelling first"),
        E::HalfRepository { .. } => {
            "put the file `config` back from a copy of the storage; nothing else can replace it".into()
        }
        E::AlreadyInitialised { .. } => "use it as it is, or choose another location".into(),
        E::WrongPassword => "check the password, its file or command; `--key-hint` tries one key first".into(),
        E::Damaged { .. } | E::DamagedBlob { .. } | E::MissingBlob(_) => {
            "`stead check --read-data` tells what else is damaged; the original files, where they still exist, \
             can be backed up again with `--force`"
                .into()
        }
        E::Locked { .. } => {
            "wait with `--retry-lock 10m`, which is longer than a lock lasts that a power cut left; if that process is \
             dead, `stead unlock` removes its lock"
                .into()
        }
        E::LockLost(_) => "run the command again; nothing that was stored before is lost".into(),
        E::NoSuchSnapshot(_) => "`stead snapshots` lists them; `latest` is the newest".into(),
        E::NoSuchFile { kind: backend::FileKind::Key, .. } => "`stead key list` lists them".into(),
        E::NoSuchFile { kind: backend::FileKind::Index, .. } => "`stead list index` lists them".into(),
        E::NoSuchFile { kind, .. } => format!("`stead list {kind}s` lists them"),
        E::SelfCheck { .. } => "test this machine's memory before trusting it with backups".into(),
        E::Unsupported(_) => "a newer program may be able to use it".into(),
        E::Local { .. } => "`--cache-dir` puts the cache elsewhere, `--no-cache` does without".into(),
        _ => return None,
    };
    Some(hint)
}

fn for_storage(error: &backend::Error) -> Option<String> {
    let hint = match error.class {
        Class::Offline => "check the network, and the address of the storage",
        Class::Throttled => "the storage asks for fewer requests: `--limit-upload` and `-o …connections=2` help",
        Class::Full => "make room on the storage, or `stead forget --prune` what is not needed any more",
        Class::Rejected => "check the credentials and permissions for the storage",
        Class::Untrusted => {
            "`--cacert FILE` names the authority of the server's certificate, `--tls-client-cert FILE` ours where the \
             server asks for one; this machine's clock has to be right"
        }
        Class::Corrupt => "`stead check --read-data` tells what else is damaged",
        Class::Transient | Class::NotFound | Class::Permanent => return None,
    };
    Some(hint.into())
}
