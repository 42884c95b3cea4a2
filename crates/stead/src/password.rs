//! Where passwords come from: a file, a command, a variable, or the keyboard. They are wiped from memory after use.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use rand::TryRngCore;
use repo::key::KdfParams;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Doing, Failure, Outcome};

/// A password and who thought of it.
pub(crate) struct Password {
    bytes: Zeroizing<Vec<u8>>,
    origin: Origin,
}

/// Who thought of a password: that decides how much stretching it needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// We, with 256 random bits.
    Generated,
    /// A person or a program.
    Chosen,
}

/// Where to take a password from, in the order in which the places are tried.
#[derive(Clone, Debug, Default)]
pub(crate) struct PasswordSource {
    /// There is none, and that is meant.
    pub(crate) none: bool,
    /// A command that prints it.
    pub(crate) command: Option<String>,
    /// A file that holds it.
    pub(crate) file: Option<PathBuf>,
    /// The password itself, from a variable.
    pub(crate) value: Option<String>,
}

impl Password {
    /// The password's bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How a new key is derived from it.
    pub(crate) fn kdf(&self) -> KdfParams {
        match self.origin {
            Origin::Generated => KdfParams::RANDOM_PASSWORD,
            Origin::Chosen => KdfParams::calibrate(),
        }
    }

    /// A new password with 256 random bits, as 43 letters and digits that can be copied by hand if need be.
    pub(crate) fn generate() -> Outcome<Password> {
        let mut random = Zeroizing::new([0u8; 32]);
        rand::rngs::OsRng.try_fill_bytes(&mut *random).doing(|| "cannot make a random password".into())?;
        Ok(Password { bytes: Zeroizing::new(base64url(&*random)), origin: Origin::Generated })
    }

    /// A password that [`Password::generate`] made and that was stored since.
    pub(crate) fn generated(bytes: Vec<u8>) -> Password {
        Password { bytes: Zeroizing::new(bytes), origin: Origin::Generated }
    }

    fn chosen(bytes: impl Into<Vec<u8>>) -> Password {
        Password { bytes: Zeroizing::new(bytes.into()), origin: Origin::Chosen }
    }
}

fn base64url(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = Vec::with_capacity(bytes.len() * 4 / 3 + 1);
    for group in bytes.chunks(3) {
        let word = group.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        text.extend((0..=group.len()).map(|at| LETTERS[(word >> (18 - 6 * at) & 63) as usize]));
    }
    text
}

impl PasswordSource {
    /// True if the user named no place at all, so that the keyboard is asked.
    pub(crate) fn is_unset(&self) -> bool {
        !self.none && self.command.is_none() && self.file.is_none() && self.value.is_none()
    }

    /// The password of an existing repository; `what` is asked for where a keyboard must be used.
    pub(crate) fn read(&self, what: &str) -> Outcome<Password> {
        match self.configured()? {
            Some(password) => Ok(password),
            None => typed(&format!("{what}: ")),
        }
    }

    /// The password for a new key: where a person types it, twice.
    pub(crate) fn read_new(&self, what: &str) -> Outcome<Password> {
        if let Some(password) = self.configured()? {
            return Ok(password);
        }
        let first = typed(&format!("{what}: "))?;
        if io::stdin().is_terminal() && ask("the same again: ")?.bytes() != first.bytes() {
            return Err(Failure::new("the two passwords differ"));
        }
        Ok(first)
    }

    /// True if [`PasswordSource::read`] would ask a person, who may try again.
    pub(crate) fn is_typed(&self) -> bool {
        self.is_unset() && io::stdin().is_terminal()
    }

    fn configured(&self) -> Outcome<Option<Password>> {
        if self.none {
            return match self.value.is_some() || self.file.is_some() || self.command.is_some() {
                true => Err(Failure::new("a password and --insecure-no-password were both given: choose one")),
                false => Ok(Some(Password::chosen(""))),
            };
        }
        match (&self.command, &self.file, &self.value) {
            (Some(_), Some(_), _) => {
                Err(Failure::new("a password file and a password command were both given: choose one"))
            }
            (Some(command), None, _) => refuse_empty(from_command(command)?).map(Some),
            (None, Some(file), _) => refuse_empty(from_file(file)?).map(Some),
            (None, None, Some(value)) => Ok(Some(Password::chosen(value.as_bytes()))),
            (None, None, None) => Ok(None),
        }
    }
}

/// A password from the keyboard, or from whatever is in its place: where there is none nobody meant an empty one.
fn typed(question: &str) -> Outcome<Password> {
    let password = ask(question)?;
    if password.bytes().is_empty() && !io::stdin().is_terminal() {
        return Err(Failure::new("no password was given, and there is no keyboard to ask for it")
            .hint("name a file with `--password-file`, a command with `--password-command`, or set RESTIC_PASSWORD"));
    }
    refuse_empty(password)
}

fn refuse_empty(password: Password) -> Outcome<Password> {
    if password.bytes().is_empty() {
        return Err(Failure::new("an empty password is not allowed").hint("`--insecure-no-password` allows it"));
    }
    Ok(password)
}

fn from_file(path: &std::path::Path) -> Outcome<Password> {
    let content =
        Zeroizing::new(std::fs::read(path).map_err(|error| Failure::io("read the password file", path, error))?);
    Ok(Password::chosen(trim(&content)))
}

fn from_command(command: &str) -> Outcome<Password> {
    let doing = || "cannot run the password command".to_owned();
    let words = split_words(command).map_err(Failure::new).doing(doing)?;
    let (program, args) = words.split_first().ok_or_else(|| Failure::new("it is empty")).doing(doing)?;
    let output =
        Command::new(program).args(args).stdin(Stdio::inherit()).stderr(Stdio::inherit()).output().doing(doing)?;
    let printed = Zeroizing::new(output.stdout);
    if !output.status.success() {
        return Err(Failure::new(format!("`{program}` ended with {}", output.status)).doing(doing()));
    }
    Ok(Password::chosen(trim(&printed)))
}

/// Without white space at both ends, as restic does, and without the mark that Windows' editors put in front.
fn trim(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii()
}

/// Splits a command line into words as a shell would, quotes and backslashes understood, nothing expanded.
pub(crate) fn split_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' | '"' => quoted(letter, &mut letters, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(letters.next().ok_or("it ends with a backslash")?),
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

fn quoted(quote: char, letters: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(letter) = letters.next() {
        match letter {
            _ if letter == quote => return Ok(()),
            '\\' if quote == '"' => word.push(letters.next().ok_or("it ends with a backslash")?),
            _ => word.push(letter),
        }
    }
    Err(format!("it has a {quote} without its other half"))
}

/// The terminal's settings while a password is typed, so that whoever ends the program can put them back.
static PROMPTING: Mutex<Option<Termios>> = Mutex::new(None);

/// Reads a line from the keyboard without showing it, or the first line of what standard input is.
fn ask(question: &str) -> Outcome<Password> {
    let doing = || "cannot read a password from standard input".to_owned();
    if !io::stdin().is_terminal() {
        return read_line().doing(doing);
    }
    _ = write!(io::stderr(), "{question}");
    let shown = tcgetattr(io::stdin()).doing(doing)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL);
    *PROMPTING.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(shown);
    let typed =
        tcsetattr(io::stdin(), OptionalActions::Flush, &hidden).doing(doing).and_then(|()| read_line().doing(doing));
    show_typing_again();
    typed
}

/// Ends a prompt. True if there was one, so that whoever asked for a password waits no longer.
pub(crate) fn show_typing_again() -> bool {
    let shown = PROMPTING.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    if let Some(shown) = &shown {
        _ = tcsetattr(io::stdin(), OptionalActions::Flush, shown);
    }
    shown.is_some()
}

fn read_line() -> io::Result<Password> {
    let mut line = Zeroizing::new(Vec::with_capacity(256));
    io::stdin().lock().read_until(b'\n', &mut line)?;
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    Ok(Password::chosen(&line[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_passwords_are_256_bits_that_differ() {
        let (first, second) = (Password::generate().expect("a password"), Password::generate().expect("a password"));
        assert_eq!(first.bytes().len(), 43);
        assert_ne!(first.bytes(), second.bytes());
        assert!(first.bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte)));
        assert_eq!(base64url(b"\xfb\xff\xfe a"), b"-__-IGE");
    }

    #[test]
    fn command_lines_are_split_as_a_shell_does() {
        let words = split_words(r#"pass show 'my repo' "a \"b\"" c\ d"#).expect("words");
        assert_eq!(words, ["pass", "show", "my repo", "a \"b\"", "c d"]);
        assert!(split_words("echo 'open").is_err());
    }

    #[test]
    fn a_password_file_may_end_with_a_newline() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "\u{feff}secret words\r\n").expect("a file");
        let source = PasswordSource { file: Some(file.path().into()), ..PasswordSource::default() };
        assert_eq!(source.read("").expect("a password").bytes(), b"secret words");
    }

    #[test]
    fn two_places_at_once_are_refused() {
        let source =
            PasswordSource { command: Some("echo x".into()), file: Some("y".into()), ..PasswordSource::default() };
        assert!(source.read("").is_err());
        let source = PasswordSource { none: true, value: Some("x".into()), ..PasswordSource::default() };
        assert!(source.read("").is_err());
    }

    #[test]
    fn a_command_prints_the_password() {
        let source = PasswordSource { command: Some("printf 'se cret\\n'".into()), ..PasswordSource::default() };
        assert_eq!(source.read("").expect("a password").bytes(), b"se cret");
        let source = PasswordSource { command: Some("false".into()), ..PasswordSource::default() };
        assert!(source.read("").is_err());
    }
}
