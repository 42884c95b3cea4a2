//! `stead disk unwatch`: nothing is noted any more.

use std::path::{Path, PathBuf};

use disks::tracker::{Watched, stop_watching, watched};
use platform::BlockDevice;
use serde_json::json;

use crate::failure::{Failure, Outcome};
use crate::open::Context;

/// Stop noting what is written to disks
///
/// Also for disks whose image was begun and not finished: the next run then reads everything. A disk that is gone is named as
/// `stead disk watch --list` shows it.
///
/// Example: stead disk unwatch /dev/sda
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Disks (of a partition, its disk)
    #[arg(value_name = "DEVICE", required = true)]
    disks: Vec<PathBuf>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        for device in &self.disks {
            let all = watched()?;
            let found = find(&all, device).ok_or_else(|| unwatched(device))?;
            if !stop_watching(&found.name)? {
                return Err(unwatched(device));
            }
            let disk = found.disk.as_deref().unwrap_or(&found.name);
            context.output().message(&json!({"message_type": "unwatch", "disk": disk}))?;
            context.output().remark(format_args!("{disk} is not watched any more"))?;
        }
        Ok(())
    }
}

/// By the disk that a path leads to, or by the name of what is gone.
fn find<'w>(all: &'w [Watched], device: &Path) -> Option<&'w Watched> {
    let disk = BlockDevice::at(device).and_then(|device| device.disk()).map(|disk| disk.name()).ok();
    let by_disk = all.iter().find(|one| one.disk.is_some() && one.disk == disk);
    by_disk.or_else(|| all.iter().find(|one| Path::new(&one.name) == device))
}

fn unwatched(device: &Path) -> Failure {
    Failure::new(format!("{} is not watched", device.display())).hint("`stead disk watch --list` tells what is")
}
