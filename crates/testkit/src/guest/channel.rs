//! The line to a guest: a script goes in, its status and output come back, both as one line of base64.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a script came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit status.
    pub status: i32,
    /// What it printed, standard output and errors as they came.
    pub output: String,
}

/// The connection that QEMU opened.
#[derive(Debug)]
pub(super) struct Channel {
    lines: BufReader<UnixStream>,
}

impl Channel {
    pub(super) fn listen(path: &Path) -> UnixListener {
        let listener = UnixListener::bind(path).expect("a socket");
        listener.set_nonblocking(true).expect("a socket");
        listener
    }

    /// Waits for QEMU; `None` if it ended, or time is up.
    pub(super) fn accept(
        listener: &UnixListener,
        end: Instant,
        mut has_ended: impl FnMut() -> bool,
    ) -> Option<Channel> {
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).expect("a socket");
                    return Some(Channel { lines: BufReader::new(stream) });
                }
                Err(_) if has_ended() || Instant::now() >= end => return None,
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Waits until the guest says that it takes scripts.
    pub(super) fn is_ready(&mut self, end: Instant) -> bool {
        self.line(end).is_ok_and(|line| line.trim() == "ready")
    }

    pub(super) fn run(&mut self, script: &str, end: Instant) -> io::Result<Ran> {
        let line = format!("{}\n", encode(script.as_bytes()));
        self.lines.get_mut().write_all(line.as_bytes())?;
        let answer = self.line(end)?;
        let (status, output) = answer.trim_end_matches('\n').split_once(' ').unwrap_or_default();
        let status = status.parse().map_err(|_| io::Error::other(format!("the guest said {answer:?}")))?;
        Ok(Ran { status, output: String::from_utf8_lossy(&decode(output)).into_owned() })
    }

    fn line(&mut self, end: Instant) -> io::Result<String> {
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let left = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
            let left = left.ok_or_else(|| io::Error::other("the guest did not answer in time"))?;
            self.lines.get_ref().set_read_timeout(Some(left))?;
            match self.lines.read_until(b'\n', &mut line) {
                Ok(0) => return Err(io::Error::other("the guest is gone")),
                Ok(_) => {}
                // What was read until then is in `line`.
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, place| number << 8 | u32::from(three.get(place).copied().unwrap_or(0)));
        for place in 0..4 {
            match place <= three.len() {
                true => text.push(char::from(DIGITS[(number >> (18 - 6 * place)) as usize & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

fn decode(text: &str) -> Vec<u8> {
    let digit = |letter: u8| DIGITS.iter().position(|digit| *digit == letter);
    let digits: Vec<usize> = text.bytes().filter_map(digit).collect();
    let mut bytes = Vec::new();
    for four in digits.chunks(4) {
        let number = (0..4).fold(0, |number, place| number << 6 | four.get(place).copied().unwrap_or(0));
        bytes.extend([16, 8, 0].map(|shift| (number >> shift) as u8).into_iter().take(four.len() - 1));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_there_and_back() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("fooba", "Zm9vYmE=")] {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text), bytes.as_bytes());
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)), all);
    }
}
