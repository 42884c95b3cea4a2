//! Bytes to and from the other host. Many requests are under way at once, because each waits for a round trip.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use openssh_sftp_client::file::File;
use openssh_sftp_client::metadata::Permissions;
use tokio::io::AsyncSeekExt;

use super::session::Session;
use super::*;
use crate::limit::Direction;
use crate::runtime::in_time;

/// Bytes of one request; every server takes this many.
const PIECE: usize = 32 << 10;

/// Requests under way: 2 MiB, enough for 160 Mbit/s over a round trip of 100 ms.
const IN_FLIGHT: usize = 64;

impl Session {
    pub(super) async fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<Result<()>, Problem> {
        let mut stored = in_time(self.client.open(self.path(file))).await??;
        let (offset, length) = match part {
            Part::Range { offset, length } if offset.checked_add(length).is_some() && length < 1 << 30 => {
                (offset, length as usize)
            }
            part => {
                let size = in_time(stored.metadata()).await??.len().unwrap_or(0);
                match part.within(size, file) {
                    Ok(within) => within,
                    Err(error) => return Ok(Err(error)),
                }
            }
        };
        let result = fetch(&stored, offset, length, &self.pace, into).await;
        in_time(stored.close()).await??;
        result.map(Ok)
    }

    pub(super) async fn write(&self, file: &FileName, content: &[u8]) -> Result<(), Problem> {
        let path = self.path(file);
        let temporary = self.write_temporary(file, &path, content).await?;
        let placed = self.place(file, &temporary, &path, content).await;
        // The link leaves the temporary name behind; so does a failure.
        let removed = in_time(self.client.fs().remove_file(&temporary)).await?.map_err(Problem::from);
        placed?;
        match removed {
            Err(problem) if problem.is_broken() => Err(problem),
            _ => Ok(()),
        }
    }

    pub(super) async fn replace_config(&self, content: &[u8]) -> Result<(), Problem> {
        let path = self.path(&FileName::CONFIG);
        let temporary = self.write_temporary(&FileName::CONFIG, &path, content).await?;
        let mut fs = self.client.fs();
        if !self.client.support_posix_rename() {
            self.remove(&FileName::CONFIG).await?;
        }
        Ok(in_time(fs.rename(&temporary, &path)).await??)
    }

    /// Stores `content` under a temporary name beside `path` and tells that name.
    async fn write_temporary(&self, file: &FileName, path: &str, content: &[u8]) -> Result<String, Problem> {
        let temporary = format!("{path}-tmp-{:016x}", rand::random::<u64>());
        let stored = match self.create_file(&temporary).await {
            Err(problem) if problem.is_missing() => {
                self.make_parent(file).await?;
                self.create_file(&temporary).await
            }
            stored => stored,
        };
        let stored = match stored {
            Ok(stored) => stored,
            Err(problem) => return Err(self.explain(problem, content.len()).await),
        };
        if let Err(problem) = self.fill(stored, content).await {
            if !problem.is_broken() {
                let _ = in_time(self.client.fs().remove_file(&temporary)).await?;
            }
            return Err(self.explain(problem, content.len()).await);
        }
        Ok(temporary)
    }

    async fn create_file(&self, path: &str) -> Result<File, Problem> {
        Ok(in_time(self.client.options().read(true).write(true).create_new(true).open(path)).await??)
    }

    async fn fill(&self, mut stored: File, content: &[u8]) -> Result<(), Problem> {
        in_time(stored.set_permissions(Permissions::from(0o600))).await??;
        send(&stored, content, &self.pace).await?;
        if self.client.support_fsync() {
            in_time(stored.sync_all()).await??;
        }
        let size = in_time(stored.metadata()).await??.len();
        in_time(stored.close()).await??;
        match size {
            Some(size) if size != content.len() as u64 => Err(Problem::Short(size)),
            _ => Ok(()),
        }
    }

    /// Gives the temporary file its name unless there is one of that name.
    async fn place(&self, file: &FileName, from: &str, to: &str, content: &[u8]) -> Result<(), Problem> {
        if self.client.support_hardlink() && in_time(self.client.fs().hard_link(from, to)).await?.is_ok() {
            return Ok(());
        }
        if self.look(to).await?.is_some() {
            return self.compare(file, content).await;
        }
        // The file system there knows no links.
        Ok(in_time(self.client.fs().rename(from, to)).await??)
    }

    async fn compare(&self, file: &FileName, content: &[u8]) -> Result<(), Problem> {
        let size = self.size(file).await?;
        let mut stored = Vec::new();
        let same = size == content.len() as u64
            && (size > COMPARED_WHOLE || self.read(file, Part::Whole, &mut stored).await?.is_ok() && stored == content);
        if same { Ok(()) } else { Err(Problem::Different) }
    }

    /// SFTP has no word for a full disk: "failure" means that where no space is left.
    async fn explain(&self, problem: Problem, wanted: usize) -> Problem {
        if !matches!(problem.kind(), Some(SftpErrorKind::Failure)) || !self.client.support_statvfs() {
            return problem;
        }
        match in_time(self.client.fs().statvfs(self.path(&FileName::CONFIG))).await {
            Ok(Ok(space)) if space.bavail.saturating_mul(space.frsize) < wanted as u64 => Problem::Full,
            _ => problem,
        }
    }
}

async fn send(stored: &File, content: &[u8], pace: &Pace) -> Result<(), Problem> {
    let pieces = stream::iter(content.chunks(PIECE).enumerate()).map(|(number, piece)| {
        let mut stored = stored.clone();
        async move {
            pace.pass(Direction::Up, piece.len()).await;
            stored.seek(std::io::SeekFrom::Start((number * PIECE) as u64)).await?;
            let mut piece = [Bytes::copy_from_slice(piece)];
            in_time(stored.write_all_zero_copy(&mut piece)).await??;
            Ok::<_, Problem>(())
        }
    });
    pieces.buffer_unordered(IN_FLIGHT).try_collect().await
}

async fn fetch(stored: &File, offset: u64, length: usize, pace: &Pace, into: &mut Vec<u8>) -> Result<(), Problem> {
    into.clear();
    into.reserve(length.min(256 << 20));
    let starts = (0..length).step_by(PIECE);
    let pieces = stream::iter(starts).map(|start| {
        let stored = stored.clone();
        async move {
            pace.pass(Direction::Down, PIECE).await;
            fetch_piece(stored, offset + start as u64, PIECE.min(length - start)).await
        }
    });
    let mut pieces = pieces.buffered(IN_FLIGHT);
    while let Some(piece) = pieces.next().await {
        into.extend_from_slice(&piece?);
    }
    Ok(())
}

/// Reads one piece, which a server may deliver in several answers.
async fn fetch_piece(mut stored: File, offset: u64, length: usize) -> Result<BytesMut, Problem> {
    let mut piece = BytesMut::new();
    while piece.len() < length {
        let at = offset + piece.len() as u64;
        stored.seek(std::io::SeekFrom::Start(at)).await?;
        let answer = in_time(stored.read((length - piece.len()) as u32, BytesMut::new())).await??;
        match answer {
            Some(bytes) if piece.is_empty() => piece = bytes,
            Some(bytes) if !bytes.is_empty() => piece.extend_from_slice(&bytes),
            _ => return Err(Problem::Short(at)),
        }
    }
    Ok(piece)
}
