//! Lists of what to back up, read from files: patterns, names line by line, names with a NUL behind each.

use std::os::unix::ffi::{OsStrExt, OsStringExt};

use crate::glob::{BadGlob, Glob};
use crate::path;

/// A list that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The last name has no NUL behind it.
    #[error("--files-from-raw: trailing zero byte missing")]
    Unterminated,
    /// A name without bytes, which would mean the current directory.
    #[error("--files-from-raw: empty filename in listing")]
    EmptyName,
    /// A pattern that cannot be understood.
    #[error("pattern: {pattern}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        source: BadGlob,
    },
}

/// Lines as they are, empty ones left out.
pub fn parse_verbatim(text: &[u8]) -> Vec<Vec<u8>> {
    lines(&decode(text)).filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

/// Names, each with a NUL behind it.
pub fn parse_raw(text: &[u8]) -> Result<Vec<Vec<u8>>, ListingError> {
    let Some(text) = text.strip_suffix(b"\0") else {
        return if text.is_empty() { Ok(Vec::new()) } else { Err(ListingError::Unterminated) };
    };
    let names: Vec<Vec<u8>> = text.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    if names.iter().any(Vec::is_empty) { Err(ListingError::EmptyName) } else { Ok(names) }
}

/// Patterns for existing files, one a line; white space around them, empty lines and those with `#` are passed over.
/// Patterns that match nothing go to `complain`. Relative ones are looked up from the absolute directory `from`.
pub fn parse_patterns(text: &[u8], from: &[u8], mut complain: impl FnMut(&[u8])) -> Result<Vec<Vec<u8>>, ListingError> {
    let mut names = Vec::new();
    for line in lines(&decode(text)).map(<[u8]>::trim_ascii).filter(|line| !line.is_empty() && line[0] != b'#') {
        let found = expand(line, from).map_err(|source| {
            let pattern = String::from_utf8_lossy(line).into_owned();
            ListingError::Pattern { pattern, source }
        })?;
        if found.is_empty() {
            complain(line);
        }
        names.extend(found);
    }
    Ok(names)
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// Drops a byte order mark, and turns UTF-16 that has one into UTF-8.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    match text {
        [0xEF, 0xBB, 0xBF, rest @ ..] => rest.to_vec(),
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        text => text.to_vec(),
    }
}

fn utf16(text: &[u8], unit: fn([u8; 2]) -> u16) -> Vec<u8> {
    let units: Vec<u16> = text.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
    String::from_utf16_lossy(&units).into_bytes()
}

/// The existing files that a pattern means, in ascending order; as written where it holds nothing special.
fn expand(pattern: &[u8], from: &[u8]) -> Result<Vec<Vec<u8>>, BadGlob> {
    let rooted = pattern.first() == Some(&b'/');
    let mut found: Vec<Vec<u8>> = vec![if rooted { b"/".to_vec() } else { Vec::new() }];
    for part in pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        let glob = Glob::new(part)?;
        let special = part.iter().any(|byte| b"*?[\\".contains(byte));
        found = found.iter().flat_map(|dir| step(dir, part, special.then_some(&glob), from)).collect();
    }
    Ok(found)
}

/// What one part of a pattern means in `dir`.
fn step(dir: &[u8], part: &[u8], glob: Option<&Glob>, from: &[u8]) -> Vec<Vec<u8>> {
    let extend = |name: &[u8]| if dir.is_empty() { name.to_vec() } else { path::child(dir, name) };
    let Some(glob) = glob else {
        let path = extend(part);
        let exists = platform::Stat::of_path(&path::absolute(from, &path)).is_ok();
        return if exists { vec![path] } else { Vec::new() };
    };
    let absolute = path::absolute(from, dir);
    let Ok(entries) = std::fs::read_dir(std::ffi::OsStr::from_bytes(&absolute)) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().into_vec());
    let mut names: Vec<Vec<u8>> = names.filter(|name| glob.matches(name)).collect();
    names.sort_unstable();
    names.iter().map(|name| extend(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_lists_end_every_name_with_nul() {
        assert_eq!(parse_raw(b"a\nb\0c\0").unwrap(), [b"a\nb".to_vec(), b"c".to_vec()]);
        assert!(parse_raw(b"").unwrap().is_empty());
        assert!(matches!(parse_raw(b"a\0b"), Err(ListingError::Unterminated)));
        assert!(matches!(parse_raw(b"a\0\0"), Err(ListingError::EmptyName)));
        assert!(matches!(parse_raw(b"\0"), Err(ListingError::EmptyName)));
    }

    #[test]
    fn verbatim_lists_keep_blanks_and_comments() {
        assert_eq!(parse_verbatim(b" a \r\n#b\n\n"), [b" a ".to_vec(), b"#b".to_vec()]);
        assert_eq!(parse_verbatim(b"\xff\xfea\0\n\0"), [b"a".to_vec()]);
    }

    #[test]
    fn patterns_mean_what_exists() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["a.txt", "b.txt", "c.md"] {
            std::fs::write(temp.path().join(name), name).unwrap();
        }
        let from = temp.path().as_os_str().as_encoded_bytes();
        let mut unmatched = 0;
        let found = parse_patterns(b"# x\n *.txt \nc.md\nmissing*\n", from, |_| unmatched += 1).unwrap();
        assert_eq!(found, [b"a.txt".to_vec(), b"b.txt".to_vec(), b"c.md".to_vec()]);
        assert_eq!(unmatched, 1);
        let mut pattern = from.to_vec();
        pattern.extend_from_slice(b"/?.md");
        assert_eq!(parse_patterns(&pattern, b"/", |_| {}).unwrap(), [path::child(from, b"c.md")]);
        assert!(parse_patterns(b"[", b"/", |_| {}).is_err());
    }
}
