//! Where an image waits until it is sent, and the sending.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use backend::{Backend, Brim, FileKind, Location};
use disks::inventory::{Inventory, disks_below};
use disks::left_out::check_kind;
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

/// The directory of a spool.
pub(super) struct Chosen {
    pub(super) directory: PathBuf,
    /// Of what is imaged, what it lies on, perhaps with more in between.
    pub(super) disks: Vec<PathBuf>,
}

impl Wish {
    /// The directory for an image of these disks; `None` if there shall be no spool.
    pub(super) fn directory(
        &self,
        context: &Context,
        disks: &[PathBuf],
        inventory: &Inventory,
    ) -> Outcome<Option<Chosen>> {
        match self {
            Wish::None => Ok(None),
            Wish::Directory(directory) => {
                let directory =
                    std::path::absolute(directory).map_err(|error| Failure::io("find", directory, error))?;
                let disks = disks_of(&directory, disks, inventory)?;
                if let Some(disk) = disks.first() {
                    check_kind(existing(&directory)).map_err(|error| not_left_out(&directory, disk, &error))?;
                }
                Ok(Some(Chosen { directory, disks }))
            }
            Wish::Auto => {
                let makes_sense = |place: &PathBuf| makes_sense(place, context, disks, inventory).unwrap_or(false);
                Ok(usual().filter(makes_sense).map(|directory| Chosen { directory, disks: Vec::new() }))
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
    if !disks_of(place, disks, inventory)?.is_empty() {
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
fn disks_of(place: &Path, disks: &[PathBuf], inventory: &Inventory) -> Outcome<Vec<PathBuf>> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| Failure::io("find", path, error));
    let place = absolute(place)?;
    let there = existing(&place);
    let system = System::this();
    let below = disks_below(&system, there).map_err(|error| Failure::io("look at", there, error))?;
    let is_below = |path: &&PathBuf| {
        let device = DeviceNumber::of(path).and_then(|number| system.device_of(number)).ok().flatten();
        device.is_some_and(|device| {
            let disk = inventory.disk(&device.name).map(|disk| &disk.name);
            below.contains(&device.name) || disk.is_some_and(|disk| below.contains(disk))
        })
    };
    disks.iter().filter(is_below).map(|path| absolute(path)).collect()
}

/// Why a disk that has the spool on it is not imaged.
pub(super) fn not_left_out(spool: &Path, disk: &Path, why: &dyn Display) -> Failure {
    let (spool, disk) = (spool.display(), disk.display());
    Failure::new(format!("cannot image {disk}: the spool at {spool} lies on it, and cannot be left out: {why}"))
        .hint("name a directory on another disk or a stick, or none: --spool none sends while it reads")
}

/// So much room is left to others on a disk that is imaged: a twentieth of it, and 1 GiB at most.
fn is_nearly_full(directory: &Path, bytes: u64) -> bool {
    platform::volume(directory.as_os_str().as_encoded_bytes())
        .is_ok_and(|volume| volume.available < bytes.saturating_add((volume.total / 20).min(1 << 30)))
}

impl Chosen {
    /// When the spool counts as full: others on the disk need room too.
    pub(super) fn brim(&self, output: Output) -> Option<Brim> {
        self.disks.first()?;
        let (directory, is_told) = (self.directory.clone(), AtomicBool::new(false));
        Some(Arc::new(move |bytes| {
            let is_full = is_nearly_full(existing(&directory), bytes);
            if is_full && !is_told.swap(true, Relaxed) {
                output.warn(format_args!(
                    "there is not much room left at {}: from now on what is read goes to the repository at once, as fast \
                     as it takes it",
                    directory.display()
                ));
            }
            is_full
        }))
    }
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
        Err(error @ repo::Error::Damaged { .. }) => {
            let place = directory.display();
            Err(Failure::from(error).doing(format!("cannot send what waits in {place}")).hint(format!(
                "what is damaged is not sent: remove {place} with everything in it, and image the disk again"
            )))
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
