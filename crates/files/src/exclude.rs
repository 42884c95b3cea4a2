//! What a backup leaves out: by path, by marker file, by size, by file system.

use std::io::Read;

use platform::{NameList, Stat};

use crate::path;
use crate::pattern::{PatternList, Within};

/// What a backup leaves out. Paths that were named to be backed up are never left out themselves.
#[derive(Clone, Debug, Default)]
pub struct Excludes {
    /// Patterns for paths.
    pub patterns: PatternList,
    /// Patterns for paths that ignore case.
    pub insensitive: PatternList,
    /// A directory that holds such a file keeps only that file.
    pub markers: Vec<Marker>,
    /// Anything but directories that is larger, in bytes.
    pub larger_than: Option<u64>,
    /// What lies on another file system than the path that was named; mount points stay, as empty directories.
    pub other_file_systems: bool,
}

/// A file that marks its directory as not worth keeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    name: Vec<u8>,
    header: Vec<u8>,
}

/// A marker without a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no name for the marker file provided")]
pub struct NamelessMarker;

impl Marker {
    /// The cache directory tag, content checked: <https://bford.info/cachedir/>.
    pub fn cache_directory() -> Marker {
        Marker { name: b"CACHEDIR.TAG".to_vec(), header: b"Signature: 8a477f597d28d172789f06886806bc55".to_vec() }
    }

    /// Understands `name` or `name:header`; the file's content must begin with the header.
    pub fn parse(text: &[u8]) -> Result<Marker, NamelessMarker> {
        let mut halves = text.splitn(2, |byte| *byte == b':');
        let name = halves.next().unwrap_or_default().to_vec();
        let header = halves.next().unwrap_or_default().to_vec();
        if name.is_empty() { Err(NamelessMarker) } else { Ok(Marker { name, header }) }
    }

    /// Whether the file at `dir` is this marker; the reason if it looks like it but is not.
    fn marks(&self, dir: &[u8]) -> Result<bool, String> {
        if self.header.is_empty() {
            return Ok(true);
        }
        let file = open_marker(&path::child(dir, &self.name)).map_err(|error| error.to_string())?;
        let mut header = Vec::with_capacity(self.header.len());
        file.take(self.header.len() as u64).read_to_end(&mut header).map_err(|error| error.to_string())?;
        if header == self.header { Ok(true) } else { Err("its content does not begin as it should".into()) }
    }
}

/// Follows links, as restic does, but never waits on a named pipe.
fn open_marker(path: &[u8]) -> std::io::Result<std::fs::File> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::path::Path::new(std::ffi::OsStr::from_bytes(path));
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    std::fs::File::open(path)
}

/// The excludes, prepared for one directory.
pub(crate) struct DirExcludes<'e> {
    excludes: &'e Excludes,
    patterns: Within<'e>,
    insensitive: Within<'e>,
    /// Names of the markers that are there: everything else is left out.
    marked_by: Vec<&'e [u8]>,
}

impl Excludes {
    /// Prepares for the directory at the absolute path `dir`. `holds` tells which names are in it. What looks like a
    /// marker but is none goes to `complain`, with its path.
    pub(crate) fn within<'e>(
        &'e self,
        dir: &[u8],
        holds: impl Fn(&[u8]) -> bool,
        mut complain: impl FnMut(Vec<u8>, String),
    ) -> DirExcludes<'e> {
        let mut marked_by = Vec::new();
        for marker in self.markers.iter().filter(|marker| holds(&marker.name)) {
            match marker.marks(dir) {
                Ok(true) => marked_by.push(&marker.name[..]),
                Ok(false) => {}
                Err(reason) => complain(path::child(dir, &marker.name), reason),
            }
        }
        DirExcludes {
            excludes: self,
            patterns: self.patterns.within(dir),
            insensitive: self.insensitive.within(dir),
            marked_by,
        }
    }
}

impl DirExcludes<'_> {
    /// True if an entry is left out whatever it is, so that nobody needs to ask.
    pub(crate) fn by_name(&self, name: &[u8]) -> bool {
        self.patterns.matches(name) || self.insensitive.matches(name)
    }

    /// True if an entry is left out because of what it is or what lies beside it.
    pub(crate) fn by_stat(&self, name: &[u8], stat: &Stat) -> bool {
        let marked = self.marked_by.iter().any(|marker| *marker != name);
        let too_large = !stat.is_dir() && self.excludes.larger_than.is_some_and(|limit| stat.size > limit);
        marked || too_large
    }
}

/// For [`Excludes::within`]: the names that were read.
pub(crate) fn held_by(names: &NameList) -> impl Fn(&[u8]) -> bool {
    |name| names.find(name).is_some()
}

/// Reads a file of patterns: one a line, white space around it dropped, empty lines and those with `#` passed over,
/// `$NAME` and `${NAME}` replaced by what `variable` says (nothing if it knows none), `$$` by `$`.
pub fn parse_pattern_file(text: &[u8], variable: &dyn Fn(&str) -> Option<String>) -> Vec<Vec<u8>> {
    let text = crate::listing::decode(text);
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty() && line[0] != b'#').map(|line| expand(line, variable)).collect()
}

/// Replaces variables as Go's `os.Expand` does.
fn expand(line: &[u8], variable: &dyn Fn(&str) -> Option<String>) -> Vec<u8> {
    let mut expanded = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        expanded.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if rest.is_empty() {
            expanded.push(b'$');
            break;
        }
        let (name, length) = variable_name(rest);
        rest = &rest[length..];
        match name {
            b"$" => expanded.push(b'$'),
            b"" if length == 0 => expanded.push(b'$'),
            name => {
                let value = std::str::from_utf8(name).ok().and_then(variable);
                expanded.extend_from_slice(value.unwrap_or_default().as_bytes());
            }
        }
    }
    expanded.extend_from_slice(rest);
    expanded
}

/// The name behind a `$` and how many bytes it takes there; no name and no bytes where none follows.
fn variable_name(text: &[u8]) -> (&[u8], usize) {
    let special = |byte: u8| b"*#$@!?-0123456789".contains(&byte);
    if text[0] == b'{' {
        return match text.iter().position(|byte| *byte == b'}') {
            Some(1) => (b"", 2),
            Some(end) => (&text[1..end], end + 1),
            None => (b"", 1),
        };
    }
    if special(text[0]) {
        return (&text[..1], 1);
    }
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    (&text[..length], length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_files_hold_comments_blanks_and_variables() {
        let text = b"\xef\xbb\xbf# comment\n\n  *.o \r\n$HOME/x\n${HOME}y\na$$b\n$NONE/z\n$\n!keep\n";
        let home = |name: &str| (name == "HOME").then(|| "/home/u".to_owned());
        let lines = parse_pattern_file(text, &home);
        let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
        assert_eq!(lines, ["*.o", "/home/u/x", "/home/uy", "a$b", "/z", "$", "!keep"]);
    }

    #[test]
    fn markers_need_a_name_and_may_need_a_content() {
        assert!(Marker::parse(b"").is_err());
        assert!(Marker::parse(b":x").is_err());
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().as_os_str().as_encoded_bytes();
        std::fs::write(temp.path().join("tag"), "head and more").unwrap();
        assert_eq!(Marker::parse(b"tag:head").unwrap().marks(dir), Ok(true));
        assert!(Marker::parse(b"tag:tail").unwrap().marks(dir).is_err());
        assert_eq!(Marker::parse(b"tag").unwrap().marks(dir), Ok(true));
    }
}
