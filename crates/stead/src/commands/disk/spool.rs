//! Where an image waits until it is sent, and the sending.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use backend::{Backend, FileKind, Location};
use disks::inventory::{Inventory, disks_below};
use platform::DeviceNumber;
use platform::hardware::System;
use repo::progress::{Amount, Progress, Step};
use repo::send::{Sending, Sent, Waiting, send, waiting};
use serde_json::json;

use crate::environment;
use crate::failure::{Failure, Outcome};
use crate::open::{Context, Spooled};
use crate::output::Output;
use crate::render::progress::StepLine;
use crate::render::size;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// No spool: everything is sent while disks are read.
    None,
    /// The usual place, if that makes sense.
    Auto,
    /// This place.
    Directory(PathBuf),
}

impl FromStr for Wish {
    type Err = String;

    fn from_str(text: &str) -> Result<Wish, String> {
        match text {
            "" => Err("a directory, `auto` or `none`".to_owned()),
            "none" => Ok(Wish::None),
            "auto" => Ok(Wish::Auto),
            directory => Ok(Wish::Directory(directory.into())),
        }
    }
}

/// The usual place of spools.
pub(super) fn usual() -> Option<PathBuf> {
    environment::state_directory().map(|state| state.join("spool"))
}

impl Wish {
    /// The directory for an image of these disks; `None` if there shall be no spool.
    pub(super) fn directory(
        &self,
        context: &Context,
        disks: &[PathBuf],
        inventory: &Inventory,
    ) -> Outcome<Option<PathBuf>> {
        match self {
            Wish::None => Ok(None),
            Wish::Directory(directory) => match disk_below(directory, disks, inventory)? {
                None => Ok(Some(directory.clone())),
                Some(disk) => Err(on_the_disk(directory, &disk)),
            },
            Wish::Auto => {
                let makes_sense = |place: &PathBuf| makes_sense(place, context, disks, inventory).unwrap_or(false);
                Ok(usual().filter(makes_sense))
            }
        }
    }
}

/// The repository is elsewhere, and the place is on none of the disks and has room for all of them.
fn makes_sense(place: &Path, context: &Context, disks: &[PathBuf], inventory: &Inventory) -> Outcome<bool> {
    let location = context.settings.location.as_deref().and_then(|location| location.parse::<Location>().ok());
    if location.is_none_or(|location| matches!(location, Location::Local(_))) {
        return Ok(false);
    }
    if disk_below(place, disks, inventory)?.is_some() {
        return Ok(false);
    }
    let room = platform::volume(existing(place).as_os_str().as_encoded_bytes())?.available;
    let mut needed = 0u64;
    for disk in disks {
        let size = platform::BlockDevice::at(disk).and_then(|device| device.size());
        needed = needed.saturating_add(size.or_else(|_| std::fs::metadata(disk).map(|file| file.len()))?);
    }
    Ok(room > needed)
}

fn existing(place: &Path) -> &Path {
    place.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/"))
}

/// Which of the disks the place lies on.
fn disk_below(place: &Path, disks: &[PathBuf], inventory: &Inventory) -> Outcome<Option<PathBuf>> {
    let place = std::path::absolute(place).map_err(|error| Failure::io("find", place, error))?;
    let there = existing(&place);
    let system = System::this();
    let below = disks_below(&system, there).map_err(|error| Failure::io("look at", there, error))?;
    let is_below = |path: &&PathBuf| {
        let device = DeviceNumber::of(path).and_then(|number| system.device_of(number)).ok().flatten();
        let disk = device.and_then(|device| inventory.disk(&device.name).map(|disk| disk.name.clone()));
        disk.is_some_and(|disk| below.contains(&disk))
    };
    Ok(disks.iter().find(is_below).cloned())
}

fn on_the_disk(spool: &Path, disk: &Path) -> Failure {
    let (spool, disk) = (spool.display(), disk.display());
    Failure::new(format!("cannot image {disk}: the spool at {spool} lies on it, and would become part of the image"))
        .hint("name a directory on another disk or a stick, or none: --spool none sends while it reads")
}

/// Sends what waits, and says what became of it.
pub(super) fn send_all(context: &Context, directory: &Path, spooled: &Spooled) -> Outcome<Sent> {
    let waits = waiting(spooled.spool.near())?;
    if let Some(why) = &spooled.offline {
        return Err(not_sent(context.output(), directory, &waits, 0, why));
    }
    let opened = context
        .open_to_add()
        .map_err(|failure| not_sent(context.output(), directory, &waits, 0, &failure.to_string()))?;
    let (line, counted) = (StepLine::new(context.output()), AtomicU64::new(0));
    let progress = Counting { line: &line, packs: &counted };
    let sending = Sending { near: spooled.spool.near(), spooled: &spooled.repo, to: &opened.repo };
    let outcome = send(sending, &progress);
    drop(line);
    opened.close(context.output());
    match outcome {
        Ok(sent) => {
            // What is there now is what a capture without the network may count on. A list that fails is one from before.
            [FileKind::Index, FileKind::Snapshot].iter().for_each(|kind| drop(spooled.spool.list(*kind)));
            Ok(sent)
        }
        Err(error @ (repo::Error::Backend(_) | repo::Error::Cancelled)) => {
            Err(not_sent(context.output(), directory, &waits, counted.into_inner(), &error.to_string()))
        }
        Err(error) => Err(Failure::from(error)
            .doing(format!("cannot send what waits in {}", directory.display()))
            .hint("the spool was left as it is; image the disk again to add what is missing")),
    }
}

/// Says that an image waits.
fn not_sent(output: Output, directory: &Path, waits: &Waiting, sent: u64, why: &str) -> Failure {
    // Whoever reads messages gets the figures; the failure tells people.
    _ = output.message(&json!({
        "message_type": "spool", "state": "captured", "spool": directory, "packs_total": waits.packs,
        "packs_sent": sent, "bytes": waits.bytes, "snapshots": waits.snapshots,
    }));
    let (packs, bytes) = (waits.packs, size::bytes(waits.bytes));
    let place = directory.display();
    Failure::not_sent(format!("captured, not sent: {sent} of {packs} packs ({bytes}) in {place}: {why}"))
        .hint(format!("`stead disk send --spool {place}` goes on"))
}

/// What was sent, in words.
pub(super) fn tell(output: Output, directory: &Path, sent: &Sent) -> Outcome {
    output.message(&json!({
        "message_type": "spool", "state": "sent", "spool": directory, "packs_sent": sent.packs - sent.there,
        "packs_there": sent.there, "bytes_sent": sent.bytes, "snapshots": sent.snapshots,
    }))?;
    for id in &sent.snapshots {
        output.remark(format_args!("snapshot {} is in the repository now", id.short()))?;
    }
    let (new, bytes) = (sent.packs - sent.there, size::bytes(sent.bytes));
    output.remark(format_args!("{new} packs sent ({bytes}), {} were there already", sent.there))
}

/// Shows steps, and counts packs.
struct Counting<'c> {
    line: &'c StepLine,
    packs: &'c AtomicU64,
}

impl Progress for Counting<'_> {
    fn begin(&self, step: Step, total: Amount) {
        self.line.begin(step, total);
    }

    fn advance(&self, done: Amount) {
        // Trees have no bytes.
        if done.bytes > 0 {
            self.packs.fetch_add(done.items, Relaxed);
        }
        self.line.advance(done);
    }
}
