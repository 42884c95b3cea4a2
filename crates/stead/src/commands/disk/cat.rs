//! `stead disk cat`: a file of an image to standard output.

use std::ffi::OsString;
use std::io::Write;

use disks::files::{self, FilesError};
use platform::FileType;

use super::ls::advised;
use super::place::Place;
use crate::failure::{Failure, Outcome, OutputFailed};
use crate::open::Context;
use crate::output::Lines;
use crate::select::FilterArgs;

/// Print a file out of an image, without restoring it
///
/// Example: stead disk cat latest:sda/1/etc/fstab
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Which image: `latest`, or the start of a snapshot's id; its disk, the partition's number (0 if it has none), the file
    #[arg(value_name = "SNAPSHOT:DISK/PARTITION/PATH")]
    place: OsString,
    #[command(flatten)]
    filter: FilterArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let place = Place::parse(&self.place)?;
        let opened = context.open_shared()?;
        let mut lines = Lines::new();
        place.with_files(context, &opened, &self.filter, |filesystem| {
            let doing = || format!("cannot print {}", place.text.to_string_lossy());
            let entry = files::find(filesystem, &place.path).map_err(|error| advised(error).doing(doing()))?;
            if let Some(trouble) = &entry.trouble {
                return Err(Failure::new(trouble.clone()).doing(doing()));
            }
            match entry.file_type {
                FileType::Regular => {}
                FileType::Directory => {
                    let hint = "`stead disk cp` copies directories, `stead disk ls` lists them";
                    return Err(Failure::new("it is a directory").hint(hint).doing(doing()));
                }
                FileType::Symlink => {
                    let target = String::from_utf8_lossy(&filesystem.link(&entry)?).into_owned();
                    return Err(Failure::new(format!("it is a link to {target}")).doing(doing()));
                }
                _ => return Err(Failure::new("it is no file").doing(doing())),
            }
            let mut failed = None;
            let read = filesystem.read(&entry, &mut |piece| {
                context
                    .cancel
                    .check()
                    .map_err(|error| failed = Some(error.into()))
                    .map_err(|()| FilesError::Stopped)?;
                lines.write_all(piece).map_err(|error| {
                    failed = Some(Failure::from(OutputFailed(error)));
                    FilesError::Stopped
                })
            });
            match failed {
                Some(failure) => Err(failure),
                None => read.map_err(|error| Failure::from(error).doing(doing())),
            }
        })?;
        lines.finish()
    }
}
