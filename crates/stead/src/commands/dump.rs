//! `stead dump`: a file or a folder of a snapshot as a stream.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use files::dump::{self, DumpError, Format};
use repo::node::{Node, NodeKind};
use repo::{Id, Repository};

use crate::failure::{Failure, Outcome, OutputFailed};
use crate::open::Context;
use crate::output::Lines;
use crate::select::{self, FilterArgs};

/// Print a file of a snapshot, or a folder as tar or zip
///
/// Example: stead dump latest /home/anna/letter.odt > letter.odt
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which snapshot: `latest`, or the start of an id; ID:FOLDER for a folder of it
    #[arg(value_name = "SNAPSHOT")]
    snapshot: String,
    /// The file or folder in it
    #[arg(id = "inside", value_name = "PATH")]
    path: OsString,
    #[command(flatten)]
    filter: FilterArgs,
    /// Form of a folder: tar or zip
    #[arg(short, long, value_name = "FORMAT", default_value = "tar", value_parser = format)]
    archive: Format,
    /// Write to this file, not to standard output
    #[arg(short, long, value_name = "FILE")]
    target: Option<PathBuf>,
}

fn format(text: &str) -> Result<Format, String> {
    match text {
        "tar" => Ok(Format::Tar),
        "zip" => Ok(Format::Zip),
        _ => Err(format!("`{text}` is neither tar nor zip")),
    }
}

/// What is dumped.
enum What {
    File(Box<Node>),
    Folder(Id),
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let opened = context.open_shared()?;
        let found = opened.repo.find_snapshot(&self.snapshot, &self.filter.filter())?;
        let root = select::root(&opened.repo, &found)?;
        let what = self.what(&opened.repo, &root)?;
        opened.repo.index()?;
        match &self.target {
            Some(target) => self.to_file(&opened.repo, &what, target),
            None => self.to_stdout(&opened.repo, &what),
        }
    }

    fn what(&self, repo: &Repository, root: &Id) -> Outcome<What> {
        match files::locate::locate(repo, root, self.path.as_bytes())? {
            None => Ok(What::Folder(*root)),
            Some(node) => match (node.kind, node.subtree) {
                (NodeKind::Dir, Some(tree)) => Ok(What::Folder(tree)),
                (NodeKind::File, _) => Ok(What::File(Box::new(node))),
                _ => Err(Failure::new(format!("{} is neither a file nor a folder", self.path.to_string_lossy()))),
            },
        }
    }

    fn to_stdout(&self, repo: &Repository, what: &What) -> Outcome {
        if matches!(what, What::Folder(_)) && std::io::stdout().is_terminal() {
            return Err(Failure::new("an archive is no sight for a terminal")
                .hint("write it to a file with `--target`, or into a pipe"));
        }
        self.write(repo, what, &mut Lines::new()).map_err(|error| match error {
            DumpError::Output(error) => OutputFailed(error).into(),
            error => Failure::from(error),
        })
    }

    fn to_file(&self, repo: &Repository, what: &What, target: &Path) -> Outcome {
        let cannot = |error| Failure::io("write", target, error);
        let mut file = BufWriter::with_capacity(1 << 20, File::create(target).map_err(cannot)?);
        self.write(repo, what, &mut file)?;
        let file = file.into_inner().map_err(|error| cannot(error.into_error()))?;
        file.sync_all().or_else(unless_special).map_err(cannot)
    }

    fn write(&self, repo: &Repository, what: &What, out: &mut dyn Write) -> Result<(), DumpError> {
        match what {
            What::File(node) => dump::file(repo, node, out),
            What::Folder(tree) => dump::folder(repo, tree, self.path.as_bytes(), self.archive, out),
        }
    }
}

/// Pipes and devices cannot be flushed to a disk, and need not be.
fn unless_special(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::InvalidInput { Ok(()) } else { Err(error) }
}
