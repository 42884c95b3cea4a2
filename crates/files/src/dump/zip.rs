//! zip: deflated files with sizes behind them, so that nothing needs to be known in advance.

use std::io::Write;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use repo::Repository;
use repo::node::{Node, NodeKind};
use zip::write::{SimpleFileOptions, StreamWriter, ZipWriter};
use zip::{CompressionMethod, DateTime};

use super::{DumpError, content, content_size};

/// Writes an archive.
pub(super) struct Writer<'o> {
    archive: ZipWriter<StreamWriter<&'o mut dyn Write>>,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Writer<'o> {
        Writer { archive: ZipWriter::new_stream(out) }
    }

    /// Writes an entry; `path` is relative. Devices, pipes and sockets have no form in zip and are passed over.
    pub(super) fn node(&mut self, repo: &Repository, path: &[u8], node: &Node) -> Result<(), DumpError> {
        let name = String::from_utf8_lossy(path).into_owned();
        let form = |error: zip::result::ZipError| match error {
            zip::result::ZipError::Io(error) => DumpError::Output(error),
            error => DumpError::Form { path: name.clone(), reason: error.to_string() },
        };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .unix_permissions(crate::restore::unix_mode(node.mode))
            .last_modified_time(date(node));
        match node.kind {
            NodeKind::Dir => self.archive.add_directory(name.as_str(), options).map_err(form),
            NodeKind::Symlink => {
                let target = String::from_utf8_lossy(&node.link_target);
                self.archive.add_symlink(name.as_str(), target, options).map_err(form)
            }
            NodeKind::File => {
                // Deflate may make a little more of what cannot be made less.
                let large = content_size(repo, node)? >= (u64::from(u32::MAX) - (64 << 20));
                self.archive.start_file(name.as_str(), options.large_file(large)).map_err(form)?;
                content(repo, node, &mut self.archive)
            }
            _ => Ok(()),
        }
    }

    /// Ends the archive.
    pub(super) fn finish(self) -> Result<(), DumpError> {
        let finished = self.archive.finish().map_err(std::io::Error::from)?;
        Ok(finished.into_inner().flush()?)
    }
}

/// Time of day in UTC, which is all that zip has room for; years before 1980 become 1980.
fn date(node: &Node) -> DateTime {
    let Ok(time) = Timestamp::from_second(node.mtime.seconds) else { return DateTime::default() };
    let time = time.to_zoned(TimeZone::UTC);
    let [month, day, hour, minute, second] =
        [time.month(), time.day(), time.hour(), time.minute(), time.second()].map(|part| part.unsigned_abs());
    DateTime::from_date_and_time(time.year().unsigned_abs(), month, day, hour, minute, second).unwrap_or_default()
}
