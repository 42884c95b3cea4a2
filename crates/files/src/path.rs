//! Paths as bytes, cleaned by their words alone: no link is looked at.

/// The shortest path of the same meaning: no `.`, no `//`, no `..` but at the start of a relative path. Empty becomes `.`.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if rooted => {}
            part => parts.push(part),
        }
    }
    let mut cleaned = if rooted { b"/".to_vec() } else { Vec::new() };
    cleaned.extend_from_slice(&parts.join(&b'/'));
    if cleaned.is_empty() {
        cleaned.push(b'.');
    }
    cleaned
}

/// The clean path of `name` within `dir`.
pub fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    if dir.is_empty() {
        return clean(name);
    }
    let mut path = dir.to_vec();
    path.push(b'/');
    path.extend_from_slice(name);
    clean(&path)
}

/// The clean absolute path of `path` as seen from the directory `from`.
pub fn absolute(from: &[u8], path: &[u8]) -> Vec<u8> {
    if path.first() == Some(&b'/') { clean(path) } else { join(from, path) }
}

/// Appends `name` to the clean path `dir`.
pub fn child(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The clean path without its last part; `/` and `.` are their own parents.
pub fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/",
        Some(at) => &path[..at],
        None => b".",
    }
}

/// The last part of a clean path.
pub fn last(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) if path.len() > 1 => &path[at + 1..],
        _ => path,
    }
}

/// The parts of a clean path, without root.
pub fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_by_their_words() {
        let table: [(&str, &str); 14] = [
            ("", "."),
            (".", "."),
            ("./", "."),
            ("/", "/"),
            ("//", "/"),
            ("/..", "/"),
            ("/../a", "/a"),
            ("a//b/", "a/b"),
            ("a/./b/../c", "a/c"),
            ("..", ".."),
            ("../../x", "../../x"),
            ("a/../..", ".."),
            ("a/..", "."),
            ("/a/b/../../c/.", "/c"),
        ];
        for (path, wanted) in table {
            assert_eq!(String::from_utf8_lossy(&clean(path.as_bytes())), wanted, "{path}");
        }
        assert_eq!(absolute(b"/home/u", b"../v/x"), b"/home/v/x");
        assert_eq!(parent(b"/a"), b"/");
        assert_eq!(last(b"/a/b"), b"b");
        assert_eq!(last(b"/"), b"/");
    }
}
