//! `stead disk cp`: files and directories out of an image into a directory of this machine.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use disks::files::{self, Copied, Copying, Existing, Filesystem, Told};
use platform::create::Directory;
use serde_json::json;

use super::ls::advised;
use super::place::Place;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output::Output;
use crate::render::size;
use crate::render::table::printable;
use crate::select::FilterArgs;

/// Copy files or directories out of an image, without restoring it
///
/// Times and modes are kept, owners too for root; links are copied as links; holes stay holes. What is there is not
/// overwritten without --force. Into a directory that is there, it is copied under its name.
///
/// Example: stead disk cp latest:sda/1/home/anna /srv/rescued
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which image: `latest`, or the start of a snapshot's id; its disk, the partition's number (0 if it has none), the path
    #[arg(value_name = "SNAPSHOT:DISK/PARTITION/PATH")]
    place: OsString,
    /// Where to: a directory that is there, or a new name
    #[arg(value_name = "TARGET")]
    target: PathBuf,
    #[command(flatten)]
    filter: FilterArgs,
    /// Replace files that are there; directories stay and take what is new
    #[arg(long)]
    force: bool,
}

/// Where a copy goes: a directory, and a name in it. No name stands for the directory itself.
struct Target {
    directory: Directory,
    name: Vec<u8>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let place = Place::parse(&self.place)?;
        let opened = context.open_shared()?;
        let copied = place.with_files(context, &opened, &self.filter, |filesystem| {
            self.copy(context, filesystem, &place.path).map_err(|error| {
                let (from, to) = (place.text.to_string_lossy(), self.target.display());
                error.doing(format!("cannot copy {from} to {to}"))
            })
        })?;
        tell(context.output(), &copied)?;
        match copied.failed {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} files or directories were not copied"))),
        }
    }

    fn copy(&self, context: &Context, filesystem: &dyn Filesystem, path: &[u8]) -> Outcome<Copied> {
        let entry = files::find(filesystem, path).map_err(advised)?;
        let target = self.target(&entry.name)?;
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        let output = context.output();
        let mut broken = None;
        let mut hears = |told: Told<'_>| {
            let heard = match told {
                Told::Bytes(_) => Ok(()),
                Told::Copied(path) => output.detail(printable(&String::from_utf8_lossy(path))),
                Told::Failed { path, reason } => {
                    let path = printable(&String::from_utf8_lossy(path));
                    output.warn(format_args!("{path} was not copied: {}", printable(&reason)));
                    Ok(())
                }
            };
            let heard = heard.and_then(|()| Ok(context.cancel.check()?));
            heard.map_err(|failure| broken = Some(failure)).is_ok()
        };
        let copied = Copying::new(filesystem, target.directory, existing, &mut hears).copy(entry, &target.name);
        match broken {
            Some(failure) => Err(failure),
            None => Ok(copied?),
        }
    }

    /// A directory that is there takes the copy under its own name; else the last name of the path is the copy's.
    fn target(&self, own: &[u8]) -> Outcome<Target> {
        let open = |path: &Path| Directory::at_path(path).map_err(|error| Failure::io("open", path, error));
        if self.target.is_dir() {
            return Ok(Target { directory: open(&self.target)?, name: own.to_vec() });
        }
        let name = self.target.file_name().map(OsStr::as_bytes).unwrap_or_default();
        if name.is_empty() {
            return Err(Failure::new(format!("{} is not there", self.target.display())));
        }
        let parent = self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        Ok(Target { directory: open(parent)?, name: name.to_vec() })
    }
}

fn tell(output: Output, copied: &Copied) -> Outcome {
    let Copied { entries, bytes, failed } = *copied;
    output.message(&json!({
        "message_type": "summary", "entries_copied": entries, "bytes_copied": bytes, "entries_failed": failed,
    }))?;
    output.remark(format_args!("copied {entries} files, links and directories, {}", size::bytes(bytes)))
}
