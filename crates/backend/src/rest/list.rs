//! Listings: version 2 tells names and sizes, version 1 names only, whose sizes are then asked for one by one.

use super::*;

/// Media type that asks for, and marks, a listing with sizes.
const VERSION_2: &str = "application/vnd.x.restic.rest.v2";

/// How often in a row a server must say that a directory is not there before it is believed. rest-server (0.14) says so
/// too when a temporary file got its final name while it was listing; taken at its word, a full repository would look
/// empty, or one without locks.
const ASKED_WHEN_MISSING: usize = 8;

#[derive(serde::Deserialize)]
struct Entry {
    name: String,
    size: u64,
}

impl<T: Transport> Rest<T> {
    pub(super) fn list_config(&self) -> Result<Vec<FileInfo>> {
        let size = self.head("list", &FileName::CONFIG)?;
        Ok(size.map(|size| FileInfo { id: FileName::CONFIG.id, size }).into_iter().collect())
    }

    pub(super) fn list_kind(&self, kind: FileKind) -> Result<Vec<FileInfo>> {
        let path = format!("{}/", kind.directory());
        let mut asked = 1;
        let (answer, body) = loop {
            let (answer, body) = self.ask_for_list(&path)?;
            if answer.status != StatusCode::NOT_FOUND || asked == ASKED_WHEN_MISSING {
                break (answer, body);
            }
            asked += 1;
        };
        match answer.status {
            StatusCode::OK if is_version_2(&answer) => parse_version_2(&path, &body),
            StatusCode::OK => self.size_each(kind, parse_version_1(&path, &body)?),
            StatusCode::NOT_FOUND => self.missing(&path, &answer, &body),
            _ => Err(self.refused(&answer, "list", &path, &body)),
        }
    }

    fn ask_for_list(&self, path: &str) -> Result<(Answer, Vec<u8>)> {
        let accept = Some(VERSION_2);
        let request = Request { method: Method::GET, path, range: None, accept, body: None, limit: MAX_ANSWER };
        let mut body = Vec::new();
        Ok((self.ask("list", path, &request, &mut body)?, body))
    }

    /// A missing directory is an empty one, but rclone also says "not found" when it could not list.
    fn missing(&self, path: &str, answer: &Answer, body: &[u8]) -> Result<Vec<FileInfo>> {
        if self.replaces.load(Ordering::Relaxed) != replaces::YES {
            self.known.store(false, Ordering::Relaxed);
            return Ok(Vec::new());
        }
        let mut error = self.refused(answer, "list", path, body);
        error.class = Class::Transient;
        Err(error)
    }

    fn size_each(&self, kind: FileKind, ids: Vec<Id>) -> Result<Vec<FileInfo>> {
        let share = ids.len().div_ceil(self.connections).max(1);
        let sizes = |ids: &[Id]| -> Result<Vec<FileInfo>> {
            let mut files = Vec::with_capacity(ids.len());
            for id in ids {
                let size = self.head("list", &FileName::new(kind, *id))?;
                files.extend(size.map(|size| FileInfo { id: *id, size }));
            }
            Ok(files)
        };
        let sizes = &sizes;
        let parts: Vec<Result<Vec<FileInfo>>> = std::thread::scope(|scope| {
            let threads: Vec<_> = ids.chunks(share).map(|ids| scope.spawn(move || sizes(ids))).collect();
            threads.into_iter().map(|thread| thread.join().expect("asking for sizes does not panic")).collect()
        });
        parts.into_iter().collect::<Result<Vec<_>>>().map(|parts| parts.concat())
    }
}

fn is_version_2(answer: &Answer) -> bool {
    let kind = answer.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with(VERSION_2))
}

fn bad_list(path: &str, error: &serde_json::Error) -> Error {
    Error::new(Class::Transient, "list", path, format!("the listing is damaged: {error}"))
}

fn parse_version_2(path: &str, body: &[u8]) -> Result<Vec<FileInfo>> {
    let entries: Option<Vec<Entry>> = serde_json::from_slice(body).map_err(|error| bad_list(path, &error))?;
    let files = entries.unwrap_or_default().into_iter();
    let files = files.filter_map(|entry| Some(FileInfo { id: entry.name.parse().ok()?, size: entry.size }));
    Ok(without_duplicates(files.collect()))
}

fn parse_version_1(path: &str, body: &[u8]) -> Result<Vec<Id>> {
    let names: Option<Vec<String>> = serde_json::from_slice(body).map_err(|error| bad_list(path, &error))?;
    let mut ids: Vec<Id> = names.unwrap_or_default().iter().filter_map(|name| name.parse().ok()).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

fn without_duplicates(mut files: Vec<FileInfo>) -> Vec<FileInfo> {
    files.sort_unstable_by_key(|file| file.id);
    files.dedup_by_key(|file| file.id);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_ids_and_repetitions_are_left_out() {
        let id = Id::of(b"x");
        let body = format!(r#"[{{"name":"{id}","size":3}},{{"name":"x-tmp-1","size":1}},{{"name":"{id}","size":3}}]"#);
        assert_eq!(parse_version_2("index/", body.as_bytes()).unwrap(), [FileInfo { id, size: 3 }]);
        assert_eq!(parse_version_1("index/", format!(r#"["{id}","{id}","a"]"#).as_bytes()).unwrap(), [id]);
    }

    #[test]
    fn a_cut_listing_is_an_error_and_not_a_short_list() {
        let body = format!(r#"[{{"name":"{}","size":3}},"#, Id::of(b"x"));
        assert_eq!(parse_version_2("index/", body.as_bytes()).unwrap_err().class, Class::Transient);
    }

    #[test]
    fn a_list_of_nothing_may_be_null() {
        assert_eq!(parse_version_2("index/", b"null").unwrap(), []);
        assert_eq!(parse_version_1("index/", b"null").unwrap(), []);
    }
}
