//! A call to a server's JSON API, with a token. What the server says against it is told as it says it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::answer::Problem;
use reqwest::header::CONTENT_DISPOSITION;
use reqwest::{Certificate, Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::environment;
use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;

const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come; a large download may take as long as it likes.
const ANSWER: Duration = Duration::from_secs(60);

/// Bytes of an answer: a page of machines is some hundred thousand.
const LARGEST: u64 = 16 << 20;

/// Whom we call, and as whom.
pub(super) struct Call {
    server: String,
    token: Zeroizing<String>,
    client: reqwest::Client,
    runtime: Runtime,
}

impl Call {
    pub(super) fn new(server: Option<String>, token_file: Option<PathBuf>, context: &Context) -> Outcome<Call> {
        let server = server.or_else(|| environment::text("SERVER")).unwrap_or_else(|| "https://localhost:8443".into());
        let server = server.trim_end_matches('/').to_owned();
        let is_near =
            ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|near| server.starts_with(near));
        if !server.starts_with("https://") && !is_near {
            return Err(Failure::new(format!("{server} is no address that a token may be sent to"))
                .hint("an address begins with https://; http:// is for servers on this machine"));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (token, client) = (token(token_file)?, client(context)?);
        Ok(Call { server, token, client, runtime })
    }

    /// Asks for something.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Outcome<T> {
        self.understood(&self.text(self.request(Method::GET, path, query)?)?)
    }

    /// Asks for something to be done.
    pub(super) fn post(&self, path: &str) -> Outcome {
        self.text(self.request(Method::POST, path, &[])?).map(drop)
    }

    /// Asks for something to be done in a certain way; what it became.
    pub(super) fn ask<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Outcome<T> {
        self.understood(&self.text(self.request(Method::POST, path, query)?)?)
    }

    /// Sends something along; what it became.
    pub(super) fn send<T: DeserializeOwned>(&self, path: &str, sent: &impl Serialize) -> Outcome<T> {
        self.understood(&self.text(self.request(Method::POST, path, &[])?.json(sent))?)
    }

    /// Sends something along to which there is no answer.
    pub(super) fn tell(&self, path: &str, sent: &impl Serialize) -> Outcome {
        self.text(self.request(Method::POST, path, &[])?.json(sent)).map(drop)
    }

    /// Begins to receive what is too large for memory.
    pub(super) fn begin(&self, path: &str, query: &[(&str, &str)]) -> Outcome<Incoming<'_>> {
        let request = self.request(Method::GET, path, query)?;
        Ok(Incoming { response: self.runtime.block_on(self.answered(request))?, runtime: &self.runtime })
    }

    fn understood<T: DeserializeOwned>(&self, text: &str) -> Outcome<T> {
        serde_json::from_str(text).doing(|| format!("cannot read what {} answered", self.server))
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Outcome<RequestBuilder> {
        let given = query.iter().filter(|(_, value)| !value.is_empty());
        let address = Url::parse_with_params(&format!("{}{path}", self.server), given);
        let address = address.map_err(|error| Failure::new(error.to_string())).doing(|| self.doing())?;
        Ok(self.client.request(method, address).bearer_auth(&*self.token))
    }

    fn text(&self, request: RequestBuilder) -> Outcome<String> {
        self.runtime.block_on(async { body(self.answered(request).await?).await.doing(|| self.doing()) })
    }

    /// The head of an answer that is none against us.
    async fn answered(&self, request: RequestBuilder) -> Outcome<Response> {
        let response = request.send().await.map_err(|error| unreachable(&error)).doing(|| self.doing())?;
        let status = response.status();
        match status.is_success() {
            true => Ok(response),
            false => Err(refused(status, &body(response).await.doing(|| self.doing())?)),
        }
    }

    fn doing(&self) -> String {
        format!("cannot ask {}", self.server)
    }
}

/// Something large that comes in pieces.
pub(super) struct Incoming<'c> {
    response: Response,
    runtime: &'c Runtime,
}

impl Incoming<'_> {
    /// What the server would call it as a file: a name without a path.
    pub(super) fn name(&self) -> Option<String> {
        let header = self.response.headers().get(CONTENT_DISPOSITION)?.to_str().ok()?;
        let encoded = header.split_once("filename*=UTF-8''")?.1;
        let address = Url::parse(&format!("name:/?n={encoded}")).ok()?;
        let name = address.query_pairs().next()?.1.into_owned();
        let is_path = name.contains(['/', '\\']) || name.contains(char::is_control);
        (!is_path && !matches!(name.as_str(), "" | "." | "..")).then_some(name)
    }

    /// Takes all pieces; how many bytes there were. What is broken off on the way fails.
    pub(super) fn each(mut self, mut take: impl FnMut(&[u8]) -> Outcome) -> Outcome<u64> {
        let mut count = 0;
        while let Some(piece) = self.runtime.block_on(self.response.chunk()).map_err(|error| broken_off(&error))? {
            take(&piece)?;
            count += piece.len() as u64;
        }
        Ok(count)
    }
}

fn broken_off(error: &reqwest::Error) -> Failure {
    Failure::new(format!("the download was broken off: {}", causes(error)))
        .hint("ask once more; a download begins at its beginning")
}

async fn body(mut response: Response) -> Outcome<String> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if (bytes.len() + piece.len()) as u64 > LARGEST {
            return Err(Failure::new("the answer is too long"));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| Failure::new("the answer is no text"))
}

/// All causes: that the certificate is not believed stands in the last.
fn causes(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

fn unreachable(error: &reqwest::Error) -> Failure {
    let words = causes(error);
    let is_distrusted = words.contains("certificate");
    let failure = Failure::new(words);
    match is_distrusted {
        true => failure.hint("give the server's authority.pem with `--cacert`"),
        false => failure.hint("name the server with `--server`"),
    }
}

fn refused(status: reqwest::StatusCode, text: &str) -> Failure {
    match serde_json::from_str::<Problem>(text) {
        Ok(problem) => Failure::new(problem.sentence).hint(problem.advice),
        Err(_) => Failure::new(format!("the server answered {status}")).hint("is this the address of a stead server?"),
    }
}

fn token(file: Option<PathBuf>) -> Outcome<Zeroizing<String>> {
    let file = file.or_else(|| environment::variable("TOKEN_FILE").map(PathBuf::from));
    let text = match &file {
        Some(file) => Some(fs::read_to_string(file).map_err(|error| Failure::io("read the token from", file, error))?),
        None => environment::text("TOKEN"),
    };
    let token = text.map(|text| Zeroizing::new(text.trim().to_owned())).filter(|token| !token.is_empty());
    token.ok_or_else(|| {
        Failure::new("no token was given")
            .hint("make one on the server's settings page, and name its file with `--token-file`")
    })
}

fn client(context: &Context) -> Outcome<reqwest::Client> {
    let storage = &context.settings.storage;
    let mut builder = reqwest::Client::builder().connect_timeout(CONNECT).read_timeout(ANSWER);
    // What is sent elsewhere would carry the token there.
    builder = builder.redirect(reqwest::redirect::Policy::none());
    let near = environment::data_directory().map(|data| data.join("server/tls/authority.pem"));
    let near: Vec<PathBuf> =
        near.filter(|_| storage.authorities.is_empty()).filter(|file| file.exists()).into_iter().collect();
    for file in storage.authorities.iter() {
        builder = builder.tls_certs_only(certificates(file)?);
    }
    for file in &near {
        builder = builder.tls_certs_merge(certificates(file)?);
    }
    if storage.insecure_tls {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    builder.build().map_err(|error| unreachable(&error))
}

fn certificates(file: &Path) -> Outcome<Vec<Certificate>> {
    let pem = fs::read(file).map_err(|error| Failure::io("read", file, error))?;
    Certificate::from_pem_bundle(&pem).map_err(|error| Failure::new(format!("cannot use {}: {error}", file.display())))
}
