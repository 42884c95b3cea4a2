//! The programs that are compared, and how each is asked for an operation. Defaults only, besides what keeps them quiet.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program;
use crate::workspace;

/// What is measured, and the steps between that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Makes the repository.
    Init,
    /// First backup of everything.
    Backup,
    /// The same again, nothing changed.
    Rerun,
    /// Everything to an empty folder.
    Restore,
    /// Read and verify all data.
    Check,
    /// Backup of every second file, all of whose content is there already.
    BackupHalf,
    /// Forget all but the last snapshot, which has every second file.
    Forget,
    /// Free the space at once.
    Prune,
}

impl Step {
    /// In this order on one repository.
    pub(super) const ALL: [Step; 8] = [
        Step::Init,
        Step::Backup,
        Step::Rerun,
        Step::Restore,
        Step::Check,
        Step::BackupHalf,
        Step::Forget,
        Step::Prune,
    ];

    /// How tables call it; none if it is not measured.
    pub(super) fn title(self) -> Option<&'static str> {
        match self {
            Step::Backup => Some("first backup"),
            Step::Rerun => Some("re-run without change"),
            Step::Restore => Some("restore to an empty folder"),
            Step::Check => Some("check, all data read"),
            Step::Prune => Some("prune after forgetting half"),
            Step::Init | Step::BackupHalf | Step::Forget => None,
        }
    }
}

/// The folders of one round.
pub(super) struct Places<'a> {
    pub(super) repository: &'a Path,
    pub(super) source: &'a Path,
    pub(super) half: &'a Path,
    pub(super) target: &'a Path,
    pub(super) home: &'a Path,
}

/// A program.
pub(super) struct Contender {
    kind: Kind,
    path: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stead,
    Restic,
    Rustic,
    Borg,
}

impl Contender {
    /// All four, ours first.
    pub(super) fn all(stead: &Path) -> [Contender; 4] {
        let peer = |kind, name| Contender { kind, path: workspace::peers().join(name) };
        let stead = Contender { kind: Kind::Stead, path: stead.to_path_buf() };
        [stead, peer(Kind::Restic, "restic"), peer(Kind::Rustic, "rustic"), peer(Kind::Borg, "borg")]
    }

    /// Where the program is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What people call it.
    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Stead => "stead",
            Kind::Restic => "restic",
            Kind::Rustic => "rustic",
            Kind::Borg => "borg",
        }
    }

    /// Name and version in one line.
    pub(super) fn version(&self) -> String {
        let flag = if self.kind == Kind::Restic || self.kind == Kind::Stead { "version" } else { "--version" };
        let said = program::output(Command::new(&self.path).arg(flag)).unwrap_or_default();
        let words: Vec<&str> = said.split_whitespace().take(2).collect();
        if words.is_empty() { self.name().to_owned() } else { words.join(" ") }
    }

    /// The command for a step, with environment and working folder.
    pub(super) fn command(&self, step: Step, places: &Places<'_>) -> Command {
        let words = match self.kind {
            Kind::Stead | Kind::Restic => restic_words(step, places),
            Kind::Rustic => rustic_words(step, places),
            Kind::Borg => borg_words(step, places),
        };
        let mut command = Command::new(&self.path);
        command.args(words).current_dir(places.target).env("HOME", places.home).env("BORG_BASE_DIR", places.home);
        for variable in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env(variable, places.home.join(variable));
        }
        for variable in ["RESTIC_PASSWORD", "RUSTIC_PASSWORD", "BORG_PASSPHRASE"] {
            command.env(variable, "benchmark");
        }
        command
            .env("RESTIC_REPOSITORY", places.repository)
            .env("RUSTIC_REPOSITORY", places.repository)
            .env("RUSTIC_NO_PROGRESS", "true")
            .env("BORG_REPO", places.repository)
            .env("BORG_DELETE_I_KNOW_WHAT_I_AM_DOING", "YES");
        command
    }
}

type Words = Vec<PathBuf>;

fn words<const N: usize>(words: [&str; N]) -> Words {
    words.map(PathBuf::from).to_vec()
}

fn with(mut words: Words, last: &Path) -> Words {
    words.push(last.to_path_buf());
    words
}

fn restic_words(step: Step, places: &Places<'_>) -> Words {
    match step {
        Step::Init => words(["init", "-q"]),
        Step::Backup | Step::Rerun => with(words(["backup", "-q"]), places.source),
        Step::Restore => with(words(["restore", "-q", "latest", "--target"]), places.target),
        Step::Check => words(["check", "-q", "--read-data"]),
        Step::BackupHalf => with(words(["backup", "-q"]), places.half),
        Step::Forget => words(["forget", "-q", "--group-by", "", "--keep-last", "1"]),
        Step::Prune => words(["prune", "-q"]),
    }
}

fn rustic_words(step: Step, places: &Places<'_>) -> Words {
    match step {
        Step::Init => words(["init"]),
        Step::Backup | Step::Rerun => with(words(["backup"]), places.source),
        Step::Restore => with(words(["restore", "latest"]), places.target),
        Step::Check => words(["check", "--read-data"]),
        Step::BackupHalf => with(words(["backup"]), places.half),
        Step::Forget => words(["forget", "--group-by", "", "--keep-last", "1"]),
        // Without these it marks packs and deletes them a day later, and repacks no more than a tenth: the others, and
        // stead, free all that is unused at once.
        Step::Prune => words(["prune", "--instant-delete", "--keep-delete", "0s", "--max-repack", "unlimited"]),
    }
}

fn borg_words(step: Step, places: &Places<'_>) -> Words {
    match step {
        Step::Init => words(["init", "--encryption", "repokey"]),
        Step::Backup => with(words(["create", "::one"]), places.source),
        Step::Rerun => with(words(["create", "::two"]), places.source),
        Step::Restore => words(["extract", "::two"]),
        Step::Check => words(["check", "--verify-data"]),
        Step::BackupHalf => with(words(["create", "::half"]), places.half),
        Step::Forget => words(["prune", "--keep-last", "1"]),
        Step::Prune => words(["compact"]),
    }
}
