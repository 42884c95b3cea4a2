//! A machine with some files and a repository.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend::{Id, Local, SystemClock};
use files::backup::{BackupOptions, ItemError, Notice, Observer, Outcome, Source};
use files::parent::ParentChoice;
use parking_lot::Mutex;
use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::key::{KdfParams, KeyOrigin};
use repo::repository::{InitOptions, OpenOptions};
use repo::tree::Tree;
use repo::{Cancel, Repository};
use tempfile::TempDir;

use crate::files;

pub(crate) const PASSWORD: &[u8] = b"correct horse";

/// A machine with some files and a repository.
pub(crate) struct World {
    room: TempDir,
    pub(crate) repo: Arc<Repository>,
    pub(crate) watched: Watched,
}

/// What happens just before a file is read.
pub(crate) type BeforeReading = Box<dyn FnMut(&str) + Send>;

/// What an observer heard.
#[derive(Default)]
pub(crate) struct Watched {
    pub(crate) errors: Mutex<Vec<String>>,
    pub(crate) notices: Mutex<Vec<String>>,
    pub(crate) checkpoints: Mutex<Vec<Id>>,
    /// Called with the name of each file that is about to be read.
    pub(crate) before_reading: Mutex<Option<BeforeReading>>,
    pub(crate) started: Mutex<Vec<String>>,
}

impl Observer for Watched {
    fn failed(&self, error: &ItemError) {
        self.errors.lock().push(error.to_string());
    }

    fn noticed(&self, notice: &Notice) {
        self.notices.lock().push(format!("{notice:?}"));
    }

    fn checkpoint(&self, id: &Id) {
        self.checkpoints.lock().push(*id);
    }

    fn started(&self, item: files::backup::ItemPath<'_>) {
        let name = String::from_utf8_lossy(item.name).into_owned();
        if let Some(before) = &mut *self.before_reading.lock() {
            before(&name);
        }
        self.started.lock().push(name);
    }
}

fn open_options() -> OpenOptions {
    OpenOptions {
        key_hint: None,
        cache: None,
        compression: Compression::Auto,
        pack_size: 4 << 20,
        clock: Arc::new(SystemClock),
        cancel: Cancel::default(),
    }
}

impl World {
    pub(crate) fn new() -> World {
        World::with(ChunkerKind::Gear)
    }

    pub(crate) fn with(chunker: ChunkerKind) -> World {
        // Trees hold the folders above as well: not /tmp, in which other tests work at the same time.
        let room = tempfile::tempdir_in("/var/tmp").unwrap();
        let backend = Arc::new(Local::new(room.path().join("repository"), 2));
        let created = jiff::Timestamp::UNIX_EPOCH.to_zoned(jiff::tz::TimeZone::UTC);
        let init = InitOptions {
            chunker,
            chunker_polynomial: None,
            version: 2,
            kdf: KdfParams::RANDOM_PASSWORD,
            origin: KeyOrigin { created, username: "ada".into(), hostname: "desk".into() },
        };
        let repo = Arc::new(Repository::init(backend, PASSWORD, &init, open_options()).unwrap());
        std::fs::create_dir(room.path().join("work")).unwrap();
        std::fs::write(room.path().join("password"), PASSWORD).unwrap();
        World { room, repo, watched: Watched::default() }
    }

    /// Opens the repository anew, as the next run of a program does.
    pub(crate) fn reopen(&mut self) {
        let backend = Arc::new(Local::new(self.repository(), 2));
        self.repo = Arc::new(Repository::open(backend, PASSWORD, open_options()).unwrap());
        self.watched = Watched::default();
    }

    /// Opens the repository by a path that is relative to this process's directory.
    pub(crate) fn reopen_by_relative_path(&mut self) {
        let here = std::env::current_dir().unwrap();
        let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
        let relative = up.join(self.repository().strip_prefix("/").unwrap());
        assert!(relative.is_relative());
        let backend = Arc::new(Local::new(relative, 2));
        self.repo = Arc::new(Repository::open(backend, PASSWORD, open_options()).unwrap());
    }

    /// Sees what other programs wrote meanwhile.
    pub(crate) fn fresh(&self) -> Repository {
        Repository::open(Arc::new(Local::new(self.repository(), 2)), PASSWORD, open_options()).unwrap()
    }

    pub(crate) fn room(&self) -> &Path {
        self.room.path()
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.room.path().join("work")
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.room.path().join("repository")
    }

    pub(crate) fn options(&self) -> BackupOptions {
        BackupOptions {
            working_directory: self.work().as_os_str().as_bytes().to_vec(),
            excludes: Default::default(),
            excludes_shown: Vec::new(),
            own: Vec::new(),
            host: "desk".into(),
            tags: Vec::new(),
            time: jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::system()),
            program_version: "stead test".into(),
            parent: ParentChoice::Newest(repo::retention::GroupBy::default()),
            ignore: Default::default(),
            with_atime: false,
            dry_run: false,
            skip_if_unchanged: false,
            scan: false,
            read_concurrency: None,
            checkpoints: None,
            cancel: Cancel::default(),
        }
    }

    pub(crate) fn backup_of(
        &self,
        paths: &[&[u8]],
        options: BackupOptions,
    ) -> Result<Outcome, files::backup::BackupError> {
        let paths = paths.iter().map(|path| path.to_vec()).collect();
        files::backup::backup(&self.repo, Source::Paths(paths), options, &self.watched)
    }

    /// Backs the working directory up by its absolute path.
    pub(crate) fn backup(&self) -> Outcome {
        self.backup_with(self.options())
    }

    /// Backs the working directory's entries up, so that nothing above it (which others change) is in the snapshot.
    pub(crate) fn backup_here(&self) -> Outcome {
        self.backup_of(&[b"."], self.options()).unwrap()
    }

    pub(crate) fn backup_with(&self, options: BackupOptions) -> Outcome {
        self.backup_of(&[self.work().as_os_str().as_bytes()], options).unwrap()
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        let room = self.room.path().to_str().unwrap();
        self.watched.errors.lock().iter().map(|error| error.replace(room, "")).collect()
    }

    pub(crate) fn tree(&self, id: &Id) -> Tree {
        self.repo.read_tree(id).unwrap()
    }

    /// The tree at an absolute path of a snapshot's tree.
    pub(crate) fn tree_at(&self, root: &Id, path: &Path) -> Tree {
        let mut tree = self.tree(root);
        for part in path.components().skip(1) {
            let node = tree.find(part.as_os_str().as_bytes()).unwrap_or_else(|| panic!("{part:?} of {path:?}"));
            tree = self.tree(&node.subtree.unwrap());
        }
        tree
    }

    /// Names in the working directory as the snapshot has them.
    pub(crate) fn names(&self, outcome: &Outcome) -> Vec<String> {
        let tree = self.tree_at(&outcome.tree, &self.work());
        tree.nodes.iter().map(|node| String::from_utf8_lossy(&node.name).into_owned()).collect()
    }

    /// The content of a file in the working directory as the snapshot has it.
    pub(crate) fn content(&self, outcome: &Outcome, path: &str) -> Vec<u8> {
        let path = self.work().join(path);
        let tree = self.tree_at(&outcome.tree, path.parent().unwrap());
        let node = tree.find(path.file_name().unwrap().as_bytes()).expect("the file");
        let blobs = node.content.as_ref().expect("content").iter();
        let read = |id: &Id| repo::BlobHandle { kind: repo::BlobKind::Data, id: *id };
        let content: Vec<u8> = blobs.flat_map(|id| self.repo.read_blob(&read(id)).unwrap()).collect();
        assert_eq!(content.len() as u64, node.size, "the size that the node names");
        content
    }

    /// All paths of a snapshot's tree.
    pub(crate) fn paths(&self, root: &Id) -> Vec<String> {
        let mut found = Vec::new();
        let mut todo = vec![(String::new(), *root)];
        while let Some((dir, id)) = todo.pop() {
            for node in self.tree(&id).nodes {
                let path = format!("{dir}/{}", String::from_utf8_lossy(&node.name));
                if let Some(subtree) = node.subtree {
                    todo.push((path.clone(), subtree));
                }
                found.push(path);
            }
        }
        found.sort();
        found
    }

    /// restic at this repository; `None` (with a word) where there is no restic.
    pub(crate) fn restic(&self) -> Option<std::process::Command> {
        let restic = testkit::Peer::find("restic")?;
        let mut command = restic.command();
        command.arg("--repo").arg(self.repository()).arg("--password-file").arg(self.room().join("password"));
        command.arg("--no-cache").current_dir(self.work());
        Some(command)
    }
}
