//! HTTP as every backend here speaks it: certificates, proxies, progress instead of a deadline, errors by class.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Method, StatusCode};
use tokio::sync::mpsc;

use crate::limit::{Direction, Pace};
use crate::runtime::{self, in_time};
use crate::{Class, Error, Result};

/// Bytes handed to the connection at once.
const CHUNK: usize = 64 << 10;

/// No answer is larger: packs end at 128 MiB, a listing of ten million files at 900 MiB.
pub(crate) const MAX_ANSWER: u64 = 1 << 30;

/// What an error's text may cost.
const MAX_ERROR_TEXT: usize = 2 << 10;

/// How HTTP is spoken: certificates, proxies, our name. Files are read when the backend is opened.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// PEM files of the only authorities that are believed; none means the system's.
    pub authorities: Vec<PathBuf>,
    /// A PEM file with our certificate and its key.
    pub identity: Option<PathBuf>,
    /// Believe any certificate, which makes TLS worthless against an attacker.
    pub insecure: bool,
    /// Proxy for http addresses, as a URL.
    pub http_proxy: Option<String>,
    /// Proxy for https addresses, as a URL.
    pub https_proxy: Option<String>,
    /// What we call ourselves; none means our name and version.
    pub user_agent: Option<String>,
    /// Hosts that are reached without proxy, as curl writes them: names, suffixes, addresses, separated by commas.
    pub no_proxy: Option<String>,
}

/// A request of the restic REST protocol.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Below the repository's root, with query.
    pub(crate) path: &'a str,
    pub(crate) range: Option<String>,
    pub(crate) accept: Option<&'static str>,
    pub(crate) body: Option<&'a [u8]>,
    /// The answer's body may have this many bytes.
    pub(crate) limit: u64,
}

/// Status and headers of an answer, whose body went to the caller's buffer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
}

impl Answer {
    /// Bytes that the header announces.
    pub(crate) fn length(&self) -> Option<u64> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The error that this answer means.
    pub(crate) fn error(&self, action: &'static str, what: impl ToString, body: &[u8]) -> Error {
        let text = String::from_utf8_lossy(&body[..body.len().min(MAX_ERROR_TEXT)]);
        let message = format!("the server answers {} {}", self.status, text.trim());
        let wait = self.headers.get(http::header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Error::new(class(self.status), action, what, message.trim_end()).after(wait.map(Duration::from_secs))
    }
}

/// What helps against an answer that is no success.
pub(crate) fn class(status: StatusCode) -> Class {
    match status.as_u16() {
        404 | 410 => Class::NotFound,
        401 | 402 | 403 | 405 | 407 | 409 | 501 => Class::Rejected,
        413 | 507 => Class::Full,
        416 => Class::Corrupt,
        429 | 503 => Class::Throttled,
        // 400 is what a server says to bytes that do not have the hash they are named by: damaged on the way.
        400 | 408 | 500..=599 => Class::Transient,
        _ => Class::Permanent,
    }
}

/// A request that got no answer.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(class: Class, message: impl ToString) -> Failure {
        Failure { class, message: message.to_string() }
    }

    /// What helps against a request that failed in the HTTP library.
    pub(crate) fn class_of(error: &reqwest::Error) -> Class {
        match () {
            () if is_about_tls(error) => Class::Untrusted,
            () if error.is_connect() || is_unreachable(error) => Class::Offline,
            () if error.is_builder() || error.is_redirect() => Class::Permanent,
            () => Class::Transient,
        }
    }

    pub(crate) fn error(self, action: &'static str, what: impl ToString) -> Error {
        Error::new(self.class, action, what, self.message)
    }
}

impl From<runtime::Stuck> for Failure {
    fn from(stuck: runtime::Stuck) -> Failure {
        Failure::new(Class::Transient, stuck)
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Failure {
        let class = Failure::class_of(&error);
        let error = error.without_url();
        match causes(&error).find_map(<dyn StdError>::downcast_ref).and_then(mistrust) {
            Some(words) => Failure::new(class, format_args!("{words}: {}", chain(&error))),
            None => Failure::new(class, chain(&error)),
        }
    }
}

/// An error with its causes in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// An error, what it wraps, and so on. An I/O error's `source` passes over the error that it wraps, so that one is asked
/// for by itself.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner as &(dyn StdError + 'static)),
        None => (*error).source(),
    })
}

/// Who does not believe whom, in words.
fn mistrust(error: &rustls::Error) -> Option<&'static str> {
    use rustls::AlertDescription as Alert;
    match error {
        rustls::Error::InvalidCertificate(_) => Some("the server's certificate is not believed"),
        rustls::Error::AlertReceived(Alert::CertificateRequired) => Some("the server wants to see our certificate"),
        rustls::Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => Some("the server does not believe our certificate"),
        _ => None,
    }
}

fn is_about_tls(error: &reqwest::Error) -> bool {
    causes(error).any(|cause| cause.is::<rustls::Error>())
}

fn is_unreachable(error: &reqwest::Error) -> bool {
    use io::ErrorKind as Kind;
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|error| {
        matches!(error.kind(), Kind::NetworkUnreachable | Kind::HostUnreachable | Kind::NetworkDown | Kind::TimedOut)
    })
}

/// Makes a client; `socket` is the Unix socket that all requests go to.
pub(crate) fn client(options: &HttpOptions, socket: Option<&str>) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(options.user_agent.as_deref().unwrap_or(concat!("stead/", env!("CARGO_PKG_VERSION"))))
        .no_proxy()
        .connect_timeout(Duration::from_secs(30))
        .tcp_keepalive(Duration::from_secs(15))
        .tcp_keepalive_interval(Duration::from_secs(15))
        .http2_initial_stream_window_size(4 << 20)
        .http2_initial_connection_window_size(16 << 20)
        .pool_idle_timeout(Duration::from_secs(60));
    #[cfg(target_os = "linux")]
    {
        builder = builder.tcp_user_timeout(Duration::from_secs(60));
    }
    builder = with_certificates(builder, options)?;
    builder = with_proxies(builder, options)?;
    #[cfg(unix)]
    if let Some(socket) = socket {
        builder = builder.unix_socket(std::path::Path::new(socket));
    }
    builder.build().map_err(|error| Error::new(Class::Permanent, "set up", "HTTP", chain(&error)))
}

fn with_certificates(mut builder: reqwest::ClientBuilder, options: &HttpOptions) -> Result<reqwest::ClientBuilder> {
    let mut authorities = Vec::new();
    for path in &options.authorities {
        let certificates = reqwest::Certificate::from_pem_bundle(&read_pem(path)?);
        let certificates = certificates.map_err(|error| bad_pem(path, chain(&error)))?;
        if certificates.is_empty() {
            // Else we would trust the system's authorities, which is not what was asked for.
            return Err(bad_pem(path, "it holds no certificate in PEM format"));
        }
        authorities.extend(certificates);
    }
    if !authorities.is_empty() {
        builder = builder.tls_certs_only(authorities);
    }
    if let Some(path) = &options.identity {
        let identity = reqwest::Identity::from_pem(&read_pem(path)?).map_err(|error| bad_pem(path, chain(&error)))?;
        builder = builder.identity(identity);
    }
    Ok(builder.tls_danger_accept_invalid_certs(options.insecure))
}

fn read_pem(path: &PathBuf) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::io("read", path.display(), &error))
}

fn bad_pem(path: &std::path::Path, why: impl ToString) -> Error {
    Error::new(Class::Permanent, "read certificates from", path.display(), why)
}

fn with_proxies(mut builder: reqwest::ClientBuilder, options: &HttpOptions) -> Result<reqwest::ClientBuilder> {
    type Make = fn(String) -> reqwest::Result<reqwest::Proxy>;
    let proxies: [(&Option<String>, Make); 2] =
        [(&options.http_proxy, reqwest::Proxy::http), (&options.https_proxy, reqwest::Proxy::https)];
    for (address, make) in proxies {
        let Some(address) = address.clone().filter(|address| !address.is_empty()) else { continue };
        let fail = |error| Error::new(Class::Permanent, "use", "the HTTP proxy", chain(&error));
        let except = options.no_proxy.as_deref().and_then(reqwest::NoProxy::from_string);
        builder = builder.proxy(make(address).map_err(fail)?.no_proxy(except));
    }
    Ok(builder)
}

/// Hands `content` over in pieces, so that progress shows.
async fn feed(content: &[u8], connection: mpsc::Sender<Bytes>, pace: &Pace) -> Result<(), runtime::Stuck> {
    for chunk in content.chunks(CHUNK) {
        pace.pass(Direction::Up, chunk.len()).await;
        if in_time(connection.send(Bytes::copy_from_slice(chunk))).await?.is_err() {
            break; // the server has answered already
        }
    }
    Ok(())
}

fn body(content: &[u8]) -> (reqwest::Body, Option<mpsc::Sender<Bytes>>) {
    if content.len() <= CHUNK {
        return (Bytes::copy_from_slice(content).into(), None);
    }
    let (sender, mut receiver) = mpsc::channel(2);
    let chunks = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let chunks = futures_util::StreamExt::map(chunks, Ok::<Bytes, std::convert::Infallible>);
    (reqwest::Body::wrap_stream(chunks), Some(sender))
}

/// Sends a request with `content` and waits for the head of the answer.
pub(crate) async fn send(
    request: reqwest::RequestBuilder,
    content: Option<&[u8]>,
    pace: &Pace,
) -> Result<reqwest::Response, Failure> {
    let Some(content) = content else { return Ok(in_time(request.send()).await??) };
    let (body, sender) = body(content);
    let answer = request.header(CONTENT_LENGTH, content.len()).body(body).send();
    let Some(sender) = sender else {
        pace.pass(Direction::Up, content.len()).await;
        return Ok(in_time(answer).await??);
    };
    tokio::pin!(answer);
    tokio::select! {
        early = &mut answer => return Ok(early?),
        fed = feed(content, sender, pace) => fed?,
    }
    Ok(in_time(answer).await??)
}

/// Reads the body of an answer into `into`, at most `limit` bytes.
pub(crate) async fn receive(
    mut answer: reqwest::Response,
    limit: u64,
    pace: &Pace,
    into: &mut Vec<u8>,
) -> Result<Answer, Failure> {
    let head = Answer { status: answer.status(), headers: std::mem::take(answer.headers_mut()) };
    let limit = if head.status.is_success() { limit } else { MAX_ERROR_TEXT as u64 };
    into.clear();
    into.reserve(head.length().unwrap_or(0).min(limit).min(256 << 20) as usize);
    while let Some(chunk) = in_time(answer.chunk()).await?? {
        if (into.len() + chunk.len()) as u64 > limit {
            if !head.status.is_success() {
                break;
            }
            return Err(Failure::new(Class::Corrupt, format!("the answer has more than {limit} bytes")));
        }
        into.extend_from_slice(&chunk);
        pace.pass(Direction::Down, chunk.len()).await;
    }
    Ok(head)
}
