//! Listings as the protocol writes them: version 2 with sizes, version 1 names only.

use backend::FileInfo;
use serde::Serialize;

/// Media type of version 1, which is what clients get that do not ask for version 2.
pub(crate) const VERSION_1: &str = "application/vnd.x.restic.rest.v1";
/// Media type of version 2.
pub(crate) const VERSION_2: &str = "application/vnd.x.restic.rest.v2";

#[derive(Serialize)]
struct Entry {
    name: String,
    size: u64,
}

/// A listing and its media type, in the version that `accept` asks for.
pub(crate) fn write(files: &[FileInfo], accept: Option<&str>) -> (&'static str, Vec<u8>) {
    let asked = accept.unwrap_or_default();
    if asked.split(',').any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim() == VERSION_2)) {
        let entries: Vec<Entry> =
            files.iter().map(|file| Entry { name: file.id.to_string(), size: file.size }).collect();
        return (VERSION_2, serde_json::to_vec(&entries).unwrap_or_default());
    }
    let names: Vec<String> = files.iter().map(|file| file.id.to_string()).collect();
    (VERSION_1, serde_json::to_vec(&names).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use backend::Id;

    use super::*;

    #[test]
    fn both_versions_are_written() {
        let id = Id::of(b"x");
        let files = [FileInfo { id, size: 7 }];
        let text = |accept| {
            let (kind, body) = write(&files, accept);
            (kind, String::from_utf8(body).unwrap())
        };
        assert_eq!(text(None), (VERSION_1, format!("[\"{id}\"]")));
        let two = format!("[{{\"name\":\"{id}\",\"size\":7}}]");
        assert_eq!(text(Some(VERSION_2)), (VERSION_2, two.clone()));
        assert_eq!(text(Some(&format!("text/html, {VERSION_2};q=0.9"))), (VERSION_2, two));
        assert_eq!(write(&[], Some(VERSION_2)).1, b"[]");
    }
}
