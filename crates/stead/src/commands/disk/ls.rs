//! `stead disk ls`: what is on the disks of an image, and in the directories of their filesystems.

use std::ffi::OsString;

use disks::files::{self, Entry, FilesError, Filesystem, Volume};
use disks::used::Kind;
use platform::{FileType, Time};
use repo::node::{Node, NodeKind, NodeTime};
use serde::Serialize;

use super::place::{Found, Place};
use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;
use crate::output::{self, Lines, Output};
use crate::render::node::FormArgs;
use crate::render::size;
use crate::render::table::{Table, printable};
use crate::select::FilterArgs;

/// List the disks of an image, their partitions, or files on them
///
/// Nothing is restored: only what is needed is read. Files are read of ext2, ext3, ext4, NTFS, FAT and exFAT; for others it
/// tells what to do instead. The number of a disk without partitions is 0.
///
/// Example: stead disk ls latest:sda
///          stead disk ls latest:sda/1/etc --long
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    /// Which image: `latest`, or the start of a snapshot's id; a disk of it, a partition, a file or directory
    #[arg(value_name = "SNAPSHOT[:DISK[/PARTITION[/PATH]]]")]
    place: OsString,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    form: FormArgs,
    /// Also what is deeper in directories
    #[arg(long)]
    recursive: bool,
}

#[derive(Serialize)]
struct VolumeMessage<'v> {
    message_type: &'static str,
    disk: &'v str,
    partition: Option<u32>,
    start: u64,
    size: u64,
    file_system: Kind,
    label: Option<&'v str>,
    name: Option<&'v str>,
    place: String,
}

/// What is listed so far.
struct Listing<'l> {
    args: &'l Args,
    output: Output,
    lines: Lines,
    unreadable: u64,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Outcome {
        let place = Place::parse(&self.place)?;
        let opened = context.open_shared()?;
        let found = place.find(&opened.repo, &self.filter)?;
        if place.partition.is_some() {
            let mut listing = Listing { args: &self, output: context.output(), lines: Lines::new(), unreadable: 0 };
            return place.with_disk(context, &opened, &found, |bytes, disk| {
                place.in_disk(bytes, disk, |filesystem| listing.list(filesystem, &place.path))
            });
        }
        let names: Vec<String> = found.images.disks.iter().map(|disk| disk.name.as_str().to_owned()).collect();
        let wanted = names.into_iter().filter(|name| place.disk.as_ref().is_none_or(|disk| disk == name));
        let mut wanted: Vec<String> = wanted.collect();
        if wanted.is_empty() {
            // So that the error is the same as for a file on it.
            wanted.extend(place.disk.clone());
        }
        let mut all = Vec::new();
        for name in wanted {
            let one = Place { disk: Some(name.clone()), ..place.clone() };
            let volumes = one.with_disk(context, &opened, &found, |bytes, disk| Ok(files::volumes(bytes, disk)?));
            all.push((name.clone(), volumes.doing(|| format!("cannot look at disk {name}"))?));
        }
        tell_volumes(context.output(), &found, &all)
    }
}

fn tell_volumes(output: Output, found: &Found, disks: &[(String, Vec<Volume>)]) -> Outcome {
    let mut table = Table::new(&["Place", "On it", "Label", "Size"]);
    for (disk, volumes) in disks {
        for volume in volumes {
            let place = format!("{}:{disk}/{}", found.id.short(), volume.place());
            output.message(&VolumeMessage {
                message_type: "volume",
                disk,
                partition: volume.number,
                start: volume.start,
                size: volume.size,
                file_system: volume.kind,
                label: volume.label.as_deref(),
                name: volume.name.as_deref(),
                place: place.clone(),
            })?;
            let name = volume.name.as_ref().map(|name| format!("({name})"));
            let words: Vec<String> = volume.label.iter().cloned().chain(name).collect();
            let label = printable(&words.join(" "));
            table.row(vec![printable(&place), volume.kind.to_string(), label, size::bytes(volume.size)]);
        }
    }
    output.remark(format_args!("{}:", crate::render::snapshots::sentence(found.id, &found.snapshot)))?;
    output.result(table.render(output::width()).trim_end())
}

impl Listing<'_> {
    fn list(&mut self, filesystem: &dyn Filesystem, path: &[u8]) -> Outcome {
        let whole = [b"/", path].concat();
        let doing = || format!("cannot list {}", printable(&String::from_utf8_lossy(&whole)));
        let entry = files::find(filesystem, path).map_err(advised).doing(doing)?;
        let base: Vec<u8> = names(path).join(&b'/');
        if !entry.is_directory() {
            self.print(filesystem, &base, &entry)?;
        } else if self.args.recursive {
            self.walk(filesystem, &base, &entry).doing(doing)?;
        } else {
            for below in files::list(filesystem, &entry).map_err(Failure::from).doing(doing)? {
                self.print(filesystem, &joined(&base, &below.name), &below)?;
            }
        }
        std::mem::replace(&mut self.lines, Lines::new()).finish()?;
        match self.unreadable {
            0 => Ok(()),
            count => Err(Failure::new(format!("{count} entries could not be read"))),
        }
    }

    fn walk(&mut self, filesystem: &dyn Filesystem, base: &[u8], directory: &Entry) -> Outcome {
        let mut failure = None;
        let walked = files::walk(filesystem, directory, &mut |path, found| {
            let path = joined(base, path);
            let printed = match found {
                Ok(entry) => self.print(filesystem, &path, entry),
                Err(error) => {
                    self.complain(&path, error);
                    Ok(())
                }
            };
            printed.map_err(|error| {
                failure = Some(error);
                FilesError::Stopped
            })
        });
        match failure {
            Some(failure) => Err(failure),
            None => Ok(walked?),
        }
    }

    fn complain(&mut self, path: &[u8], why: impl std::fmt::Display) {
        self.unreadable += 1;
        self.output.warn(format_args!("cannot list /{}: {why}", printable(&String::from_utf8_lossy(path))));
    }

    fn print(&mut self, filesystem: &dyn Filesystem, path: &[u8], entry: &Entry) -> Outcome {
        if entry.file_type == FileType::Unknown {
            self.complain(path, entry.trouble.as_deref().unwrap_or("it cannot be read"));
            return Ok(());
        }
        let absolute = [b"/", path].concat();
        let needs_target = self.args.form.long && !self.output.is_json() && entry.file_type == FileType::Symlink;
        let target = if needs_target { filesystem.link(entry).unwrap_or_default() } else { Vec::new() };
        if self.output.is_json() {
            self.lines.bytes(&::files::ls::json(&absolute, &as_node(entry, target)))?;
            return self.lines.bytes(b"\n");
        }
        self.lines.line(self.args.form.line(&absolute, &as_node(entry, target)))
    }
}

/// A hint for a path that is not there.
pub(super) fn advised(error: FilesError) -> Failure {
    let hint = matches!(error, FilesError::NotThere(_) | FilesError::NotADirectory(_));
    let failure = Failure::from(error);
    if hint { failure.hint("`stead disk ls` shows what there is; links on the way are not followed") } else { failure }
}

fn names(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect()
}

fn joined(base: &[u8], path: &[u8]) -> Vec<u8> {
    if base.is_empty() { path.to_vec() } else { [base, b"/", path].concat() }
}

/// As the same file would be in a snapshot of files.
fn as_node(entry: &Entry, link_target: Vec<u8>) -> Node {
    // Go's bits for what a file is, and for set-uid, set-gid and sticky.
    let (kind, bits) = match entry.file_type {
        FileType::Directory => (NodeKind::Dir, 1 << 31),
        FileType::Symlink => (NodeKind::Symlink, 1 << 27),
        FileType::BlockDevice => (NodeKind::Device, 1 << 26),
        FileType::CharDevice => (NodeKind::CharDevice, 1 << 26 | 1 << 21),
        FileType::Fifo => (NodeKind::Fifo, 1 << 25),
        FileType::Socket => (NodeKind::Socket, 1 << 24),
        _ => (NodeKind::File, 0),
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.iter().filter(|(bit, _)| entry.mode & bit != 0).fold(0_u32, |all, (_, go)| all | go);
    let time = |time: Time| NodeTime { seconds: time.seconds, nanoseconds: time.nanoseconds, offset: 0 };
    let (uid, gid) = entry.owner.unwrap_or_default();
    let (mtime, atime, ctime) = (time(entry.modified), time(entry.accessed), time(entry.changed));
    let mode = bits | special | entry.mode & 0o777;
    let (size, inode) = (entry.size, entry.inode);
    Node { mode, mtime, atime, ctime, uid, gid, size, inode, link_target, ..Node::new(entry.name.clone(), kind) }
}
