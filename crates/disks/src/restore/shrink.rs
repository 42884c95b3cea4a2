//! A file system that becomes smaller in a file without a name, and goes from there to the target.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::copy::{Copy, Job};
use super::part::{Change, Part, Tool};
use super::pieces::Pieces;
use super::target::{Aligned, Target};
use super::{Options, RestoreError, Unused, resize};
use crate::progress::Phase;
use crate::used::{self, Taken};
use crate::{CHUNK, Extents, SizedFile, Window};

/// One that became smaller.
pub(super) struct Shrunk {
    part: Part,
    tool: Tool,
    file: File,
    /// What is in use of it.
    used: Extents,
}

/// Makes a part smaller in a file in that directory, if the plan says so.
pub(super) fn shrunk(job: &Job<'_>, part: &Part, directory: &Path) -> Result<Option<Shrunk>, RestoreError> {
    let Change::Shrink { tool, .. } = part.change else { return Ok(None) };
    let at_scratch = |cause| RestoreError::Target { action: "write to", path: directory.to_owned(), cause };
    let file = nameless(directory).and_then(|file| file.set_len(part.from.size).map(|()| file)).map_err(at_scratch)?;
    let target = Target::scratch(file.try_clone().map_err(at_scratch)?, part.from.size);
    let pieces = Pieces::only(part.from.start..part.from.start + part.from.size);
    let how = Options { delta: false, verify: false, unused: Unused::Zero };
    job.progress.enter(Phase::Restoring, job.disk.geometry.size());
    let copy = Copy::new(Job { pieces: &pieces, target: &target, path: directory, how, ..*job });
    copy.run()?;
    if let Some(failure) = copy.report().failures.first() {
        let said =
            format!("{} bytes at {} of the disk cannot be had: {}", failure.length, failure.offset, failure.reason);
        return Err(RestoreError::Resize { part: part.called(), said });
    }
    job.progress.enter(Phase::Resizing, 0);
    resize::shrink(part, tool, &file)?;
    file.set_len(part.to.size).map_err(at_scratch)?;
    let used = examined(part, &file)?;
    Ok(Some(Shrunk { part: part.clone(), tool, file, used }))
}

/// A file that is gone when it is closed.
fn nameless(directory: &Path) -> io::Result<File> {
    for number in 0.. {
        let path = directory.join(format!("stead-scratch-{}-{number}", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => return std::fs::remove_file(&path).map(|()| file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 100 => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// What is in use of it now; it has to be what it was, and small enough.
fn examined(part: &Part, file: &File) -> Result<Extents, RestoreError> {
    let wrong = |said: String| RestoreError::Resize { part: part.called(), said };
    let reader = file.try_clone().and_then(SizedFile::new).map_err(|error| wrong(error.to_string()))?;
    let window = Window::new(reader, 0, part.to.size).ok_or_else(|| wrong("its file is too short".into()))?;
    let usage = used::examine(&window, Taken::AsFound);
    if usage.kind != part.kind || usage.size > part.to.size {
        return Err(wrong(format!("it is {} of {} bytes afterwards", usage.kind, usage.size)));
    }
    Ok(usage.used(part.to.size))
}

impl Shrunk {
    /// Where on the target it belongs.
    pub(super) fn range(&self) -> Range<u64> {
        self.part.to.start..self.part.to.start + self.part.to.size
    }

    /// What was done.
    pub(super) fn words(&self) -> String {
        format!("{}: {}, {} bytes", self.part.called(), self.tool, self.part.to.size)
    }

    /// Writes it to its place on the target, and returns how many bytes had to be written.
    pub(super) fn write(&self, job: &Job<'_>, buffer: &mut Aligned) -> Result<u64, RestoreError> {
        let mut written = 0;
        self.each_chunk(job, |at, content| {
            let Some(content) = content else {
                let zeroed = job.target.zero(at.clone(), job.how.unused, buffer);
                return zeroed.map_err(|cause| failed(job, "make zeros on", cause));
            };
            if job.how.delta && !job.target.is_fresh() && is_same(job, at.start, content, buffer)? {
                return Ok(());
            }
            written += content.len() as u64;
            job.target.write(at.start, content, buffer).map_err(|cause| failed(job, "write to", cause))
        })?;
        Ok(written)
    }

    /// Reads it back from the target.
    pub(super) fn verify(&self, job: &Job<'_>, buffer: &mut Aligned) -> Result<(), RestoreError> {
        self.each_chunk(job, |at, content| match content {
            Some(content) if !is_same(job, at.start, content, buffer)? => {
                let said = format!("the target reads back something else at {}", at.start);
                Err(RestoreError::Resize { part: self.part.called(), said })
            }
            _ => Ok(()),
        })
    }

    /// Goes over it chunk by chunk: where it belongs, and what is in it; nothing for what is free or zeros.
    fn each_chunk(
        &self,
        job: &Job<'_>,
        mut each: impl FnMut(Range<u64>, Option<&[u8]>) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let mut content = vec![0; CHUNK as usize];
        let size = self.part.to.size;
        for start in (0..size).step_by(CHUNK as usize) {
            if job.cancel.is_cancelled() {
                return Err(RestoreError::Cancelled);
            }
            let range = start..size.min(start + CHUNK);
            let there = self.part.to.start + range.start..self.part.to.start + range.end;
            let content = &mut content[..(range.end - range.start) as usize];
            let mut found = None;
            if self.used.touches(range) {
                self.file
                    .read_exact_at(content, start)
                    .map_err(|cause| failed(job, "read what was made smaller for", cause))?;
                found = Some(&*content).filter(|content| content.iter().any(|byte| *byte != 0));
            }
            each(there, found)?;
        }
        Ok(())
    }
}

fn is_same(job: &Job<'_>, at: u64, content: &[u8], buffer: &mut Aligned) -> Result<bool, RestoreError> {
    let there = job.target.read(at, content.len(), buffer).map_err(|cause| failed(job, "read", cause))?;
    Ok(there == content)
}

fn failed(job: &Job<'_>, action: &'static str, cause: io::Error) -> RestoreError {
    RestoreError::Target { action, path: job.path.to_owned(), cause }
}
