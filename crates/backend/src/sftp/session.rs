//! One connection: names, listings and what lies where. Bytes are in `transfer.rs`.

use futures_util::{StreamExt, TryStreamExt, stream};
use openssh_sftp_client::fs::DirEntry;
use openssh_sftp_client::metadata::{MetaData, Permissions};
use openssh_sftp_client::{Sftp as Client, SftpOptions};

use super::*;
use crate::Id;
use crate::child::{Child, Terminal};
use crate::runtime::in_time;

/// Directories looked at, or made, at the same time.
const AT_ONCE: usize = 32;

pub(super) struct Session {
    pub(super) client: Client,
    pub(super) child: Child,
    pub(super) pace: Pace,
    root: String,
}

impl Session {
    pub(super) async fn start(command: &[String], root: &str, pace: Pace) -> Result<Session, Failure> {
        let (child, input, output) = Child::start(command, Terminal::Shared)?;
        let options = SftpOptions::new().flush_interval(std::time::Duration::from_millis(1));
        // No time limit: ssh may be asking for a password.
        match Client::new(input, output, options).await {
            Ok(client) => Ok(Session { client, child, pace, root: root.to_owned() }),
            Err(error) => Err(child.failure(&error).await),
        }
    }

    pub(super) fn path(&self, file: &FileName) -> String {
        self.below(&file.path())
    }

    fn below(&self, path: &str) -> String {
        match self.root.as_str() {
            "" => path.to_owned(),
            root if root.ends_with('/') => format!("{root}{path}"),
            root => format!("{root}/{path}"),
        }
    }

    /// Size and kind of what has that name, or nothing.
    pub(super) async fn look(&self, path: &str) -> Result<Option<MetaData>, Problem> {
        match in_time(self.client.fs().metadata(path)).await?.map_err(Problem::from) {
            Ok(found) => Ok(Some(found)),
            Err(problem) if problem.is_missing() => Ok(None),
            Err(problem) => Err(problem),
        }
    }

    async fn exists(&self) -> Result<bool, Problem> {
        Ok(self.look(&self.below("config")).await?.is_some() || self.look(&self.below("keys")).await?.is_some())
    }

    /// Makes a directory; one that exists is success.
    async fn make_directory(&self, path: &str) -> Result<(), Problem> {
        let mut fs = self.client.fs();
        let made = in_time(fs.dir_builder().permissions(Permissions::from(0o700)).create(path)).await?;
        let Err(problem) = made.map_err(Problem::from) else { return Ok(()) };
        match self.look(path).await? {
            Some(found) if found.file_type().is_some_and(|kind| kind.is_dir()) => Ok(()),
            _ => Err(problem),
        }
    }

    /// Makes the root and the directories above it that are missing.
    async fn make_root(&self) -> Result<(), Problem> {
        let root = self.root.trim_end_matches('/');
        if root.is_empty() || self.look(root).await?.is_some() {
            return Ok(());
        }
        let ends = root.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0).chain([root.len()]);
        for end in ends {
            if self.look(&root[..end]).await?.is_none() {
                self.make_directory(&root[..end]).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn create(&self) -> Result<(), Problem> {
        self.make_root().await?;
        for kind in FileKind::NAMED {
            self.make_directory(&self.below(kind.directory())).await?;
        }
        let shards = stream::iter(0..=255u8).map(|shard| async move {
            let path = self.below(&format!("data/{shard:02x}"));
            self.make_directory(&path).await
        });
        shards.buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Makes the directory of `file` again, if there is a repository around it.
    pub(super) async fn make_parent(&self, file: &FileName) -> Result<(), Problem> {
        if !self.exists().await? {
            return Err(Problem::NoRepository);
        }
        let path = file.path();
        for (end, _) in path.match_indices('/') {
            self.make_directory(&self.below(&path[..end])).await?;
        }
        Ok(())
    }

    /// Entries of a directory; none if it is missing.
    async fn entries(&self, path: &str) -> Result<Vec<DirEntry>, Problem> {
        let directory = match in_time(self.client.fs().open_dir(path)).await?.map_err(Problem::from) {
            Ok(directory) => directory,
            Err(problem) if problem.is_missing() => return Ok(Vec::new()),
            Err(problem) => return Err(problem),
        };
        let mut entries = Vec::new();
        let reader = directory.read_dir();
        tokio::pin!(reader);
        while let Some(entry) = in_time(reader.next()).await? {
            entries.push(entry?);
        }
        Ok(entries)
    }

    /// Files with names that are ids beginning with `prefix`.
    async fn files(&self, path: &str, prefix: &str) -> Result<Vec<FileInfo>, Problem> {
        let entries = self.entries(path).await?;
        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = entry.filename().to_str().filter(|name| name.starts_with(prefix));
            let Some(id) = name.and_then(|name| name.parse::<Id>().ok()) else { continue };
            let is_file = entry.file_type().is_none_or(|kind| kind.is_file());
            match entry.metadata().len() {
                Some(size) if is_file => files.push(FileInfo { id, size }),
                // A link, or a server that tells no sizes here.
                _ => {
                    let found = self.look(&format!("{path}/{id}")).await?;
                    let found = found.filter(|found| found.file_type().is_none_or(|kind| kind.is_file()));
                    files.extend(found.and_then(|found| found.len()).map(|size| FileInfo { id, size }));
                }
            }
        }
        Ok(files)
    }

    async fn packs(&self) -> Result<Vec<FileInfo>, Problem> {
        let data = self.below("data");
        let shards = self.entries(&data).await?;
        let is_shard = |name: &str| name.len() == 2 && name.bytes().all(|digit| b"0123456789abcdef".contains(&digit));
        let names = shards.iter().filter_map(|shard| shard.filename().to_str()).filter(|name| is_shard(name));
        let data = &data;
        let lists = stream::iter(names).map(|name| async move { self.files(&format!("{data}/{name}"), name).await });
        let lists: Vec<Vec<FileInfo>> = lists.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(lists.concat())
    }

    pub(super) async fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>, Problem> {
        let files = match kind {
            FileKind::Config => {
                let found = self.look(&self.below("config")).await?.and_then(|found| found.len());
                found.map(|size| FileInfo { id: FileName::CONFIG.id, size }).into_iter().collect()
            }
            FileKind::Pack => self.packs().await?,
            kind => self.files(&self.below(kind.directory()), "").await?,
        };
        if files.is_empty() && !self.exists().await? {
            return Err(Problem::NoRepository);
        }
        Ok(files)
    }

    pub(super) async fn size(&self, file: &FileName) -> Result<u64, Problem> {
        let found = in_time(self.client.fs().metadata(self.path(file))).await??;
        Ok(found.len().unwrap_or(0))
    }

    pub(super) async fn remove(&self, file: &FileName) -> Result<(), Problem> {
        match in_time(self.client.fs().remove_file(self.path(file))).await?.map_err(Problem::from) {
            Err(problem) if !problem.is_missing() => Err(problem),
            _ => Ok(()),
        }
    }
}
