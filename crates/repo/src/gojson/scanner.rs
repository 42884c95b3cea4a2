//! Reads JSON piece by piece without building values: what a tree with a million nodes needs.
//!
//! Only what lies on the way is checked: skipped values need balanced brackets and closed strings, no more. Nesting costs
//! no stack. Errors are in words.

use std::borrow::Cow;

use backend::Id;

/// A position in a JSON text.
pub(crate) struct Scanner<'j> {
    text: &'j str,
    at: usize,
}

type Parsed<T> = Result<T, String>;

impl<'j> Scanner<'j> {
    pub(crate) fn new(json: &'j [u8]) -> Parsed<Scanner<'j>> {
        let text = std::str::from_utf8(json).map_err(|error| format!("it is not UTF-8: {error}"))?;
        Ok(Scanner { text, at: 0 })
    }

    fn rest(&self) -> &'j [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// The next byte that is not white space, without taking it; 0 at the end.
    fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return *byte;
            }
            self.at += 1;
        }
        0
    }

    fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        let found: String = self.text.get(self.at..).unwrap_or("").chars().take(20).collect();
        Err(format!("at byte {} it should have {wanted}, it has {found:?}", self.at))
    }

    /// Takes `byte`, which must be next.
    pub(crate) fn expect(&mut self, byte: u8) -> Parsed<()> {
        if self.peek() != byte {
            return self.unexpected(&format!("{:?}", char::from(byte)));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes `null` if it is next.
    pub(crate) fn null(&mut self) -> bool {
        let found = self.peek() == b'n' && self.rest().starts_with(b"null");
        self.at += if found { 4 } else { 0 };
        found
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Parsed<()> {
        self.peek();
        if self.at < self.text.len() { self.unexpected("nothing more") } else { Ok(()) }
    }

    /// After an opening bracket or a member: true if another member follows, false if `close` was taken.
    pub(crate) fn more(&mut self, first: &mut bool, close: u8) -> Parsed<bool> {
        let next = self.peek();
        if next == close {
            self.at += 1;
            return Ok(false);
        }
        if !std::mem::replace(first, false) {
            self.expect(b',')?;
        }
        Ok(true)
    }

    /// The name of an object's next member, colon taken; `None` if the object ended.
    pub(crate) fn key(&mut self, first: &mut bool) -> Parsed<Option<Cow<'j, str>>> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    /// A string.
    pub(crate) fn string(&mut self) -> Parsed<Cow<'j, str>> {
        self.expect(b'"')?;
        let start = self.at;
        match self.run()? {
            b'"' => Ok(Cow::Borrowed(&self.text[start..self.at - 1])),
            _ => self.escaped(start).map(Cow::Owned),
        }
    }

    /// Moves behind the next `"` or `\` and returns it.
    fn run(&mut self) -> Parsed<u8> {
        let ordinary = |byte: &u8| !matches!(byte, b'"' | b'\\' | 0..0x20);
        let length = self.rest().iter().take_while(|byte| ordinary(byte)).count();
        self.at += length;
        match self.text.as_bytes().get(self.at) {
            Some(byte @ (b'"' | b'\\')) => {
                self.at += 1;
                Ok(*byte)
            }
            _ => self.unexpected("the end of a string"),
        }
    }

    /// The rest of a string in which a `\` was just passed.
    fn escaped(&mut self, start: usize) -> Parsed<String> {
        let mut string = self.text[start..self.at - 1].to_owned();
        loop {
            string.push(self.escape()?);
            let start = self.at;
            let stop = self.run()?;
            string.push_str(&self.text[start..self.at - 1]);
            if stop == b'"' {
                return Ok(string);
            }
        }
    }

    fn escape(&mut self) -> Parsed<char> {
        let letter = self.rest().first().copied().unwrap_or(0);
        let character = match letter {
            b'"' | b'\\' | b'/' => char::from(letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return self.unexpected("an escape sequence"),
        };
        self.at += 1;
        Ok(character)
    }

    /// `uXXXX`, perhaps the first half of a pair. Halves without their partner become U+FFFD, as in Go.
    fn unicode(&mut self) -> Parsed<char> {
        let first = self.code_unit()?;
        if (0xd800..0xdc00).contains(&first) && self.rest().starts_with(b"\\u") {
            let before = self.at;
            self.at += 1;
            let second = self.code_unit()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).expect("a pair is a character"));
            }
            self.at = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn code_unit(&mut self) -> Parsed<u32> {
        let digits = self.rest().get(1..5).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let Some(digits) = digits else { return self.unexpected("four hexadecimal digits") };
        self.at += 5;
        Ok(digits.iter().fold(0, |code, digit| code << 4 | u32::from(nibble(*digit))))
    }

    /// A number without sign, fraction or exponent.
    pub(crate) fn unsigned(&mut self) -> Parsed<u64> {
        self.peek();
        let mut number = Some(0u64);
        let start = self.at;
        while let Some(digit) = self.text.as_bytes().get(self.at).filter(|byte| byte.is_ascii_digit()) {
            number = number.and_then(|number| number.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
            self.at += 1;
        }
        match number {
            Some(number) if self.at > start => Ok(number),
            _ => self.unexpected("a number from 0 to 2^64-1"),
        }
    }

    /// A number below 2^32.
    pub(crate) fn unsigned32(&mut self) -> Parsed<u32> {
        u32::try_from(self.unsigned()?).or_else(|_| self.unexpected("a number from 0 to 2^32-1 before this"))
    }

    /// An id of 64 lower-case hexadecimal digits.
    pub(crate) fn id(&mut self) -> Parsed<Id> {
        self.peek();
        let mut bytes = [0; 32];
        match self.rest() {
            [b'"', rest @ ..] if rest.get(64) == Some(&b'"') && decode_hex(&rest[..64], &mut bytes) => {
                self.at += 66;
                Ok(Id::from_bytes(bytes))
            }
            _ => self.unexpected("an id of 64 hexadecimal digits"),
        }
    }

    /// Any value, as it is written.
    pub(crate) fn raw(&mut self) -> Parsed<&'j str> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(&self.text[start..self.at])
    }

    /// Passes over any value.
    pub(crate) fn skip(&mut self) -> Parsed<()> {
        let mut open = 0usize;
        loop {
            match self.peek() {
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                }
                b'}' | b']' | b',' | b':' if open == 0 => return self.unexpected("a value"),
                closing @ (b'}' | b']' | b',' | b':') => {
                    open -= usize::from(matches!(closing, b'}' | b']'));
                    self.at += 1;
                }
                b'"' => drop(self.string()?),
                _ => self.skip_word()?,
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    /// Passes over a number, `true`, `false` or `null`.
    fn skip_word(&mut self) -> Parsed<()> {
        let ordinary = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        match self.rest().iter().take_while(|byte| ordinary(byte)).count() {
            0 => self.unexpected("a value"),
            length => {
                self.at += length;
                Ok(())
            }
        }
    }
}

/// Values of hexadecimal digits; 255 for anything else. Upper case is no digit of an id.
static NIBBLES: [u8; 256] = nibbles();

const fn nibbles() -> [u8; 256] {
    let mut table = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
}

fn nibble(digit: u8) -> u8 {
    NIBBLES[usize::from(digit.to_ascii_lowercase())]
}

fn decode_hex(digits: &[u8], bytes: &mut [u8; 32]) -> bool {
    let mut wrong = 0;
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let (high, low) = (NIBBLES[usize::from(pair[0])], NIBBLES[usize::from(pair[1])]);
        wrong |= high | low;
        *byte = high << 4 | low & 15;
    }
    wrong < 16
}
