//! A repository in an object store: S3 and what speaks like it, Azure, Google Cloud.
//!
//! A file is one object, stored by one request, whose size is asked for afterwards. Objects are never replaced: by a
//! conditional write where the store honours it, which is found out, else by looking first.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error as StoreError, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode,
    PutOptions, PutPayload,
};

use crate::runtime::{Stuck, block_on, block_on_patiently, in_time};
use crate::turns::Turns;
use crate::{Backend, Class, Error, FileInfo, FileKind, FileName, Part, Result};

mod open;
mod service;

pub(crate) use open::{Lookup, Place, S3, azure, google, s3};
use service::Observed;

/// Objects up to this size are compared byte by byte where one exists already; of larger ones the size.
const COMPARED_WHOLE: u64 = 4 << 20;

/// Whether a conditional write is honoured is found out by writing a file of at most this size again.
const PROBE: usize = 64 << 10;

/// A bucket, or a part of one.
pub(crate) struct Objects {
    store: Box<dyn ObjectStore>,
    prefix: String,
    location: String,
    connections: usize,
    /// How long an operation may show no progress.
    patience: Duration,
    /// Storage class that is asked for, if any.
    storage_class: Option<String>,
    /// The store can send the end of an object without being told where it begins.
    knows_tail: AtomicBool,
    condition: AtomicU8,
    turns: Turns,
    /// We know that there is a repository, so an empty list is just that.
    known: AtomicBool,
}

/// What the store does with a write on the condition that there is no such object.
mod condition {
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const HONOURED: u8 = 1;
    pub(super) const IGNORED: u8 = 2;
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Stuck(#[from] Stuck),
}

impl Objects {
    fn path(&self, file: &FileName) -> Result<Path, Problem> {
        self.below(&file.path())
    }

    fn below(&self, path: &str) -> Result<Path, Problem> {
        let path = Path::parse(format!("{}{path}", self.prefix));
        path.map_err(|source| Problem::Store(StoreError::InvalidPath { source }))
    }

    /// Waits for an operation and explains its failure by what was seen on the wire.
    fn run<T>(
        &self,
        action: &'static str,
        what: &str,
        operation: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T> {
        let (result, seen) = block_on_patiently(self.patience, service::observe(operation));
        result.map_err(|problem| explain(action, what, &problem, seen))
    }

    /// Size of an object, or nothing where there is none.
    fn look(&self, action: &'static str, file: &FileName) -> Result<Option<u64>> {
        let found = self.run(action, &file.path(), async {
            match in_time(self.store.head(&self.path(file)?)).await? {
                Ok(found) => Ok(Some(found.size)),
                Err(StoreError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })?;
        if found.is_some() {
            self.known.store(true, Ordering::Relaxed);
        }
        Ok(found)
    }

    /// Success if the object that exists, if one does, holds `content`.
    fn compare(&self, file: &FileName, size: u64, content: &[u8]) -> Result<()> {
        let mut stored = Vec::new();
        let same = size == content.len() as u64
            && (size > COMPARED_WHOLE || self.read(file, Part::Whole, &mut stored).map(|()| stored == content)?);
        if same { Ok(()) } else { Err(Error::exists(file)) }
    }

    fn put(&self, file: &FileName, content: &[u8], mode: PutMode) -> Result<Put> {
        self.run("write", &file.path(), async {
            let options = PutOptions { mode, attributes: self.attributes(file), ..PutOptions::default() };
            let payload = PutPayload::from(Bytes::copy_from_slice(content));
            match self.store.put_opts(&self.path(file)?, payload, options).await {
                Ok(_) => Ok(Put::Stored),
                Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => Ok(Put::Exists),
                Err(StoreError::NotImplemented { .. }) => Ok(Put::NoCondition),
                Err(_) if service::last_status() == Some(501) => Ok(Put::NoCondition),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Archive classes are for packs only: what must be read to open a repository stays at hand.
    fn attributes(&self, file: &FileName) -> Attributes {
        let mut attributes = Attributes::new();
        let archive = |class: &str| matches!(class, "GLACIER" | "DEEP_ARCHIVE");
        let class = self.storage_class.as_ref().filter(|class| file.kind == FileKind::Pack || !archive(class));
        if let Some(class) = class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        attributes
    }

    /// Stores an object that was not there a moment ago.
    fn put_new(&self, file: &FileName, content: &[u8]) -> Result<()> {
        let mode = match self.condition.load(Ordering::Relaxed) {
            condition::IGNORED => PutMode::Overwrite,
            _ => PutMode::Create,
        };
        match self.put(file, content, mode)? {
            Put::Stored => Ok(()),
            Put::Exists => {
                self.condition.store(condition::HONOURED, Ordering::Relaxed);
                let size = self.look("write", file)?;
                let gone = || Error::new(Class::Transient, "write", file.path(), "another writer is at it");
                self.compare(file, size.ok_or_else(gone)?, content)
            }
            Put::NoCondition => {
                self.condition.store(condition::IGNORED, Ordering::Relaxed);
                self.put(file, content, PutMode::Overwrite).map(drop)
            }
        }
    }

    /// Finds out, by writing the same bytes again, whether conditional writes are honoured.
    fn probe(&self, file: &FileName, content: &[u8]) -> Result<()> {
        if self.condition.load(Ordering::Relaxed) != condition::UNKNOWN || content.len() > PROBE {
            return Ok(());
        }
        let found = match self.put(file, content, PutMode::Create)? {
            Put::Exists => condition::HONOURED,
            Put::Stored | Put::NoCondition => condition::IGNORED,
        };
        self.condition.store(found, Ordering::Relaxed);
        Ok(())
    }

    fn confirm(&self, file: &FileName, content: &[u8]) -> Result<()> {
        let lost = |message: String| Error::new(Class::Transient, "write", file.path(), message);
        match self.look("write", file)? {
            Some(size) if size == content.len() as u64 => Ok(()),
            Some(size) => Err(lost(format!("{size} of {} bytes are stored", content.len()))),
            None => Err(lost("it is not there although the store took it".into())),
        }
    }

    async fn fetch(&self, file: &FileName, range: Option<GetRange>, into: &mut Vec<u8>) -> Result<(), Problem> {
        let options = GetOptions { range, ..GetOptions::default() };
        let answer = in_time(self.store.get_opts(&self.path(file)?, options)).await??;
        let length = answer.range.end.saturating_sub(answer.range.start);
        into.clear();
        into.reserve(length.min(256 << 20) as usize);
        let mut chunks = answer.into_stream();
        while let Some(chunk) = in_time(chunks.next()).await? {
            into.extend_from_slice(&chunk?);
        }
        Ok(())
    }

    fn fetch_exactly(&self, file: &FileName, range: Option<GetRange>, into: &mut Vec<u8>, end: u64) -> Result<()> {
        let start = match &range {
            Some(GetRange::Bounded(range)) => range.start,
            _ => 0,
        };
        if let Err(error) = self.run("read", &file.path(), self.fetch(file, range, into)) {
            // Some stores ignore some ranges (the first byte alone, say) and send everything.
            if !ignored_range(&error) {
                return Err(error);
            }
            self.run("read", &file.path(), self.fetch(file, None, into))?;
            let (offset, length) =
                Part::Range { offset: start, length: end - start }.within(into.len() as u64, file)?;
            into.truncate(offset as usize + length);
            into.drain(..offset as usize);
        }
        let got = start + into.len() as u64;
        if got == end { Ok(()) } else { Err(Error::short(file, end, got)) }
    }

    fn read_tail(&self, file: &FileName, length: u64, into: &mut Vec<u8>) -> Result<()> {
        if self.knows_tail.load(Ordering::Relaxed) && length > 0 {
            match self.run("read", &file.path(), self.fetch(file, Some(GetRange::Suffix(length)), into)) {
                Ok(()) if into.len() as u64 <= length => return Ok(()),
                Ok(()) => {
                    into.drain(..into.len() - length as usize);
                    return Ok(());
                }
                Err(error) if ignored_range(&error) => self.knows_tail.store(false, Ordering::Relaxed),
                Err(error) if error.class != Class::Corrupt => return Err(error),
                Err(_) => {} // an empty object has no last byte
            }
        }
        let size = self.size(file)?;
        let (offset, length) = Part::Tail(length).within(size, file)?;
        self.read(file, Part::Range { offset, length: length as u64 }, into)
    }
}

/// What came of a write.
enum Put {
    Stored,
    Exists,
    NoCondition,
}

impl Backend for Objects {
    fn location(&self) -> String {
        self.location.clone()
    }

    fn connections(&self) -> usize {
        self.connections
    }

    fn create(&self) -> Result<()> {
        // There are no directories to make; but say now, not at the first backup, that we cannot get in.
        let listed = self.run("create", &self.location, async {
            let prefix = self.below("keys")?;
            Ok(in_time(self.store.list(Some(&prefix)).next()).await?.transpose()?)
        });
        match listed {
            Ok(_) => {
                self.known.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(mut error) if error.is_not_found() => {
                error.class = Class::Permanent;
                error.message = "the bucket or container does not exist; it has to be made first".into();
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    fn list(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        let files = match kind {
            FileKind::Config => {
                let size = self.look("list", &FileName::CONFIG)?;
                size.map(|size| FileInfo { id: FileName::CONFIG.id, size }).into_iter().collect()
            }
            kind => self.run("list", kind.directory(), async {
                let prefix = self.below(kind.directory())?;
                let mut files = Vec::new();
                let mut objects = self.store.list(Some(&prefix));
                while let Some(object) = in_time(objects.try_next()).await?? {
                    files.extend(file_info(kind, &prefix, &object));
                }
                Ok(files)
            })?,
        };
        if files.is_empty() && !self.known.load(Ordering::Relaxed) && self.look("list", &FileName::CONFIG)?.is_none() {
            return Err(Error::new(Class::NotFound, "list", &self.location, "there is no repository"));
        }
        Ok(without_duplicates(files))
    }

    fn size(&self, file: &FileName) -> Result<u64> {
        self.look("read", file)?.ok_or_else(|| Error::not_found("read", file))
    }

    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> Result<()> {
        match part {
            Part::Whole => {
                self.run("read", &file.path(), async {
                    self.fetch(file, None, into).await // a length that differs from the header's is an error there
                })
            }
            Part::Tail(length) => self.read_tail(file, length, into),
            Part::Range { length: 0, .. } => {
                part.within(self.size(file)?, file)?;
                into.clear();
                Ok(())
            }
            Part::Range { offset, length } => {
                let end = offset.checked_add(length).ok_or_else(|| Error::short(file, u64::MAX, 0))?;
                self.fetch_exactly(file, Some(GetRange::Bounded(offset..end)), into, end)
            }
        }
    }

    fn write(&self, file: &FileName, content: &[u8]) -> Result<()> {
        let turn = (self.condition.load(Ordering::Relaxed) != condition::HONOURED).then(|| self.turns.take(file));
        if turn.is_some()
            && let Some(size) = self.look("write", file)?
        {
            return self.compare(file, size, content);
        }
        let stored = match self.put_new(file, content) {
            Ok(()) => self.probe(file, content).and_then(|()| self.confirm(file, content)),
            result => result,
        };
        match stored {
            Err(failure) if matches!(failure.class, Class::Transient | Class::Offline) => {
                // The answer may be lost while the bytes are there.
                match self.look("write", file) {
                    Ok(Some(size)) if self.compare(file, size, content).is_ok() => Ok(()),
                    _ => Err(failure),
                }
            }
            result => result,
        }
    }

    fn remove(&self, file: &FileName) -> Result<()> {
        self.run("remove", &file.path(), async {
            match in_time(self.store.delete(&self.path(file)?)).await? {
                Err(StoreError::NotFound { .. }) => Ok(()),
                result => Ok(result?),
            }
        })
    }

    fn replace_config(&self, content: &[u8]) -> Result<()> {
        self.put(&FileName::CONFIG, content, PutMode::Overwrite)?;
        self.confirm(&FileName::CONFIG, content)
    }
}

/// The store sent everything where a part was asked for, or a part that it describes wrongly (of an empty object, say);
/// the library takes that for an error.
fn ignored_range(error: &Error) -> bool {
    ["non-partial", "CONTENT_RANGE"].iter().any(|words| error.message.contains(words))
}

/// What an object below `prefix` is, if its name is one of ours.
fn file_info(kind: FileKind, prefix: &Path, object: &ObjectMeta) -> Option<FileInfo> {
    let below = object.location.as_ref().strip_prefix(prefix.as_ref())?.strip_prefix('/')?;
    let id = match kind {
        FileKind::Pack => below.split_once('/').filter(|(shard, id)| id.get(..2) == Some(*shard))?.1,
        _ => below,
    };
    Some(FileInfo { id: id.parse().ok()?, size: object.size })
}

fn without_duplicates(mut files: Vec<FileInfo>) -> Vec<FileInfo> {
    files.sort_unstable_by_key(|file| file.id);
    files.dedup_by_key(|file| file.id);
    files
}

fn explain(action: &'static str, what: &str, problem: &Problem, seen: Option<Observed>) -> Error {
    let class = match problem {
        Problem::Store(StoreError::NotFound { .. }) => Class::NotFound,
        Problem::Store(StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. }) => Class::Rejected,
        Problem::Store(StoreError::Generic { .. }) => seen.as_ref().map_or(Class::Transient, |seen| seen.class),
        Problem::Store(_) => Class::Permanent,
        Problem::Stuck(_) => Class::Transient,
    };
    let text = problem.to_string();
    // Some stores answer to a range beyond the end as if it had none; the library notices.
    let class = if text.contains("but object was only") { Class::Corrupt } else { class };
    // What a store says to bytes that were damaged on the way is worth another try, other bad requests are not.
    let damaged =
        ["Digest", "SHA256Mismatch", "IncompleteBody", "RequestTimeout"].iter().any(|word| text.contains(word));
    let class = match (class, &seen) {
        (Class::Transient, Some(Observed { status: Some(400), .. })) if !damaged => Class::Permanent,
        (class, _) => class,
    };
    Error::new(class, action, what, text).after(seen.and_then(|seen| seen.wait))
}
