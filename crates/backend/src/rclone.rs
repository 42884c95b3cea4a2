//! The storages that rclone knows: restic's REST protocol as HTTP/2 over the pipes of a `rclone serve restic --stdio`.

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::header::{ACCEPT, CONTENT_LENGTH, RANGE};
use parking_lot::Mutex;
use std::sync::Arc;

use crate::child::{Child, Terminal};
use crate::http::{Answer, Failure, Request};
use crate::limit::{Direction, Pace};
use crate::rest::Transport;
use crate::runtime::{block_on, block_on_patiently, in_time};
use crate::{Class, Result};

/// Bytes handed to the connection at once.
const CHUNK: usize = 64 << 10;

/// A running rclone, started again when it has died.
pub(crate) struct Rclone {
    command: Vec<String>,
    remote: String,
    timing: Timing,
    pace: Pace,
    session: Mutex<Option<Arc<Session>>>,
}

/// How long rclone is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Until it has started and answers for the first time.
    pub(crate) start: Duration,
    /// While a request shows no progress.
    pub(crate) progress: Duration,
}

struct Session {
    requests: SendRequest<Bytes>,
    child: Child,
}

impl Rclone {
    /// Starts rclone with `command`, to which the `remote` is appended, and waits for its first answer.
    pub(crate) fn open(mut command: Vec<String>, remote: &str, timing: Timing, pace: Pace) -> Result<Rclone> {
        command.push(remote.to_owned());
        let rclone = Rclone { command, remote: remote.to_owned(), timing, pace, session: Mutex::default() };
        rclone.session().map_err(|failure| failure.error("open", rclone.location()))?;
        Ok(rclone)
    }

    /// The running session; other threads wait while it is started.
    fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut session = self.session.lock();
        if let Some(session) = &*session {
            return Ok(Arc::clone(session));
        }
        let started = Arc::new(block_on(self.start())?);
        *session = Some(Arc::clone(&started));
        Ok(started)
    }

    async fn start(&self) -> Result<Session, Failure> {
        let (child, input, output) = Child::start(&self.command, Terminal::Own)?;
        let handshake = h2::client::Builder::new()
            .initial_window_size(4 << 20)
            .initial_connection_window_size(32 << 20)
            .max_frame_size(256 << 10)
            .handshake(tokio::io::join(output, input));
        let (requests, connection) = match tokio::time::timeout(self.timing.start, handshake).await {
            Ok(Ok(pair)) => pair,
            Ok(Err(error)) => return Err(child.failure(&error).await),
            Err(_) => return Err(child.failure(&"it does not answer").await),
        };
        tokio::spawn(connection);
        let session = Session { requests, child };
        match tokio::time::timeout(self.timing.start, session.greet()).await {
            Ok(Ok(_)) => Ok(session),
            Ok(Err(error)) => Err(session.child.failure(&error).await),
            Err(_) => Err(session.child.failure(&"it does not answer").await),
        }
    }

    /// Forgets a session that broke, unless somebody has replaced it already.
    fn forget(&self, broken: &Arc<Session>) {
        let mut session = self.session.lock();
        if session.as_ref().is_some_and(|session| Arc::ptr_eq(session, broken)) {
            *session = None;
        }
    }
}

impl Session {
    async fn greet(&self) -> Result<Answer, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let request =
            http::Request::head("http://localhost/config").body(()).map_err(|_| h2::Reason::INTERNAL_ERROR)?;
        let (answer, _) = requests.send_request(request, true)?;
        let (head, _) = answer.await?.into_parts();
        Ok(Answer { status: head.status, headers: head.headers })
    }

    async fn exchange(&self, request: &Request<'_>, pace: &Pace, into: &mut Vec<u8>) -> Result<Answer, Broken> {
        let content = request.body.unwrap_or_default();
        let mut requests = in_time(self.requests.clone().ready()).await??;
        let (answer, body) = requests.send_request(head(request)?, content.is_empty())?;
        let unsent = match content.is_empty() {
            true => Ok(()),
            false => send_body(body, content, pace).await,
        };
        let answer = match (in_time(answer).await?, unsent) {
            (Ok(answer), _) => answer,
            (Err(_), Err(unsent)) => return Err(unsent),
            (Err(error), Ok(())) => return Err(error.into()),
        };
        let (head, body) = answer.into_parts();
        receive_body(body, request.limit, pace, into).await?;
        Ok(Answer { status: head.status, headers: head.headers })
    }
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Connection(#[from] h2::Error),
    #[error(transparent)]
    Stuck(#[from] crate::runtime::Stuck),
    #[error("the request is malformed: {0}")]
    Request(#[from] http::Error),
    #[error("the answer has more than {0} bytes")]
    TooLarge(u64),
}

fn head(request: &Request<'_>) -> Result<http::Request<()>, http::Error> {
    let mut head =
        http::Request::builder().method(request.method.clone()).uri(format!("http://localhost/{}", request.path));
    if let Some(body) = request.body {
        head = head.header(CONTENT_LENGTH, body.len());
    }
    if let Some(range) = &request.range {
        head = head.header(RANGE, range);
    }
    if let Some(accept) = request.accept {
        head = head.header(ACCEPT, accept);
    }
    head.body(())
}

async fn send_body(mut body: SendStream<Bytes>, mut content: &[u8], pace: &Pace) -> Result<(), Broken> {
    while !content.is_empty() {
        pace.pass(Direction::Up, content.len().min(CHUNK)).await;
        body.reserve_capacity(content.len().min(CHUNK));
        let granted = in_time(std::future::poll_fn(|context| body.poll_capacity(context))).await?;
        let Some(granted) = granted.transpose()? else { return Ok(()) }; // the server wants no more
        let (chunk, rest) = content.split_at(granted.min(content.len()));
        body.send_data(Bytes::copy_from_slice(chunk), rest.is_empty())?;
        content = rest;
    }
    Ok(())
}

async fn receive_body(mut body: RecvStream, limit: u64, pace: &Pace, into: &mut Vec<u8>) -> Result<(), Broken> {
    into.clear();
    while let Some(chunk) = in_time(body.data()).await? {
        let chunk = chunk?;
        if (into.len() + chunk.len()) as u64 > limit {
            return Err(Broken::TooLarge(limit));
        }
        into.extend_from_slice(&chunk);
        pace.pass(Direction::Down, chunk.len()).await;
        body.flow_control().release_capacity(chunk.len())?;
    }
    Ok(())
}

impl Transport for Rclone {
    fn send(&self, request: &Request<'_>, into: &mut Vec<u8>) -> Result<Answer, Failure> {
        let session = self.session()?;
        let error = match block_on_patiently(self.timing.progress, session.exchange(request, &self.pace, into)) {
            Ok(answer) => return Ok(answer),
            Err(Broken::TooLarge(limit)) => return Err(Failure::new(Class::Corrupt, Broken::TooLarge(limit))),
            Err(Broken::Request(error)) => return Err(Failure::new(Class::Permanent, error)),
            // One request was reset; the connection lives.
            Err(Broken::Connection(error)) if error.is_reset() => return Err(Failure::new(Class::Transient, error)),
            Err(error) => error,
        };
        self.forget(&session);
        Err(block_on(session.child.failure(&error)))
    }

    fn location(&self) -> String {
        format!("rclone:{}", self.remote)
    }

    fn said(&self) -> String {
        self.session.lock().as_ref().map(|session| session.child.said()).unwrap_or_default()
    }
}

/// The command that starts rclone by default, without the remote.
pub(crate) fn default_arguments() -> Vec<String> {
    ["serve", "restic", "--stdio", "--b2-hard-delete"].map(String::from).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_no_rclone_is_a_clear_error() {
        let error = |command: &str| {
            let command = crate::child::words(command).unwrap();
            {
                let timing = Timing { start: Duration::from_secs(5), progress: Duration::from_secs(5) };
                Rclone::open(command, "x:", timing, Pace::default())
            }
            .err()
            .unwrap()
        };
        assert_eq!(error("no-such-program").class, Class::Permanent);
        assert!(error("sh -c 'echo no config >&2; exit 1' --").message.contains("no config"));
    }
}
