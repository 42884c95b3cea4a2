//! A browser without script: keeps one cookie, fills forms with the token of the page that it looked at last. Every request
//! has a connection of its own, so that nothing but the server decides when it ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) text: String,
}

impl Answer {
    fn read(head: &str, body: &[u8]) -> Answer {
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let pair = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers: BTreeMap<_, _> = lines.filter_map(pair).collect();
        let is_chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
        let bytes = if is_chunked { joined(body) } else { body.to_vec() };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status, headers, bytes, text }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// Where it leads.
    pub(crate) fn leads_to(&self) -> &str {
        self.header("location")
    }

    /// The token that its forms carry.
    fn token(&self) -> Option<String> {
        let (_, rest) = self.text.split_once(r#"name="token" value=""#)?;
        Some(rest.split('"').next()?.to_owned())
    }
}

/// The pieces of a body that came in pieces.
fn joined(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 4 + length..];
    }
    whole
}

/// A browser.
#[derive(Clone)]
pub(crate) struct Browser {
    address: SocketAddr,
    trusted: Option<Arc<ClientConfig>>,
    pub(crate) cookie: String,
    pub(crate) token: String,
}

/// A connection.
pub(crate) type Stream = Box<dyn crate::caller::Wire>;

/// What is asked.
struct Request<'r> {
    method: &'r str,
    path: &'r str,
    headers: Vec<(&'r str, &'r str)>,
    body: String,
}

impl Browser {
    pub(crate) fn new(address: SocketAddr) -> Browser {
        Browser { address, trusted: None, cookie: String::new(), token: String::new() }
    }

    /// One that speaks TLS and trusts this authority.
    pub(crate) fn trusting(address: SocketAddr, authority: &[u8]) -> Browser {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let trusted = Some(Arc::new(config.with_root_certificates(roots).with_no_client_auth()));
        Browser { trusted, ..Browser::new(address) }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.get_as(path, &[]).await
    }

    pub(crate) async fn get_as(&mut self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let request = Request { method: "GET", path, headers: headers.to_vec(), body: String::new() };
        let answer = self.ask(request).await;
        self.token = answer.token().unwrap_or_else(|| self.token.clone());
        answer
    }

    /// Sends a form as a page of the server would: from the same origin, with the token.
    pub(crate) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token.clone();
        let mut fields = fields.to_vec();
        fields.push(("token", &token));
        self.send_as(path, &fields, &[("sec-fetch-site", "same-origin")]).await
    }

    /// Sends a form with these fields and headers, and nothing else.
    pub(crate) async fn send_as(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let body = serde_urlencoded::to_string(fields).unwrap();
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        self.ask(Request { method: "POST", path, headers, body }).await
    }

    /// Sends JSON to the API, as no browser does.
    pub(crate) async fn tell(&mut self, path: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
        let headers = vec![("content-type", "application/json")];
        let answer = self.ask(Request { method: "POST", path, headers, body: body.to_string() }).await;
        (answer.status, serde_json::from_str(&answer.text).unwrap_or_default())
    }

    /// Sends JSON with a token, as a program does; the status of the answer.
    pub(crate) async fn send_json(&self, path: &str, token: Option<&str>, body: &serde_json::Value) -> u16 {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(bearer.iter().map(|bearer| ("authorization", bearer.as_str())));
        let text = self.written(&Request { method: "POST", path, headers, body: body.to_string() });
        exchange(self.connected().await, &text).await.status
    }

    /// How something is answered, by cookie or by token; what follows the head is not waited for.
    pub(crate) async fn status(&self, method: &str, path: &str, token: Option<&str>) -> u16 {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let headers = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let text = self.written(&Request { method, path, headers, body: String::new() });
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
    }

    /// Asks for what does not end; what comes is read by the caller.
    pub(crate) async fn opens(&self, path: &str) -> Stream {
        let text = self.written(&Request { method: "GET", path, headers: Vec::new(), body: String::new() });
        let mut stream = self.connected().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    /// A connection, with TLS if there is something to trust.
    pub(crate) async fn connected(&self) -> Stream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        match &self.trusted {
            None => Box::new(stream),
            Some(trusted) => {
                let name = ServerName::try_from("localhost").unwrap();
                Box::new(TlsConnector::from(Arc::clone(trusted)).connect(name, stream).await.unwrap())
            }
        }
    }

    async fn ask(&mut self, request: Request<'_>) -> Answer {
        let text = self.written(&request);
        let answer = exchange(self.connected().await, &text).await;
        if let Some(cookie) = answer.headers.get("set-cookie") {
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        answer
    }

    fn written(&self, request: &Request<'_>) -> String {
        let Request { method, path, headers, body } = request;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !self.cookie.is_empty() {
            text += &format!("cookie: {}\r\n", self.cookie);
        }
        text + &format!("content-length: {}\r\n\r\n{body}", body.len())
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &str) -> Answer {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    // Whoever ends TLS without saying so has ended it all the same.
    let ended = stream.read_to_end(&mut read).await;
    let end = read.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {ended:?}"));
    Answer::read(std::str::from_utf8(&read[..end]).unwrap(), &read[end + 4..])
}
