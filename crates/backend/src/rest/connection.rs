//! Requests to a REST server over TCP, TLS or a Unix socket.

use std::time::Duration;

use http::header::{ACCEPT, RANGE};
use parking_lot::Mutex;
use url::Url;

use super::*;
use crate::Options;
use crate::http as web;
use crate::limit::Pace;
use crate::road::Notices;
use crate::runtime::block_on_road;
use crate::{HttpOptions, Road};

/// A REST server's address with what is needed to get in.
pub(crate) struct Connection {
    line: Mutex<Line>,
    road: Option<Road>,
    root: Url,
    user: Option<(String, String)>,
    location: String,
    pace: Pace,
    /// How long a request may show no progress.
    patience: Duration,
}

/// The client with its open connections, and what another one is made of.
struct Line {
    client: reqwest::Client,
    road: Notices,
    http: HttpOptions,
    socket: Option<String>,
}

impl Line {
    fn open(options: &Options, socket: Option<String>) -> Result<Line> {
        let client = web::client(&options.http, socket.as_deref())?;
        Ok(Line { client, road: Notices::of(options.road.as_ref()), http: options.http.clone(), socket })
    }

    /// The client; another one if the network is another one, as connections that are open lead nowhere any more.
    fn client(&mut self) -> reqwest::Client {
        if self.road.moved()
            && let Ok(client) = web::client(&self.http, self.socket.as_deref())
        {
            self.client = client;
        }
        self.client.clone()
    }
}

impl Connection {
    /// `address` is `http://…`, `https://…` or `http+unix:///socket:/path/`; `user` replaces what the address says.
    pub(crate) fn open(address: &str, user: Option<(String, String)>, options: &Options) -> Result<Connection> {
        let bad = |why: &str| Error::new(Class::Permanent, "open", "rest:", why);
        let (socket, address) = split_socket(address)?;
        let mut root = Url::parse(&address).map_err(|error| bad(&error.to_string()))?;
        if !matches!(root.scheme(), "http" | "https") || root.host_str().is_none() {
            return Err(bad("the address is not of the form http://host/path or https://host/path"));
        }
        let user = user.or_else(|| user_of(&root));
        let _ = (root.set_username(""), root.set_password(None));
        if !root.path().ends_with('/') {
            root.set_path(&format!("{}/", root.path()));
        }
        let location = match &socket {
            Some(socket) => format!("rest:http+unix://{socket}:{}", root.path()),
            None => format!("rest:{root}"),
        };
        Ok(Connection {
            line: Mutex::new(Line::open(options, socket)?),
            road: options.road.clone(),
            root,
            user,
            location,
            pace: Pace(options.limiter.clone()),
            patience: options.patience(),
        })
    }
}

/// Splits `http+unix:///socket:/path/` into the socket and a URL.
fn split_socket(address: &str) -> Result<(Option<String>, String)> {
    let Some(rest) = address.strip_prefix("http+unix://") else { return Ok((None, address.to_owned())) };
    match rest.split_once(':') {
        Some((socket, path)) if socket.starts_with('/') && path.starts_with('/') => {
            Ok((Some(socket.to_owned()), format!("http://localhost{path}")))
        }
        _ => Err(Error::new(Class::Permanent, "open", "rest:", "expected http+unix:///path/of/socket:/repository/")),
    }
}

fn user_of(address: &Url) -> Option<(String, String)> {
    let decode = |text: &str| {
        let pair = format!("x={}", text.replace('+', "%2B"));
        let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
        decoded.map(|(_, value)| value.into_owned()).unwrap_or_default()
    };
    let named = !address.username().is_empty() || address.password().is_some();
    named.then(|| (decode(address.username()), decode(address.password().unwrap_or_default())))
}

impl Transport for Connection {
    fn send(&self, request: &Request<'_>, into: &mut Vec<u8>) -> Result<Answer, Failure> {
        let address = match request.path.strip_prefix('?') {
            Some(query) => {
                let mut address = self.root.clone();
                address.set_query(Some(query));
                address
            }
            None => self.root.join(request.path).map_err(|error| Failure::new(Class::Permanent, error))?,
        };
        let road = Notices::of(self.road.as_ref());
        let mut outgoing = self.line.lock().client().request(request.method.clone(), address);
        if let Some((name, password)) = &self.user {
            outgoing = outgoing.basic_auth(name, Some(password));
        }
        if let Some(range) = &request.range {
            outgoing = outgoing.header(RANGE, range);
        }
        if let Some(accept) = request.accept {
            outgoing = outgoing.header(ACCEPT, accept);
        }
        block_on_road(self.patience, road, async {
            let answer = web::send(outgoing, request.body, &self.pace).await?;
            web::receive(answer, request.limit, &self.pace, into).await
        })
    }

    fn location(&self) -> String {
        self.location.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_used_but_never_shown() {
        let server = Connection::open("http://me:p%40ss+1@host:8000/repo", None, &Options::default()).unwrap();
        assert_eq!(server.user, Some(("me".into(), "p@ss+1".into())));
        assert_eq!(server.location(), "rest:http://host:8000/repo/");
    }

    #[test]
    fn a_socket_and_a_path_make_an_address() {
        let server = Connection::open("http+unix:///run/rest.sock:/my/repo", None, &Options::default()).unwrap();
        assert_eq!(server.location(), "rest:http+unix:///run/rest.sock:/my/repo/");
    }
}
