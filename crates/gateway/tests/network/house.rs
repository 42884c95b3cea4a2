//! A gateway with accounts, on a port of this machine, and requests to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::Duration;

use backend::{Backend, Clock, FileKind, Id, Local, SystemClock};
use base64::Engine;
use jiff::{SignedDuration, Timestamp};
use stead_gateway::{
    CertificateFiles, ConnectionLimits, FileAccess, FileLedger, Gateway, Holder, Limits, NewAccount, Options, Reach,
    Repositories, RepositoryName, Server, ServerOptions,
};
use tempfile::TempDir;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway and all that it has.
pub(crate) struct House {
    pub(crate) room: TempDir,
    pub(crate) clock: Arc<Jumping>,
    pub(crate) access: Arc<FileAccess>,
    pub(crate) ledger: Arc<FileLedger>,
    pub(crate) address: SocketAddr,
    scheme: &'static str,
    authority: Option<PathBuf>,
    _server: Server,
}

/// A credential.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) repository: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// How a house is built.
#[derive(Default)]
pub(crate) struct Plan {
    pub(crate) repositories: Option<Arc<dyn Repositories>>,
    pub(crate) certificate: Option<(CertificateFiles, PathBuf)>,
    pub(crate) limits: ConnectionLimits,
    /// Where repositories are, if not in the house's own room.
    pub(crate) data: Option<PathBuf>,
    pub(crate) state: Option<PathBuf>,
}

/// The system's clock, moved.
#[derive(Default)]
pub(crate) struct Jumping(AtomicI64);

impl Jumping {
    pub(crate) fn jump(&self, seconds: i64) {
        self.0.fetch_add(seconds, SeqCst);
    }
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        SystemClock.now() + SignedDuration::from_secs(self.0.load(SeqCst))
    }
    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
    fn sleep(&self, time: Duration) {
        SystemClock.sleep(time);
    }
}

pub(crate) fn name(text: &str) -> RepositoryName {
    text.parse().expect("a name")
}

impl House {
    pub(crate) fn new() -> House {
        House::build(Plan::default())
    }

    pub(crate) fn build(plan: Plan) -> House {
        let room = tempfile::tempdir().expect("room");
        let data = plan.data.unwrap_or_else(|| room.path().join("data"));
        let state = plan.state.unwrap_or_else(|| room.path().join("state"));
        let local = move |name: &RepositoryName| -> backend::Result<Arc<dyn Backend>> {
            Ok(Arc::new(Local::new(data.join(name.as_str()), 4)))
        };
        let (scheme, certificate, authority) = match plan.certificate {
            None => ("http", None, None),
            Some((files, authority)) => ("https", Some(files.into()), Some(authority)),
        };
        let access = Arc::new(FileAccess::new(room.path().join("access.json")));
        let ledger = Arc::new(FileLedger::open(&state).expect("a directory"));
        let clock = Arc::new(Jumping::default());
        let repositories = plan.repositories.unwrap_or_else(|| Arc::new(local));
        let spool = room.path().join("incoming");
        let options = Options::new(access.clone(), repositories, ledger.clone(), clock.clone(), spool);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let server_options = ServerOptions { listen, certificate, meter: None, limits: plan.limits };
        let server = Server::start(Gateway::new(options), server_options).expect("a server");
        House { room, clock, access, ledger, address: server.address(), scheme, authority, _server: server }
    }

    pub(crate) fn add(&self, user: &str, holder: Holder, limits: Option<Limits>) -> Credential {
        let repository = match &holder {
            Holder::Machine(own) => own.to_string(),
            Holder::Keeper(_) => "pc".into(),
        };
        let secret = self.access.add(NewAccount { name: user.into(), holder, limits }).expect("an account");
        Credential { user: user.into(), password: secret.reveal().into(), repository }
    }

    /// A machine whose repository has its own name and was created.
    pub(crate) fn machine(&self, user: &str) -> Credential {
        self.limited_machine(user, Limits::default())
    }

    pub(crate) fn limited_machine(&self, user: &str, limits: Limits) -> Credential {
        let machine = self.add(user, Holder::Machine(name(user)), Some(limits));
        assert_eq!(self.ask(&machine, "POST", "?create=true", b"").status, 200);
        machine
    }

    pub(crate) fn keeper(&self) -> Credential {
        self.add("keeper", Holder::Keeper(Reach::All), None)
    }

    /// stead's own client of the protocol.
    pub(crate) fn client(&self, credential: &Credential) -> Arc<dyn Backend> {
        let Credential { user, password, repository } = credential;
        let location = format!("rest:{}://{user}:{password}@{}/{repository}/", self.scheme, self.address);
        let mut options = backend::Options::default();
        options.http.authorities.extend(self.authority.clone());
        backend::open(&location.parse().expect("a location"), &options).expect("a client")
    }

    pub(crate) fn data(&self, repository: &str) -> PathBuf {
        self.room.path().join("data").join(repository)
    }

    /// A request below the credential's own repository.
    pub(crate) fn ask(&self, credential: &Credential, method: &str, path: &str, body: &[u8]) -> Answer {
        self.ask_at(credential, method, &format!("/{}/{path}", credential.repository), body)
    }

    /// A request anywhere.
    pub(crate) fn ask_at(&self, credential: &Credential, method: &str, path: &str, body: &[u8]) -> Answer {
        self.ask_with(credential, method, path, "", body)
    }

    /// A request with further header lines, each with its line end.
    pub(crate) fn ask_with(&self, by: &Credential, method: &str, path: &str, lines: &str, body: &[u8]) -> Answer {
        let head = self.head(by, method, path, &format!("{lines}Content-Length: {}\r\n", body.len()));
        let mut stream = self.connect();
        stream.write_all(head.as_bytes()).expect("a request is sent");
        // A server may answer before it has read all.
        let _ = stream.write_all(body);
        hear(stream)
    }

    /// The head of a request.
    pub(crate) fn head(&self, by: &Credential, method: &str, path: &str, lines: &str) -> String {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{}:{}", by.user, by.password));
        format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {pair}\r\nConnection: close\r\n{lines}\r\n"
        )
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the gateway listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream
    }

    pub(crate) fn store(&self, by: &Credential, kind: FileKind, content: &[u8]) -> Answer {
        self.ask(by, "POST", &path(kind, content), content)
    }
}

/// Path of a file below its repository.
pub(crate) fn path(kind: FileKind, content: &[u8]) -> String {
    format!("{}/{}", kind.directory(), Id::of(content))
}

/// Reads an answer to its end.
pub(crate) fn hear(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // Where the connection is reset after the answer, what came counts.
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        bytes.extend_from_slice(&buffer[..length]);
    }
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(bytes.len());
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head, body: bytes.get(end + 4..).unwrap_or_default().to_vec() }
}

impl Answer {
    pub(crate) fn words(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Number of files below a directory.
pub(crate) fn files_below(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

/// Bytes that nothing compresses and no two seeds share.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}
