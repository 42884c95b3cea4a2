//! A call to a server's JSON API, with a token. What the server says against it is told as it says it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::answer::{Fleet, Machine, Problem};
use reqwest::{Certificate, Method, Response, Url};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;
use zeroize::Zeroizing;

use crate::environment;
use crate::failure::{Doing, Failure, Outcome};
use crate::open::Context;

const CONNECT: Duration = Duration::from_secs(10);
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
        let text = self.text(Method::GET, path, query)?;
        serde_json::from_str(&text).doing(|| format!("cannot read what {} answered", self.server))
    }

    /// Asks for something to be done.
    pub(super) fn post(&self, path: &str) -> Outcome {
        self.post_with(path, &[])
    }

    /// Asks for something to be done in a certain way.
    pub(super) fn post_with(&self, path: &str, query: &[(&str, &str)]) -> Outcome {
        self.text(Method::POST, path, query).map(drop)
    }

    /// The one machine whose name, or identity, this is.
    pub(super) fn machine(&self, name: &str) -> Outcome<Machine> {
        let mut found: Vec<Machine> = Vec::new();
        let mut after = String::new();
        loop {
            let find = if uuid_like(name) { "" } else { name };
            let page: Fleet = self.get("/api/v1/fleet", &[("find", find), ("after", &after)])?;
            found.extend(page.machines.into_iter().filter(|machine| machine.id == name || machine.name == name));
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(Failure::new(format!("there is no machine {name:?} within your sight"))
                .hint("`stead fleet machines` lists them; names are told apart by upper and lower case")),
            count => {
                Err(Failure::new(format!("{count} machines are called {name:?}"))
                    .hint("give its id (`--json` shows it)"))
            }
        }
    }

    fn text(&self, method: Method, path: &str, query: &[(&str, &str)]) -> Outcome<String> {
        let doing = || format!("cannot ask {}", self.server);
        let given = query.iter().filter(|(_, value)| !value.is_empty());
        let address = Url::parse_with_params(&format!("{}{path}", self.server), given);
        let address = address.map_err(|error| Failure::new(error.to_string())).doing(doing)?;
        let request = self.client.request(method, address).bearer_auth(&*self.token);
        self.runtime.block_on(async {
            let response = request.send().await.map_err(|error| unreachable(&error)).doing(doing)?;
            let status = response.status();
            let text = body(response).await.doing(doing)?;
            match status.is_success() {
                true => Ok(text),
                false => Err(refused(status, &text)),
            }
        })
    }
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
fn unreachable(error: &reqwest::Error) -> Failure {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
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
    let mut builder = reqwest::Client::builder().connect_timeout(CONNECT).timeout(ANSWER);
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

fn uuid_like(text: &str) -> bool {
    text.parse::<fleet::MachineId>().is_ok()
}
