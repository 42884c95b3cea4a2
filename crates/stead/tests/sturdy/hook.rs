//! A webhook that takes its time, and keeps what it was told.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

/// How long it thinks about a message: long enough to be killed meanwhile.
const THINKS: Duration = Duration::from_millis(200);

/// A message, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) id: String,
    pub(crate) body: Value,
}

/// A webhook's address and what came there.
#[derive(Clone)]
pub(crate) struct Hook {
    pub(crate) address: String,
    told: Arc<Mutex<Vec<Told>>>,
}

impl Hook {
    pub(crate) fn open() -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}/hook", listener.local_addr().expect("an address"));
        let hook = Hook { address, told: Arc::default() };
        let its = hook.clone();
        std::thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                let its = its.clone();
                std::thread::spawn(move || its.hear(caller));
            }
        });
        hook
    }

    /// What was told so far, in the order in which it came.
    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().expect("no panic").clone()
    }

    /// How often each message came.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        self.told().into_iter().for_each(|told| *counts.entry(told.id).or_default() += 1);
        counts
    }

    /// One message: it is kept before it is answered, as a receiver does that wants to lose none.
    fn hear(&self, mut caller: TcpStream) -> Option<()> {
        _ = caller.set_read_timeout(Some(Duration::from_secs(30)));
        let mut request = Vec::new();
        let begin = loop {
            more(&mut caller, &mut request)?;
            if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&request[..begin]).into_owned();
        let length: usize = header(&head, "content-length").parse().ok()?;
        while request.len() < begin + length {
            more(&mut caller, &mut request)?;
        }
        let body = serde_json::from_slice(&request[begin..begin + length]).expect("JSON");
        self.told.lock().expect("no panic").push(Told { id: header(&head, "webhook-id").to_owned(), body });
        std::thread::sleep(THINKS);
        caller.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nheard").ok()
    }
}

/// Reads on; none: the caller is gone.
fn more(caller: &mut TcpStream, request: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 4096];
    let count = caller.read(&mut piece).ok().filter(|count| *count > 0)?;
    request.extend_from_slice(&piece[..count]);
    Some(())
}

fn header<'h>(head: &'h str, name: &str) -> &'h str {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next().unwrap_or("")
}
