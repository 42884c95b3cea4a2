//! Those who receive messages: a mail server and an ntfy server, real ones in processes of their own, and a webhook that
//! checks signatures.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use tempfile::TempDir;

/// A peer that `cargo xtask setup` installs.
fn peer(name: &str) -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from)?;
    let bin = std::env::var_os("STEAD_PEERS").map(PathBuf::from).unwrap_or(home.join(".cache/stead-peers/bin"));
    let found = bin.join(name).exists().then(|| bin.join(name));
    if found.is_none() {
        testkit::peer::skip(&format!("no {name}; `cargo xtask setup` installs it"));
    }
    found
}

/// A port that nobody listens at now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something is so, for half a minute at most.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(60), "it never was so: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A process that ends with the test.
struct Served(Child);

impl Served {
    async fn begin(command: &mut Command, port: u16) -> Served {
        let served = Served(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        until("it listens", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok()).await;
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// A mail server that keeps everything.
pub(crate) struct PostOffice {
    pub(crate) port: u16,
    folder: TempDir,
    _served: Served,
}

/// How a mail server protects its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Plain,
    Starttls,
    Tls,
}

/// A certificate, its key, and the authority that signed it, as PEM.
pub(crate) struct Papers {
    certificate: String,
    key: String,
    pub(crate) authority: String,
}

impl Papers {
    /// For a name, by an authority of its own.
    pub(crate) fn of(name: &str) -> Papers {
        use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = KeyPair::generate().unwrap();
        let authority = params.self_signed(&root).unwrap().pem();
        let (key, issuer) = (KeyPair::generate().unwrap(), Issuer::new(params, root));
        let signed = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        Papers { certificate: signed.pem(), key: key.serialize_pem(), authority }
    }
}

impl PostOffice {
    pub(crate) async fn open() -> Option<PostOffice> {
        PostOffice::protected(Line::Plain, &Papers::of("localhost")).await
    }

    /// One that speaks TLS from the first byte, after a word, or not at all.
    pub(crate) async fn protected(line: Line, papers: &Papers) -> Option<PostOffice> {
        let (program, port, folder) = (peer("aiosmtpd")?, free_port(), tempfile::tempdir().unwrap());
        let mut command = Command::new(program);
        let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
        std::fs::write(&certificate, &papers.certificate).unwrap();
        std::fs::write(&key, &papers.key).unwrap();
        let files = match line {
            Line::Plain => None,
            Line::Starttls => Some(["--tlscert", "--tlskey"]),
            Line::Tls => Some(["--smtpscert", "--smtpskey"]),
        };
        if let Some([of_certificate, of_key]) = files {
            command.arg(of_certificate).arg(&certificate).arg(of_key).arg(&key);
        }
        command.args(["-n", "-l", &format!("127.0.0.1:{port}"), "-c", "aiosmtpd.handlers.Mailbox"]);
        command.arg(folder.path().join("mail"));
        let served = Served::begin(&mut command, port).await;
        Some(PostOffice { port, folder, _served: served })
    }

    /// Letters to somebody, with their heads, as they came.
    pub(crate) fn letters(&self, to: &str) -> Vec<String> {
        let new = self.folder.path().join("mail/new");
        let files = std::fs::read_dir(&new).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.filter(|text| header(text, "To").contains(to)).collect()
    }
}

/// A header of a letter.
pub(crate) fn header<'l>(letter: &'l str, name: &str) -> &'l str {
    let line = letter.lines().take_while(|line| !line.is_empty());
    line.filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map_or("", |(_, value)| value)
}

/// An ntfy server with one person, whose topic nobody else reads or writes.
pub(crate) struct Ntfy {
    pub(crate) port: u16,
    pub(crate) token: String,
    _folder: TempDir,
    _served: Served,
}

impl Ntfy {
    pub(crate) async fn open() -> Option<Ntfy> {
        let (program, port, folder) = (peer("ntfy")?, free_port(), tempfile::tempdir().unwrap());
        let (cache, users) = (folder.path().join("cache.db"), folder.path().join("users.db"));
        // Its own tools want the server's file of settings.
        let settings = folder.path().join("server.yml");
        let text = format!(
            "listen-http: 127.0.0.1:{port}\ncache-file: {}\nauth-file: {}\nauth-default-access: deny-all\n",
            cache.display(),
            users.display()
        );
        std::fs::write(&settings, text).unwrap();
        let served = Served::begin(Command::new(&program).args(["serve", "--config"]).arg(&settings), port).await;
        run(&program, &settings, &["user", "add", "jim"]);
        run(&program, &settings, &["access", "jim", "stead-jim", "rw"]);
        let told = run(&program, &settings, &["token", "add", "jim"]);
        let token = told.split_whitespace().find(|word| word.starts_with("tk_")).unwrap();
        let token = token.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
        Some(Ntfy { port, token, _folder: folder, _served: served })
    }

    pub(crate) fn topic(&self) -> String {
        format!("http://127.0.0.1:{}/stead-jim", self.port)
    }

    /// Everything that stands on the topic.
    pub(crate) async fn messages(&self) -> Vec<serde_json::Value> {
        let asked = reqwest::Client::new().get(format!("{}/json?poll=1", self.topic())).bearer_auth(&self.token);
        let text = asked.send().await.unwrap().text().await.unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn run(program: &Path, settings: &Path, words: &[&str]) -> String {
    let mut command = Command::new(program);
    command.arg(words[0]).arg("--config").arg(settings).args(&words[1..]).env("NTFY_PASSWORD", "four words of hers");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {told}");
    told
}

/// What a webhook received.
#[derive(Clone, Debug)]
pub(crate) struct Hooked {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) body: serde_json::Value,
    pub(crate) is_signed: bool,
}

/// A webhook, and how it answers: with this status, or never for 0.
#[derive(Clone, Default)]
pub(crate) struct Hook {
    pub(crate) key: Arc<Mutex<String>>,
    pub(crate) status: Arc<AtomicU16>,
    received: Arc<Mutex<Vec<Hooked>>>,
}

impl Hook {
    /// Begins to listen; its address.
    pub(crate) async fn open(&self) -> String {
        self.status.store(200, Ordering::SeqCst);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(received).with_state(self.clone());
        tokio::spawn(async move { axum_serve(listener, app).await });
        format!("http://{address}/hook")
    }

    pub(crate) fn received(&self) -> Vec<Hooked> {
        self.received.lock().clone()
    }

    pub(crate) fn ids(&self) -> BTreeSet<String> {
        self.received.lock().iter().map(|hooked| hooked.id.clone()).collect()
    }
}

/// Serves HTTP/1 connections until the test ends.
async fn axum_serve(listener: tokio::net::TcpListener, app: axum::Router) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let service = hyper_util::service::TowerToHyperService::new(app.clone());
        let io = hyper_util::rt::TokioIo::new(stream);
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
    }
}

async fn received(State(hook): State<Hook>, headers: HeaderMap, body: Bytes) -> (StatusCode, &'static str) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let (id, at) = (text("webhook-id"), text("webhook-timestamp"));
    let key = STANDARD.decode(hook.key.lock().trim_start_matches("whsec_")).unwrap_or_default();
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", &body].concat();
    let signature = STANDARD.decode(text("webhook-signature").trim_start_matches("v1,")).unwrap_or_default();
    let is_signed = hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed, &signature).is_ok();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let kind = body["type"].as_str().unwrap_or_default().to_owned();
    hook.received.lock().push(Hooked { id, kind, body, is_signed });
    match hook.status.load(Ordering::SeqCst) {
        0 => std::future::pending().await,
        status => (StatusCode::from_u16(status).unwrap(), "heard"),
    }
}
