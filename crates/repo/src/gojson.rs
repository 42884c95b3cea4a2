//! JSON as Go's `encoding/json` writes it, and names as Go's `strconv.Quote` does.
//!
//! Trees are hashed, so every byte matters: restic refuses to rewrite a tree that it would encode differently.

pub(crate) mod printable;
pub(crate) mod scanner;

use printable::is_printable;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Bytes that may need more than copying in a JSON string. 0xe2 begins U+2028 and U+2029, which Go escapes.
static SPECIAL: [bool; 256] = special();

const fn special() -> [bool; 256] {
    let mut table = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        table[control] = true;
        control += 1;
    }
    let (mut at, others) = (0, b"\"\\<>&\xe2");
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// Appends `text` as a JSON string.
pub fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    escape(text, out);
    out.push(b'"');
}

/// Appends bytes that should be text as a JSON string; every byte that is not UTF-8 becomes `\ufffd`.
pub fn lossy_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        escape(chunk.valid(), out);
        chunk.invalid().iter().for_each(|_| out.extend_from_slice(b"\\ufffd"));
    }
    out.push(b'"');
}

/// Appends a file's name as a JSON string, quoted first as `quote_name` does.
pub fn name(name: &[u8], out: &mut Vec<u8>) {
    let plain = |byte: &u8| (0x20..0x7f).contains(byte) && !SPECIAL[usize::from(*byte)];
    if name.iter().all(plain) {
        out.push(b'"');
        out.extend_from_slice(name);
        out.push(b'"');
    } else {
        string(&quote_name(name), out);
    }
}

/// Appends a number in decimal.
pub fn number(mut number: u64, out: &mut Vec<u8>) {
    let (mut digits, mut at) = ([0; 20], 20);
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

/// Appends bytes as a string in padded base64, as Go encodes byte slices.
pub fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    use ::base64::Engine as _;
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = ::base64::engine::general_purpose::STANDARD.encode_slice(bytes, &mut out[start..]);
    debug_assert_eq!(written.ok(), Some(out.len() - start));
    out.push(b'"');
}

fn escape(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if SPECIAL[usize::from(*byte)] {
            let length = escaped_length(&bytes[at..]);
            if length > 0 {
                out.extend_from_slice(&bytes[copied..at]);
                escape_one(&bytes[at..at + length], out);
                copied = at + length;
            }
        }
    }
    out.extend_from_slice(&bytes[copied..]);
}

/// How many bytes from here are to be escaped as one character; zero if it is just another character that begins with
/// 0xe2.
fn escaped_length(rest: &[u8]) -> usize {
    match rest {
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
        [0xe2, ..] => 0,
        _ => 1,
    }
}

fn escape_one(character: &[u8], out: &mut Vec<u8>) {
    let short = match character[0] {
        b'"' | b'\\' => character[0],
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0xe2 => return out.extend_from_slice(if character[2] == 0xa8 { b"\\u2028" } else { b"\\u2029" }),
        byte => {
            out.extend_from_slice(b"\\u00");
            return out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    };
    out.extend([b'\\', short]);
}

/// `strconv.Quote` of raw bytes without the outer quotes.
pub fn quote_name(name: &[u8]) -> String {
    let mut quoted = String::with_capacity(name.len() + 16);
    for chunk in name.utf8_chunks() {
        chunk.valid().chars().for_each(|character| quote_one(character, &mut quoted));
        chunk.invalid().iter().for_each(|byte| push_hex(&mut quoted, 'x', u32::from(*byte), 2));
    }
    quoted
}

fn quote_one(character: char, quoted: &mut String) {
    let short = match character {
        '"' | '\\' => character,
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        _ if is_printable(character) => return quoted.push(character),
        '\0'..' ' | '\x7f' => return push_hex(quoted, 'x', u32::from(character), 2),
        '\u{80}'..='\u{ffff}' => return push_hex(quoted, 'u', u32::from(character), 4),
        _ => return push_hex(quoted, 'U', u32::from(character), 8),
    };
    quoted.extend(['\\', short]);
}

fn push_hex(quoted: &mut String, letter: char, code: u32, digits: u32) {
    quoted.extend(['\\', letter]);
    quoted.extend((0..digits).rev().map(|digit| char::from(HEX[(code >> (4 * digit) & 15) as usize])));
}

/// `strconv.Unquote` of a stored name; `None` if it is not well-formed.
pub fn unquote_name(quoted: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(quoted.len());
    let mut rest = quoted.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        name.extend_from_slice(&rest[..at]);
        rest = unquote_one(&rest[at..], &mut name)?;
    }
    name.extend_from_slice(rest);
    Some(name)
}

/// Appends the bytes of the escape sequence that `quoted` begins with; returns what follows it.
fn unquote_one<'q>(quoted: &'q [u8], name: &mut Vec<u8>) -> Option<&'q [u8]> {
    let [b'\\', letter, rest @ ..] = quoted else { return None };
    let byte = match letter {
        b'\\' | b'"' => *letter,
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        b'x' => digits(rest, 2, 16)? as u8,
        b'0'..=b'7' => u8::try_from(digits(&quoted[1..], 3, 8)?).ok()?,
        b'u' => return unquote_character(rest, 4, name),
        b'U' => return unquote_character(rest, 8, name),
        _ => return None,
    };
    name.push(byte);
    match letter {
        b'x' | b'0'..=b'7' => Some(&rest[2..]),
        _ => Some(rest),
    }
}

fn unquote_character<'q>(rest: &'q [u8], length: usize, name: &mut Vec<u8>) -> Option<&'q [u8]> {
    let character = char::from_u32(digits(rest, length, 16)?)?;
    name.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(&rest[length..])
}

/// Reads exactly `length` digits.
fn digits(text: &[u8], length: usize, radix: u32) -> Option<u32> {
    text.get(..length)?.iter().try_fold(0u32, |number, digit| {
        let digit = char::from(*digit).to_digit(radix)?;
        number.checked_mul(radix)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> String {
        let mut out = Vec::new();
        string(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn strings_are_escaped_as_go_does() {
        assert_eq!(json("a<b>&\"\\/'"), r#""a\u003cb\u003e\u0026\"\\/'""#);
        assert_eq!(json("\u{0}\u{1f}\u{7f}\n\r\t\u{8}\u{c}\u{b}"), "\"\\u0000\\u001f\u{7f}\\n\\r\\t\\b\\f\\u000b\"");
        assert_eq!(json("\u{2027}\u{2028}\u{2029}\u{e2}é€"), "\"\u{2027}\\u2028\\u2029\u{e2}é€\"");
    }

    #[test]
    fn bytes_that_are_not_text_become_replacement_characters_one_by_one() {
        let mut out = Vec::new();
        lossy_string(b"a\xff\xe2\x82z\xed\xa0\x80", &mut out);
        assert_eq!(out, br#""a\ufffd\ufffd\ufffdz\ufffd\ufffd\ufffd""#);
    }

    #[test]
    fn names_are_quoted_as_go_does() {
        for (name, quoted) in [
            (&b"plain'name"[..], "plain'name"),
            (b"\\\"", r#"\\\""#),
            (b"\x07\x08\x0c\n\r\t\x0b\0\x1b\x7f", r"\a\b\f\n\r\t\v\x00\x1b\x7f"),
            (b"\xff\xc3(", r"\xff\xc3("),
            ("é\u{80}\u{a0}\u{ad}\u{200b}\u{feff}\u{e000}".as_bytes(), r"é\u0080\u00a0\u00ad\u200b\ufeff\ue000"),
            ("\u{1f600}\u{10ffff}\u{fffd}".as_bytes(), "\u{1f600}\\U0010ffff\u{fffd}"),
        ] {
            assert_eq!(quote_name(name), quoted);
            assert_eq!(unquote_name(quoted).unwrap(), name);
        }
    }

    #[test]
    fn other_ways_to_quote_are_understood() {
        assert_eq!(unquote_name(r"\101\u0041\U00000041\x41\377").unwrap(), b"AAAA\xff");
    }

    #[test]
    fn malformed_quotes_are_refused() {
        for bad in ["\\", "\"", "\n", r"\x4", r"\xgg", r"\u12", r"\ud800", r"\U00110000", r"\q", r"\'", r"\400", r"\08"]
        {
            assert_eq!(unquote_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_character_and_every_byte_survives_quoting() {
        for character in '\0'..=char::MAX {
            let name = character.to_string();
            assert_eq!(unquote_name(&quote_name(name.as_bytes())).as_deref(), Some(name.as_bytes()));
        }
        for pair in 0..=u16::MAX {
            let name = pair.to_be_bytes();
            assert_eq!(unquote_name(&quote_name(&name)).as_deref(), Some(&name[..]));
        }
    }

    #[test]
    fn numbers_and_bytes_are_written_as_go_does() {
        let mut out = Vec::new();
        for value in [0, 9, 10, u64::MAX] {
            number(value, &mut out);
            out.push(b' ');
        }
        base64(b"", &mut out);
        base64(b"ab", &mut out);
        assert_eq!(out, b"0 9 10 18446744073709551615 \"\"\"YWI=\"");
    }
}
