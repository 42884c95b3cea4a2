//! What is backed up: many small source files, few large incompressible ones, very many tiny ones.
//!
//! Made once under Cargo's target folder, always the same; beside each corpus lies a copy of every second file.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{self, Outcome, at};
use crate::workspace;

/// All of it, or a tenth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Full,
    Quick,
}

/// What kind of files.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Source,
    Random,
    Tiny,
}

/// All kinds.
pub(super) const KINDS: [Kind; 3] = [Kind::Source, Kind::Random, Kind::Tiny];

/// A corpus on disk.
pub(super) struct Corpus {
    pub(super) name: &'static str,
    /// Everything.
    pub(super) folder: PathBuf,
    /// Copies of every second file.
    pub(super) half: PathBuf,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

impl Kind {
    /// The word on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Random => "random",
            Kind::Tiny => "tiny",
        }
    }

    /// Makes it unless it is there, and reads it once, so that the page cache is warm.
    pub(super) fn make(self, scale: Scale) -> Outcome<Corpus> {
        let place = corpora().join(match scale {
            Scale::Full => self.name().to_owned(),
            Scale::Quick => format!("{}-quick", self.name()),
        });
        let (folder, half, complete) = (place.join("all"), place.join("half"), place.join("complete"));
        if !complete.exists() {
            println!("making the corpus {}", place.display());
            super::clear(&place)?;
            at(&folder, fs::create_dir_all(&folder))?;
            self.fill(&folder, scale)?;
            copy_half(&folder, &half)?;
            at(&complete, fs::write(&complete, ""))?;
        }
        let (files, bytes) = count_and_warm(&folder)?;
        count_and_warm(&half)?;
        Ok(Corpus { name: self.name(), folder, half, files, bytes })
    }

    fn fill(self, folder: &Path, scale: Scale) -> Outcome {
        let quick = scale == Scale::Quick;
        match self {
            Kind::Source => unpack_kernel(folder, scale),
            Kind::Random => (0..6).try_for_each(|number| {
                let megabytes = if quick { 50 } else { 512 };
                write_random(&folder.join(format!("volume-{number}")), number + 1, megabytes)
            }),
            Kind::Tiny => (0..if quick { 50 } else { 500 }).try_for_each(|number| write_tiny(folder, number)),
        }
    }
}

fn corpora() -> PathBuf {
    workspace::target().join("bench-corpora")
}

/// The source of the kernel as Debian ships it: about 80,000 files.
fn unpack_kernel(folder: &Path, scale: Scale) -> Outcome {
    let tar = kernel_tar()?;
    let mut unpack = Command::new("tar");
    unpack.arg("-C").arg(folder).arg("--strip-components=1").arg("-xf").arg(&tar);
    if scale == Scale::Quick {
        unpack.args(["--wildcards", "*/fs/*", "*/net/*"]);
    }
    program::run(&mut unpack)
}

/// Downloads the package unless it is there.
fn kernel_tar() -> Outcome<PathBuf> {
    let room = corpora().join("package");
    let sources = room.join("unpacked/usr/src");
    if find_tar(&sources).is_none() {
        let said = program::output(&mut program::command(["apt-cache", "depends", "linux-source"]))?;
        let package = said.split_whitespace().find(|word| word.starts_with("linux-source-"));
        let package = package.ok_or("apt knows no linux-source package")?;
        super::clear(&room)?;
        at(&room, fs::create_dir_all(&room))?;
        program::output(program::command(["apt-get", "download", "-q", package]).current_dir(&room))?;
        let downloaded = at(&room, fs::read_dir(&room))?.next().ok_or("apt-get downloaded nothing")?;
        let downloaded = at(&room, downloaded)?.path();
        program::run(program::command(["dpkg", "-x"]).arg(&downloaded).arg(room.join("unpacked")))?;
    }
    find_tar(&sources).ok_or_else(|| format!("no tar in {}", sources.display()))
}

fn find_tar(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    entries.into_iter().find(|path| path.to_string_lossy().contains(".tar."))
}

/// Noise from a seed (xorshift64*), which nothing compresses.
fn write_random(path: &Path, seed: u64, megabytes: usize) -> Outcome {
    let mut file = at(path, fs::File::create(path))?;
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..megabytes {
        for word in buffer.chunks_exact_mut(8) {
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            word.copy_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
        }
        at(path, file.write_all(&buffer))?;
    }
    Ok(())
}

/// A folder with a thousand files of 50 to 150 bytes, no two alike.
fn write_tiny(folder: &Path, number: u32) -> Outcome {
    let folder = folder.join(format!("{number:03}"));
    at(&folder, fs::create_dir(&folder))?;
    for file in 0..1000_u32 {
        let path = folder.join(format!("message-{file:04}.txt"));
        let text = format!("message {file} of folder {number}: {}\n", "all is well. ".repeat(1 + file as usize % 8));
        at(&path, fs::write(&path, text))?;
    }
    Ok(())
}

/// Copies every second file, in the order of names.
fn copy_half(folder: &Path, half: &Path) -> Outcome {
    let listing = program::output(Command::new("find").args([".", "-type", "f", "-print0"]).current_dir(folder))?;
    let mut names: Vec<&str> = listing.split_terminator('\0').collect();
    names.sort_unstable();
    for name in names.into_iter().step_by(2) {
        let copy = half.join(name);
        let parent = copy.parent().unwrap_or(half);
        at(parent, fs::create_dir_all(parent))?;
        at(&copy, fs::copy(folder.join(name), &copy))?;
    }
    Ok(())
}

/// Number of files and bytes; reads all of them.
fn count_and_warm(folder: &Path) -> Outcome<(u64, u64)> {
    // To a pipe and not to the null device, which tar knows and then reads nothing.
    program::run(Command::new("sh").args(["-c", "tar -C \"$1\" -cf - . | cat > /dev/null", "sh"]).arg(folder))?;
    let listing = program::output(Command::new("find").arg(folder).args(["-type", "f", "-printf", "%s\n"]))?;
    let sizes = listing.lines().filter_map(|line| line.parse::<u64>().ok());
    Ok(sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size)))
}
