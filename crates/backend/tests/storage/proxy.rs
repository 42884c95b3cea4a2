//! A proxy between client and server that does to answers what bad networks and bad servers do.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server gets it and answers, but the connection breaks before the answer.
    LoseAnswer,
    /// Half of the answer's body arrives, then the connection breaks.
    CutAnswer,
    /// The server never sees it; the client gets this status.
    Status(u16),
    /// As above, with the seconds after which to try again.
    RetryAfter(u16, u32),
    /// The client is told that all is well, and the server never sees it.
    Lie,
    /// The client is told that all is well and gets what nobody asked for; the server never sees it.
    Rubbish,
    /// Nothing special.
    Pass,
}

/// The proxy; requests that match get the faults in turn, one each.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    faults: Arc<Mutex<VecDeque<(&'static str, Fault)>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

struct Message {
    head: Vec<String>,
    body: Vec<u8>,
}

impl Proxy {
    /// Starts a proxy before the server at `server` port.
    pub(crate) fn start(server: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Proxy { port, faults: Arc::default(), seen: Arc::default() };
        let (faults, seen) = (Arc::clone(&proxy.faults), Arc::clone(&proxy.seen));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (faults, seen) = (Arc::clone(&faults), Arc::clone(&seen));
                std::thread::spawn(move || serve(client, server, &faults, &seen));
            }
        });
        proxy
    }

    /// The next requests with `method` meet these faults, one each.
    pub(crate) fn next(&self, method: &'static str, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults.iter().map(|fault| (method, *fault)));
    }

    /// How many requests with `method` have come.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| *seen == method).count()
    }

    /// True if every planned fault has happened.
    pub(crate) fn is_done(&self) -> bool {
        self.faults.lock().unwrap().is_empty()
    }
}

fn serve(
    client: TcpStream,
    server: u16,
    faults: &Mutex<VecDeque<(&'static str, Fault)>>,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut requests = BufReader::new(client.try_clone().ok()?);
    let mut answers = client;
    loop {
        let request = receive(&mut requests, false)?;
        let method = request.head[0].split(' ').next()?.to_owned();
        seen.lock().unwrap().push(method.clone());
        let fault = {
            let mut faults = faults.lock().unwrap();
            let place = faults.iter().position(|(wanted, _)| *wanted == method);
            place.and_then(|place| faults.remove(place)).map_or(Fault::Pass, |(_, fault)| fault)
        };
        match fault {
            Fault::Status(status) => answer(&mut answers, status, ""),
            Fault::RetryAfter(status, seconds) => answer(&mut answers, status, &format!("Retry-After: {seconds}\r\n")),
            Fault::Lie => answer(&mut answers, 200, ""),
            Fault::Rubbish => rubbish(&mut answers),
            Fault::Pass | Fault::LoseAnswer | Fault::CutAnswer => {
                let reply = forward(server, &request, method == "HEAD")?;
                let keep = match fault {
                    Fault::LoseAnswer => return None,
                    Fault::CutAnswer => reply.body.len() / 2,
                    _ => reply.body.len(),
                };
                send(&mut answers, &reply.head, &reply.body[..keep])?;
                if fault == Fault::CutAnswer {
                    return None;
                }
            }
        }
    }
}

fn answer(client: &mut TcpStream, status: u16, header: &str) {
    let _ = write!(client, "HTTP/1.1 {status} Planned\r\n{header}Content-Length: 0\r\n\r\n");
}

fn rubbish(client: &mut TcpStream) {
    let _ = write!(client, "HTTP/1.1 200 Planned\r\nContent-Length: 25\r\n\r\n<html>Sign in here</html>");
}

fn forward(server: u16, request: &Message, no_body: bool) -> Option<Message> {
    let mut connection = TcpStream::connect(("127.0.0.1", server)).ok()?;
    send(&mut connection, &request.head, &request.body)?;
    receive(&mut BufReader::new(connection), no_body)
}

fn send(connection: &mut TcpStream, head: &[String], body: &[u8]) -> Option<()> {
    connection.write_all(format!("{}\r\n\r\n", head.join("\r\n")).as_bytes()).ok()?;
    connection.write_all(body).ok()
}

fn receive(connection: &mut BufReader<TcpStream>, no_body: bool) -> Option<Message> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if connection.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => head.push(line.to_owned()),
        }
    }
    let value = |name: &str| {
        let lines = head.iter().filter_map(|line| line.split_once(':'));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned()).next()
    };
    let mut body = Vec::new();
    if no_body {
        return Some(Message { head, body });
    }
    if value("transfer-encoding").is_some_and(|kind| kind.contains("chunked")) {
        read_chunks(connection, &mut body)?;
        head.retain(|line| !line.to_lowercase().starts_with("transfer-encoding"));
        head.push(format!("Content-Length: {}", body.len()));
    } else if let Some(length) = value("content-length") {
        body.resize(length.parse().ok()?, 0);
        connection.read_exact(&mut body).ok()?;
    }
    Some(Message { head, body })
}

fn read_chunks(connection: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let mut line = String::new();
        connection.read_line(&mut line).ok()?;
        let length = usize::from_str_radix(line.trim(), 16).ok()?;
        let start = body.len();
        body.resize(start + length + 2, 0);
        connection.read_exact(&mut body[start..]).ok()?;
        body.truncate(start + length);
        if length == 0 {
            return Some(());
        }
    }
}
