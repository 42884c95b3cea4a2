//! `stead disk watch`: what is written to disks is noted, so that their next image reads only that.

use std::path::{Path, PathBuf};

use disks::tracker::{Hold, Keep, Watched, watched};
use disks::{Tracker, TrackerError, TrackerOptions};
use serde_json::json;

use super::view::OF_A_RUN;
use crate::failure::{Failure, Outcome};
use crate::open::Context;
use crate::output::{self, Output};
use crate::render::table::{Table, printable};
use crate::render::{size, time};

/// Note what is written to disks, so that their next image reads only that
///
/// A small program in the kernel does it, until `stead disk unwatch` or the end of the kernel: after a restart of the machine
/// the disk must be watched anew, and the next image reads everything once. The images of a watched disk must go to one
/// repository: each of them is where the next one continues. Without a disk, or with --list, it tells what is watched.
///
/// Example: stead disk watch /dev/sda
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Disks (of a partition, its disk)
    #[arg(value_name = "DEVICE")]
    disks: Vec<PathBuf>,
    /// Tell what is watched
    #[arg(long, conflicts_with = "disks")]
    list: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        for device in &self.disks {
            watch(context, device)?;
        }
        if self.list || self.disks.is_empty() { list(context.output()) } else { Ok(()) }
    }
}

fn watch(context: &Context, device: &Path) -> Outcome {
    let failed = |error: TrackerError| {
        let hint = error.hint();
        let failure = Failure::from(error).doing(format!("cannot watch {}", device.display()));
        hint.into_iter().fold(failure, Failure::hint)
    };
    let options = TrackerOptions { keep: Keep::Pinned, hold: Hold::Best };
    let tracker = Tracker::open_or_start(device, options).map_err(failed)?;
    let before = tracker.watched_since();
    tracker.watch(context.now());
    let (disk, since) = (tracker.disk().name(), tracker.watched_since());
    context
        .output()
        .message(&json!({"message_type": "watch", "disk": disk, "since": since, "is_new": before.is_none()}))?;
    let output = context.output();
    match before {
        Some(since) => output.remark(format_args!("{disk} is watched since {}", time::local(since))),
        None => output.remark(format_args!("{disk} is watched from now on; its next image reads everything once")),
    }
}

fn list(output: Output) -> Outcome {
    let all = watched()?;
    output.message(&json!({"message_type": "watched", "disks": all}))?;
    if all.is_empty() {
        return output.remark("no disk is watched");
    }
    let mut table = Table::new(&["Disk", "Size", "Watched since", "Continues", "Changed since", "State"]);
    all.iter().for_each(|one| table.row(row(one)));
    output.result(table.render(output::width()).trim_end())
}

fn row(one: &Watched) -> Vec<String> {
    let disk = one.disk.clone().unwrap_or_else(|| format!("{} (gone)", one.name));
    let since = one.since.map_or("for an image that was begun".into(), time::local);
    let base = match &one.base {
        Some(name) if name.starts_with(OF_A_RUN) => "an image that was begun".to_owned(),
        Some(name) => format!("snapshot {}", name.chars().take(8).collect::<String>()),
        None => "nothing yet".to_owned(),
    };
    let state = match (one.is_attached, one.used_by) {
        (false, _) => "lost writes: the next image reads everything".to_owned(),
        (true, Some(pid)) => format!("in use by process {pid}"),
        (true, None) => "good".to_owned(),
    };
    vec![printable(&disk), size::bytes(one.size), since, printable(&base), size::bytes(one.changed), state]
}
