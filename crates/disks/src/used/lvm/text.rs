//! LVM's text format: sections in braces, and settings that are numbers, quoted texts or lists.

use super::super::source::{Damage, wrong};

/// Sections within sections; LVM has four.
const DEEPEST: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Text(String),
    List(Vec<Value>),
}

/// A named section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    settings: Vec<(String, Value)>,
    sections: Vec<Section>,
}

impl Section {
    fn value(&self, name: &str) -> Option<&Value> {
        self.settings.iter().find(|(other, _)| other == name).map(|(_, value)| value)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self, name: &str) -> Option<&[Value]> {
        match self.value(name)? {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    pub(super) fn lists(&self) -> impl Iterator<Item = &[Value]> {
        self.settings.iter().filter_map(|(_, value)| match value {
            Value::List(list) => Some(&list[..]),
            _ => None,
        })
    }

    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    pub(super) fn sections(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'t> {
    Word(&'t str),
    Quoted(String),
    Sign(char),
}

/// The group's section: the first one of the text.
pub(super) fn parse(text: &str) -> Result<Section, Damage> {
    let mut tokens = Tokens { rest: text };
    let top = section(&mut tokens, String::new(), 0)?;
    top.sections.into_iter().next().ok_or_else(|| Damage::Wrong("the metadata names no volume group".into()))
}

struct Tokens<'t> {
    rest: &'t str,
}

impl<'t> Tokens<'t> {
    fn next(&mut self) -> Result<Option<Token<'t>>, Damage> {
        self.skip_blanks();
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        if first == '"' {
            return self.quoted().map(Some);
        }
        if matches!(first, '{' | '}' | '[' | ']' | '=' | ',') {
            self.rest = &self.rest[1..];
            return Ok(Some(Token::Sign(first)));
        }
        let ends = |character: char| character.is_whitespace() || "{}[]=,\"#".contains(character);
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(Some(Token::Word(word)))
    }

    fn skip_blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn quoted(&mut self) -> Result<Token<'t>, Damage> {
        let (mut text, mut characters) = (String::new(), self.rest[1..].char_indices());
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &self.rest[at + 2..];
                    return Ok(Token::Quoted(text));
                }
                '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        wrong("the metadata's text is damaged")
    }
}

fn section(tokens: &mut Tokens<'_>, name: String, depth: usize) -> Result<Section, Damage> {
    let mut section = Section { name, ..Section::default() };
    loop {
        let name = match tokens.next()? {
            Some(Token::Word(name)) => name.to_owned(),
            Some(Token::Sign('}')) if depth > 0 => return Ok(section),
            None if depth == 0 => return Ok(section),
            _ => return wrong("the metadata's text is damaged"),
        };
        match tokens.next()? {
            Some(Token::Sign('=')) => section.settings.push((name, value(tokens)?)),
            Some(Token::Sign('{')) if depth < DEEPEST => {
                section.sections.push(self::section(tokens, name, depth + 1)?);
            }
            _ => return wrong("the metadata's text is damaged"),
        }
    }
}

fn value(tokens: &mut Tokens<'_>) -> Result<Value, Damage> {
    match tokens.next()? {
        Some(Token::Sign('[')) => list(tokens),
        Some(token) => plain(token),
        None => wrong("the metadata's text is damaged"),
    }
}

fn list(tokens: &mut Tokens<'_>) -> Result<Value, Damage> {
    let mut values = Vec::new();
    loop {
        match tokens.next()? {
            Some(Token::Sign(']')) => return Ok(Value::List(values)),
            Some(Token::Sign(',')) => {}
            Some(token) => values.push(plain(token)?),
            None => return wrong("the metadata's text is damaged"),
        }
    }
}

/// A number or a text; what is neither is kept as a text.
fn plain(token: Token<'_>) -> Result<Value, Damage> {
    match token {
        Token::Word(word) => Ok(word.parse().map_or_else(|_| Value::Text(word.to_owned()), Value::Number)),
        Token::Quoted(text) => Ok(Value::Text(text)),
        Token::Sign(_) => wrong("the metadata's text is damaged"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_lists_and_sections_are_read() {
        let text = "# comment { \nvg {\n id = \"a\\\"b\" # why\n seqno=3\n status = [\"READ\", 7]\n empty = []\n lv { x = -1 }\n}\ncontents = \"T\"\n";
        let group = parse(text).unwrap();
        assert_eq!((group.name.as_str(), group.text("id"), group.number("seqno")), ("vg", Some("a\"b"), Some(3)));
        assert_eq!(group.list("status").unwrap(), [Value::Text("READ".into()), Value::Number(7)]);
        assert_eq!(group.section("lv").unwrap().text("x"), Some("-1"));
        assert!(["vg {", "vg { a = [", "vg { a = \"", "}", "vg }", "= 3", ""].iter().all(|text| parse(text).is_err()));
        assert!(parse(&"a {".repeat(1000)).is_err());
    }
}
