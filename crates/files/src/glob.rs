//! A shell pattern for one name, with exactly the meaning that Go's `filepath.Match` gives it: `*`, `?`, `[a-z]`, `[^a]`
//! and `\` before a character that is meant itself.

/// A pattern that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// One character.
    Any,
    /// Any number of bytes.
    Star,
    /// One character out of (or not out of) these ranges.
    Class { negated: bool, ranges: Vec<(u32, u32)> },
}

/// The pattern breaks off, or a class has no characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadGlob;

impl Glob {
    /// Understands a pattern.
    pub fn new(pattern: &[u8]) -> Result<Glob, BadGlob> {
        let mut tokens = Vec::new();
        let mut rest = pattern;
        while let Some((first, tail)) = rest.split_first() {
            rest = tail;
            match first {
                b'*' if tokens.last() == Some(&Token::Star) => {}
                b'*' => tokens.push(Token::Star),
                b'?' => tokens.push(Token::Any),
                b'[' => tokens.push(class(&mut rest)?),
                b'\\' => tokens.push(Token::Byte(take_byte(&mut rest)?)),
                byte => tokens.push(Token::Byte(*byte)),
            }
        }
        Ok(Glob { tokens })
    }

    /// True if the pattern means the whole of `name`, which holds no `/`.
    pub fn matches(&self, name: &[u8]) -> bool {
        // At most one star needs to be tried again: where a later one has been reached, the earlier ones are settled.
        let (mut token, mut at) = (0, 0);
        let mut retry = None;
        loop {
            match self.tokens.get(token) {
                None if at == name.len() => return true,
                Some(Token::Star) => {
                    retry = Some((token + 1, at));
                    token += 1;
                    continue;
                }
                Some(one) => {
                    if let Some(length) = one.length_matched(&name[at..]) {
                        token += 1;
                        at += length;
                        continue;
                    }
                }
                None => {}
            }
            match &mut retry {
                Some((after, from)) if *from < name.len() => {
                    *from += 1;
                    (token, at) = (*after, *from);
                }
                _ => return false,
            }
        }
    }
}

impl Token {
    /// How many bytes at the start of `name` this means, if it does.
    fn length_matched(&self, name: &[u8]) -> Option<usize> {
        let first = *name.first()?;
        match self {
            Token::Byte(byte) => (*byte == first).then_some(1),
            Token::Any => (first != b'/').then(|| character(name).1),
            Token::Class { negated, ranges } => {
                let (character, length) = character(name);
                let inside = ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
                (inside != *negated).then_some(length)
            }
            Token::Star => unreachable!("handled by the loop"),
        }
    }
}

/// A byte that begins no character counts as this one.
const REPLACEMENT: u32 = 0xFFFD;

/// The first character of `text`, which is not empty, and its length.
fn character(text: &[u8]) -> (u32, usize) {
    for length in 1..=text.len().min(4) {
        if let Ok(valid) = std::str::from_utf8(&text[..length]) {
            return (valid.chars().next().map_or(REPLACEMENT, u32::from), length);
        }
    }
    (REPLACEMENT, 1)
}

fn take_byte(rest: &mut &[u8]) -> Result<u8, BadGlob> {
    let (first, tail) = rest.split_first().ok_or(BadGlob)?;
    *rest = tail;
    Ok(*first)
}

/// A class, behind its `[`.
fn class(rest: &mut &[u8]) -> Result<Token, BadGlob> {
    let negated = rest.first() == Some(&b'^');
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    loop {
        if rest.first() == Some(&b']') && !ranges.is_empty() {
            *rest = &rest[1..];
            return Ok(Token::Class { negated, ranges });
        }
        let low = class_character(rest)?;
        let mut high = low;
        if rest.first() == Some(&b'-') {
            *rest = &rest[1..];
            high = class_character(rest)?;
        }
        ranges.push((low, high));
    }
}

/// One character in a class; something must follow it.
fn class_character(rest: &mut &[u8]) -> Result<u32, BadGlob> {
    match rest.first() {
        None | Some(b'-' | b']') => return Err(BadGlob),
        Some(b'\\') => *rest = &rest[1..],
        Some(_) => {}
    }
    if rest.is_empty() {
        return Err(BadGlob);
    }
    let (found, length) = character(rest);
    if (found == REPLACEMENT && length == 1) || rest.len() == length {
        return Err(BadGlob);
    }
    *rest = &rest[length..];
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_go_says() {
        let table: [(&str, &str, Option<bool>); 36] = [
            ("abc", "abc", Some(true)),
            ("*", "abc", Some(true)),
            ("*c", "abc", Some(true)),
            ("a*", "a", Some(true)),
            ("a*", "abc", Some(true)),
            ("a*b*c*d*e*", "axbxcxdxe", Some(true)),
            ("a*b*c*d*e*", "axbxcxdxexxx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
            ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
            ("ab[c]", "abc", Some(true)),
            ("ab[b-d]", "abc", Some(true)),
            ("ab[e-g]", "abc", Some(false)),
            ("ab[^c]", "abc", Some(false)),
            ("ab[^b-d]", "abc", Some(false)),
            ("ab[^e-g]", "abc", Some(true)),
            ("a\\*b", "a*b", Some(true)),
            ("a\\*b", "ab", Some(false)),
            ("a?b", "a☺b", Some(true)),
            ("a[^a]b", "a☺b", Some(true)),
            ("a???b", "a☺b", Some(false)),
            ("a[^a][^a][^a]b", "a☺b", Some(false)),
            ("[a-ζ]*", "α", Some(true)),
            ("*[a-ζ]", "A", Some(false)),
            ("[\\]a]", "]", Some(true)),
            ("[\\-]", "-", Some(true)),
            ("[x\\-]", "x", Some(true)),
            ("[x\\-]", "z", Some(false)),
            ("[\\-x]", "a", Some(false)),
            ("[]a]", "]", None),
            ("[-]", "-", None),
            ("[x-]", "x", None),
            ("[a-b-c]", "a", None),
            ("[", "a", None),
            ("[^bc", "a", None),
            ("a[", "ab", None),
            ("*x", "xxx", Some(true)),
        ];
        for (pattern, name, wanted) in table {
            let found = Glob::new(pattern.as_bytes()).ok().map(|glob| glob.matches(name.as_bytes()));
            assert_eq!(found, wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn names_of_any_bytes_are_matched() {
        assert!(Glob::new(b"a?c").unwrap().matches(b"a\xffc"));
        assert!(Glob::new(b"*\xff").unwrap().matches(b"ab\xff"));
        assert!(!Glob::new(b"?").unwrap().matches(b"\xff\xff"));
    }
}
