//! Lists of patterns for paths, with restic's meaning.
//!
//! A pattern with `/` at its start is for the path from the root; any other may begin at every part of a path. `**` stands
//! for any number of parts. What lies below something that matches, matches too. A pattern with `!` takes back what earlier
//! ones matched.

use crate::glob::{BadGlob, Glob};
use crate::path;

/// Whether letters that differ only in case are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Case {
    /// They differ.
    #[default]
    Sensitive,
    /// They are the same.
    Insensitive,
}

/// A pattern that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid pattern: {pattern}")]
pub struct InvalidPattern {
    /// The pattern, as far as it is text.
    pub pattern: String,
    /// What is wrong.
    pub source: BadGlob,
}

/// Patterns in the order in which they were given.
#[derive(Clone, Debug, Default)]
pub struct PatternList {
    patterns: Vec<Pattern>,
    case: Case,
    negates: bool,
}

#[derive(Clone, Debug)]
struct Pattern {
    negated: bool,
    rooted: bool,
    /// Without the root, and without `**` at the end, which adds nothing.
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    AnyDepth,
    Name(Vec<u8>),
    Glob(Glob),
}

impl Part {
    fn new(text: &[u8]) -> Result<Part, BadGlob> {
        match text {
            b"**" => Ok(Part::AnyDepth),
            text if text.iter().any(|byte| b"\\[]*?".contains(byte)) => Glob::new(text).map(Part::Glob),
            text => Ok(Part::Name(text.to_vec())),
        }
    }

    fn matches(&self, name: &[u8]) -> bool {
        match self {
            Part::AnyDepth => true,
            Part::Name(wanted) => wanted == name,
            Part::Glob(glob) => glob.matches(name),
        }
    }
}

impl Pattern {
    fn new(text: &[u8]) -> Result<Pattern, BadGlob> {
        let (negated, text) = match text.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let cleaned = path::clean(text);
        let rooted = cleaned.first() == Some(&b'/');
        let body = if rooted { &cleaned[1..] } else { &cleaned[..] };
        let mut parts = Vec::new();
        for part in body.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
            parts.push(Part::new(part)?);
        }
        while parts.last() == Some(&Part::AnyDepth) {
            parts.pop();
        }
        Ok(Pattern { negated, rooted, parts })
    }

    /// True if the pattern means `path` or something above it.
    fn matches(&self, path: &[&[u8]]) -> bool {
        if self.rooted {
            return continues(&self.parts, path);
        }
        (0..path.len()).any(|from| continues(&self.parts, &path[from..]))
    }

    /// True if something below `path`, at whatever depth, may match.
    fn may_match_below(&self, path: &[&[u8]]) -> bool {
        if !self.rooted {
            return true;
        }
        let fixed = self.parts.iter().position(|part| *part == Part::AnyDepth).unwrap_or(self.parts.len());
        let common = fixed.min(path.len());
        self.parts[..common].iter().zip(path).all(|(part, name)| part.matches(name))
    }

    /// True if the last part means `name`, without which no new match can end there.
    fn may_end_with(&self, name: &[u8]) -> bool {
        self.parts.last().is_none_or(|part| part.matches(name))
    }
}

/// True if `parts` mean the beginning of `path`.
fn continues(parts: &[Part], path: &[&[u8]]) -> bool {
    match parts.split_first() {
        None => true,
        Some((Part::AnyDepth, rest)) => (0..=path.len()).any(|skipped| continues(rest, &path[skipped..])),
        Some((part, rest)) => {
            path.split_first().is_some_and(|(name, below)| part.matches(name) && continues(rest, below))
        }
    }
}

/// What a list says about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It (or something above it) is meant.
    pub matched: bool,
    /// Something below it may be meant.
    pub below_may_match: bool,
}

impl PatternList {
    /// Understands patterns; empty ones are passed over.
    pub fn new<P: AsRef<[u8]>>(
        patterns: impl IntoIterator<Item = P>,
        case: Case,
    ) -> Result<PatternList, InvalidPattern> {
        let mut list = PatternList { case, ..PatternList::default() };
        for text in patterns {
            list.push(text.as_ref())?;
        }
        Ok(list)
    }

    fn push(&mut self, text: &[u8]) -> Result<(), InvalidPattern> {
        if text.is_empty() {
            return Ok(());
        }
        let pattern = match self.case {
            Case::Sensitive => Pattern::new(text),
            Case::Insensitive => Pattern::new(&lowercase(text)),
        };
        let pattern =
            pattern.map_err(|source| InvalidPattern { pattern: String::from_utf8_lossy(text).into_owned(), source })?;
        self.negates |= pattern.negated;
        self.patterns.push(pattern);
        Ok(())
    }

    /// True if there are no patterns: nothing matches.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// True if the absolute path (or something above it) is meant.
    pub fn matches(&self, path: &[u8]) -> bool {
        self.within(path::parent(path)).matches(path::last(path))
    }

    /// What the list says about an absolute path, for whoever must know whether to go on below it.
    pub fn judge(&self, path: &[u8]) -> Verdict {
        let folded = self.fold(path);
        let parts: Vec<&[u8]> = path::parts(&folded).collect();
        let mut verdict = Verdict { matched: false, below_may_match: false };
        for pattern in &self.patterns {
            let matches = pattern.matches(&parts);
            if pattern.negated {
                verdict.matched &= !matches;
                verdict.below_may_match &= !matches;
            } else {
                verdict.matched |= matches;
                verdict.below_may_match |= pattern.may_match_below(&parts);
            }
        }
        verdict
    }

    /// Prepares for many names in the directory at the absolute path `dir`.
    pub fn within(&self, dir: &[u8]) -> Within<'_> {
        let dir = if self.is_empty() { Vec::new() } else { self.fold(dir) };
        let parts: Vec<&[u8]> = path::parts(&dir).collect();
        let matched = self.patterns.iter().map(|pattern| !parts.is_empty() && pattern.matches(&parts)).collect();
        Within { list: self, dir, matched }
    }

    fn fold(&self, text: &[u8]) -> Vec<u8> {
        match self.case {
            Case::Sensitive => text.to_vec(),
            Case::Insensitive => lowercase(text),
        }
    }
}

/// A list, prepared for the names of one directory.
pub struct Within<'l> {
    list: &'l PatternList,
    dir: Vec<u8>,
    /// For every pattern, whether it means the directory itself or something above it.
    matched: Vec<bool>,
}

impl Within<'_> {
    /// True if the entry `name` (or something above it) is meant.
    pub fn matches(&self, name: &[u8]) -> bool {
        if self.list.is_empty() {
            return false;
        }
        match self.list.case {
            Case::Sensitive => self.matches_folded(name),
            Case::Insensitive => self.matches_folded(&lowercase(name)),
        }
    }

    fn matches_folded(&self, name: &[u8]) -> bool {
        let mut excluded = false;
        for (pattern, dir_matches) in self.list.patterns.iter().zip(&self.matched) {
            if *dir_matches || (pattern.may_end_with(name) && self.matches_here(pattern, name)) {
                excluded = !pattern.negated;
                if excluded && !self.list.negates {
                    return true;
                }
            }
        }
        excluded
    }

    fn matches_here(&self, pattern: &Pattern, name: &[u8]) -> bool {
        if !pattern.rooted && pattern.parts.len() <= 1 {
            return true;
        }
        let mut parts: Vec<&[u8]> = path::parts(&self.dir).collect();
        parts.push(name);
        pattern.matches(&parts)
    }
}

/// Every letter in lower case; what is no text becomes the replacement character, as in restic.
fn lowercase(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    text.chars().filter_map(|letter| letter.to_lowercase().next()).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(patterns: &[&str]) -> PatternList {
        PatternList::new(patterns, Case::Sensitive).unwrap()
    }

    #[test]
    fn patterns_mean_paths_as_in_restic() {
        let table: [(&str, &str, bool); 34] = [
            ("foo", "/a/foo", true),
            ("foo", "/foo/b/c", true),
            ("foo", "/a/foobar", false),
            ("/foo", "/foo/b", true),
            ("/foo", "/a/foo", false),
            ("foo/bar", "/x/foo/bar/y", true),
            ("foo/bar", "/x/foo/y/bar", false),
            ("foo/**/bar", "/x/foo/y/z/bar", true),
            ("foo/**/bar", "/x/foo/bar", true),
            ("/**/bar", "/x/bar", true),
            ("/foo/**", "/foo", true),
            ("/foo/**", "/foo/x/y", true),
            ("/foo/*", "/foo", false),
            ("/foo/*", "/foo/x/y", true),
            ("*.go", "/a/b.go", true),
            ("*.go", "/a/b.go/c", true),
            ("*.go", "/a/b.gox", false),
            ("**", "/a", true),
            ("/", "/a", true),
            ("**/x", "/x", true),
            ("a/./b", "/a/b", true),
            ("a/c/../b", "/a/b", true),
            ("b/", "/a/b", true),
            ("/home/*/x", "/home/u/x", true),
            ("/home/*/x", "/home/u/v/x", false),
            ("*/x", "/x", false),
            ("*/x", "/a/x", true),
            ("[ab]c", "/bc", true),
            ("\\*", "/*", true),
            ("\\*", "/a", false),
            (".*", "/a/.b", true),
            ("a**b", "/axxb", true),
            ("a**b", "/a/x/b", false),
            ("/a/**/c/**/e", "/a/b/c/d/d/e/f", true),
        ];
        for (pattern, path, wanted) in table {
            assert_eq!(list(&[pattern]).matches(path.as_bytes()), wanted, "{pattern} {path}");
            assert_eq!(list(&[pattern]).judge(path.as_bytes()).matched, wanted, "judge {pattern} {path}");
        }
    }

    #[test]
    fn a_later_pattern_takes_back_an_earlier_one() {
        let list = list(&["*.log", "!keep.log", "/x/keep.log"]);
        assert!(list.matches(b"/a/b.log"));
        assert!(!list.matches(b"/a/keep.log"));
        assert!(list.matches(b"/x/keep.log"));
    }

    #[test]
    fn below_a_fixed_start_it_is_known_where_nothing_can_match() {
        let list = list(&["/home/u/*.txt"]);
        assert!(list.judge(b"/home").below_may_match);
        assert!(list.judge(b"/home/u").below_may_match);
        assert!(!list.judge(b"/var").below_may_match);
        assert!(list.judge(b"/home/u/a.txt").matched);
    }

    #[test]
    fn case_can_be_ignored() {
        let list = PatternList::new(["*.JPG", "Über"], Case::Insensitive).unwrap();
        assert!(list.matches(b"/a/b.jPg"));
        assert!(list.matches("/ÜBER/x".as_bytes()));
    }

    #[test]
    fn a_broken_pattern_is_named() {
        let error = PatternList::new(["ok", "a/[b"], Case::Sensitive).unwrap_err();
        assert_eq!(error.to_string(), "invalid pattern: a/[b");
    }
}
