//! Are index files true? What a machine wrote into an index is compared with the packs themselves before anything is
//! removed or copied by its word.
//!
//! A machine that is in the wrong hands can add index files. One that names blobs which its packs do not hold could make
//! prune take the real copy for the spare one. So of every pack that was not audited before, the header is read and
//! compared, and every blob that another pack holds as well is read and hashed where the index says that it is.

use backend::{FileKind, FileName, Part};
use parking_lot::Mutex;

use crate::compress::{Codec, Compression};
use crate::index::IndexPack;
use crate::pack::{HeaderTail, PackedBlob, USUAL_TAIL, parse_header};
use crate::progress::{Amount, Progress, Step};
use crate::workers::{self, Workers};
use crate::{Error, Id, Repository, Result, runs};

/// A pack as an index file names it, and a hash of all that it says about it. Who was audited under it need not be again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Audited {
    /// The pack.
    pub pack: Id,
    /// The same for entries that say the same about the pack, and no others.
    pub entry: Id,
}

/// What an index file says and its pack does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untrue {
    /// The index file.
    pub index: Id,
    /// The pack.
    pub pack: Id,
    /// What does not fit, in words.
    pub reason: String,
}

impl std::fmt::Display for Untrue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (index, pack) = (self.index.short(), self.pack.short());
        write!(f, "index {index} is not true about pack {pack}: {}", self.reason)
    }
}

/// What an audit found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Entries that were audited now and are true.
    pub good: Vec<Audited>,
    /// Entries that are not.
    pub untrue: Vec<Untrue>,
    /// Entries that `known` knew.
    pub known: u64,
}

/// Audits every entry of every index file that `known` does not know.
///
/// # Errors
/// What keeps the audit itself from going on: an index file that cannot be read, storage that fails. What is not true is
/// in the answer. A pack that is listed and gone is not this function's finding: nothing can be believed about it, and
/// `check` tells.
pub fn audit(repo: &Repository, known: &dyn Fn(&Audited) -> bool, progress: &dyn Progress) -> Result<Audit> {
    let mut audit = Audit::default();
    let entries = unknown_entries(repo, known, &mut audit.known)?;
    let bytes =
        entries.iter().map(|(_, pack, _)| pack.blobs.iter().map(|blob| u64::from(blob.length)).sum::<u64>()).sum();
    progress.begin(Step::AuditPacks, Amount { items: entries.len() as u64, bytes });
    let found = Mutex::new(audit);
    workers::for_each(Workers::readers(repo), entries, Auditor::new, |auditor, (index, pack, audited)| {
        repo.cancel().check()?;
        match auditor.judge(repo, &pack)? {
            None => found.lock().good.push(audited),
            Some(Verdict::Gone) => {}
            Some(Verdict::Untrue(reason)) => found.lock().untrue.push(Untrue { index, pack: pack.id, reason }),
        }
        let bytes = pack.blobs.iter().map(|blob| u64::from(blob.length)).sum();
        progress.advance(Amount { items: 1, bytes });
        Ok(())
    })?;
    let mut audit = found.into_inner();
    audit.untrue.sort_by_key(|untrue| (untrue.index, untrue.pack));
    Ok(audit)
}

type Entry = (Id, IndexPack, Audited);

fn unknown_entries(repo: &Repository, known: &dyn Fn(&Audited) -> bool, count: &mut u64) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for file in repo.backend().list(FileKind::Index)? {
        repo.cancel().check()?;
        for pack in repo.read_index_file(&file.id)?.packs {
            let audited = Audited { pack: pack.id, entry: pack.fingerprint() };
            match known(&audited) {
                true => *count += 1,
                false => entries.push((file.id, pack, audited)),
            }
        }
    }
    Ok(entries)
}

/// Why an entry is not good.
enum Verdict {
    /// The pack is not there.
    Gone,
    /// The pack says something else.
    Untrue(String),
}

/// One thread's buffers.
struct Auditor {
    tail: Vec<u8>,
    plain: Vec<u8>,
    codec: Codec,
}

impl Auditor {
    fn new() -> Auditor {
        Auditor { tail: Vec::new(), plain: Vec::new(), codec: Codec::new(Compression::Auto) }
    }

    /// Why an entry is not good; `None` if it is.
    fn judge(&mut self, repo: &Repository, pack: &IndexPack) -> Result<Option<Verdict>> {
        let file = FileName::new(FileKind::Pack, pack.id);
        let size = match repo.backend().size(&file) {
            Ok(size) => size,
            Err(error) if error.is_not_found() => return Ok(Some(Verdict::Gone)),
            Err(error) => return Err(error.into()),
        };
        let header = match self.header(repo, &file, size)? {
            Ok(header) => header,
            Err(reason) => return Ok(Some(Verdict::Untrue(reason))),
        };
        let mut named = pack.blobs.clone();
        named.sort_unstable_by_key(|blob| blob.offset);
        if named != header {
            return Ok(Some(Verdict::Untrue("its header names other blobs".into())));
        }
        Ok(self.judge_spares(repo, pack.id, &header)?.map(Verdict::Untrue))
    }

    /// The pack's header; the inner error says why it cannot be believed.
    fn header(
        &mut self,
        repo: &Repository,
        file: &FileName,
        size: u64,
    ) -> Result<std::result::Result<Vec<PackedBlob>, String>> {
        let mut wanted = USUAL_TAIL.min(size);
        loop {
            repo.backend().read(file, Part::Tail(wanted), &mut self.tail)?;
            match parse_header(repo.key(), &self.tail, size) {
                Ok(HeaderTail::Blobs(blobs)) => return Ok(Ok(blobs)),
                Ok(HeaderTail::Needs(more)) if more > wanted && more <= size => wanted = more,
                Ok(HeaderTail::Needs(_)) => return Ok(Err("its header is longer than the pack".into())),
                Err(reason) => return Ok(Err(reason)),
            }
        }
    }

    /// Of what lies elsewhere, too, either place may be taken for the spare one: it must hold what it promises.
    fn judge_spares(&mut self, repo: &Repository, pack: Id, blobs: &[PackedBlob]) -> Result<Option<String>> {
        let index = repo.index()?;
        for entry in blobs {
            let is_elsewhere = index.locations(&entry.blob).iter().any(|place| place.pack != pack);
            if !is_elsewhere {
                continue;
            }
            let part = Part::Range { offset: entry.offset.into(), length: entry.length.into() };
            repo.backend().read(&FileName::new(FileKind::Pack, pack), part, &mut self.tail)?;
            let location = runs::location(pack, entry);
            let opened = repo.decode_blob(&entry.blob, &location, &mut self.tail, &mut self.codec, &mut self.plain);
            match opened {
                Ok(_) => {}
                Err(Error::DamagedBlob { reason, .. }) => {
                    return Ok(Some(format!(
                        "blob {} in it is not what its name says: {reason}",
                        entry.blob.id.short()
                    )));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}
