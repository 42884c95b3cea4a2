//! Backing up what comes out of a pipe, as one file.

use std::ffi::OsString;
use std::io::{self, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use jiff::Timestamp;
use platform::{FileType, Stat, Time};
use repo::node::Node;

use super::directory::{Directory, Origin, Slot, SubJob};
use super::large::LargeFile;
use super::worker::Worker;
use super::{BackupError, Result};
use crate::path;

/// A stream that becomes a file.
pub struct Stream {
    /// Path in the snapshot; a relative one begins at the root.
    pub name: Vec<u8>,
    /// The content. An error of it fails the backup, and so does no content at all.
    pub reader: Box<dyn Read + Send>,
}

/// The output of a command. Its end is an error unless the command ended well.
pub struct CommandOutput {
    child: Child,
    output: ChildStdout,
    ended: bool,
}

impl CommandOutput {
    /// Starts a command. What it says on its standard error goes to `stderr`.
    pub fn start(command: &[OsString], stderr: Stdio) -> io::Result<CommandOutput> {
        let (program, arguments) =
            command.split_first().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no command was given"))?;
        let mut child =
            Command::new(program).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn()?;
        let output = child.stdout.take().ok_or_else(|| io::Error::other("the command has no output"))?;
        Ok(CommandOutput { child, output, ended: false })
    }
}

impl Read for CommandOutput {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.output.read(into)?;
        if read == 0 && !into.is_empty() && !self.ended {
            let status = self.child.wait()?;
            self.ended = true;
            if !status.success() {
                return Err(io::Error::other(format!("the command failed: {status}")));
            }
        }
        Ok(read)
    }
}

impl Drop for CommandOutput {
    fn drop(&mut self) {
        if !self.ended {
            // Nobody reads on: do not leave it behind waiting for us.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Worker<'_> {
    /// Puts a stream into the queue, with directories of its own above it.
    pub(super) fn start_stream(&mut self, root: &Arc<Directory>, stream: Stream, time: Timestamp) -> Result<()> {
        let rooted = path::join(b"/", &stream.name);
        let mut parts: Vec<&[u8]> = path::parts(&rooted).collect();
        let file = parts.pop().ok_or_else(|| BackupError::Invalid("the stream needs a file name".into()))?;
        let mut dir = Arc::clone(root);
        let waiting = || vec![Slot::Waiting { previous: None, live: Weak::new() }];
        root.set(self.made_up(b"", FileType::Directory, time), waiting(), 1);
        for part in parts {
            let origin = Origin::Upper(Default::default());
            let job = SubJob { slot: 0, name: part.to_vec(), origin, device: None };
            dir = Directory::new(Some(dir), job, None);
            dir.set(self.made_up(part, FileType::Directory, time), waiting(), 1);
        }
        self.run.targets.fetch_add(1, Ordering::Relaxed);
        let node = self.made_up(file, FileType::Regular, time);
        self.run.queue.push_large(Arc::new(LargeFile::from_stream(dir, 0, stream.reader, node)));
        Ok(())
    }

    /// A node of something that is not on any disk, as restic makes it.
    fn made_up(&mut self, name: &[u8], file_type: FileType, time: Timestamp) -> Node {
        let nanoseconds = time.as_nanosecond().rem_euclid(1_000_000_000);
        let seconds = time.as_nanosecond().div_euclid(1_000_000_000);
        let time = Time { seconds: seconds as i64, nanoseconds: nanoseconds as u32 };
        let stat = Stat {
            file_type,
            permissions: if file_type == FileType::Directory { 0o755 } else { 0o644 },
            device: 0,
            inode: 0,
            links: 0,
            uid: platform::current_uid(),
            gid: platform::current_gid(),
            represents: 0,
            size: 0,
            blocks: 0,
            accessed: time,
            modified: time,
            changed: time,
        };
        let nameless = String::new().into();
        Node { user: Arc::clone(&nameless), group: nameless, ..self.maker.node(name, &stat) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> io::Result<String> {
        let command = ["sh".into(), "-c".into(), script.into()];
        let mut text = String::new();
        CommandOutput::start(&command, Stdio::null())?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn a_command_that_fails_after_its_output_is_an_error() {
        assert_eq!(run("echo hello").unwrap(), "hello\n");
        assert!(run("echo hello; exit 3").unwrap_err().to_string().contains("exit status: 3"));
        assert!(CommandOutput::start(&[], Stdio::null()).is_err());
        assert!(CommandOutput::start(&["/nonexistent".into()], Stdio::null()).is_err());
    }
}
