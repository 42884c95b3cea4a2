//! Reach: calling addresses that people typed. Not those inside a network, unless an owner allows it; what a name resolves
//! to is judged, and exactly that is called; nobody is led elsewhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, RequestBuilder, Url};

use super::firm::Inside;

/// How long an answer may take.
pub(crate) const SLOW: Duration = Duration::from_secs(20);

/// Bytes of an answer that are looked at.
const LOOKED_AT: usize = 300;

/// Why an address was not reached, or did not take what it was sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreached {
    /// It is not understood.
    #[error("{0:?} is no address: it begins with https:// and names a server")]
    NoAddress(String),
    /// It is not protected.
    #[error("{0} must begin with https://: only inside one's own network may a message go without")]
    Plain(String),
    /// It has no address.
    #[error("cannot find {host}: {source}")]
    Unknown { host: String, source: std::io::Error },
    /// It is inside a network.
    #[error("{host} is inside a network ({address}); an owner can allow that")]
    Inside { host: String, address: IpAddr },
    /// The call failed.
    #[error("cannot reach {host}: {reason}")]
    Failed { host: String, reason: String },
    /// It was refused.
    #[error("{host} answered {status}{words}")]
    Refused { host: String, status: u16, words: String },
}

/// Whether an address can be reached on the open Internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    let is_kept = v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_documentation()
        || v4.is_multicast()
        || matches!((a, b, c), (0 | 240.., ..) | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99) | (198, 18..=19, _));
    !is_kept
}

fn is_public_v6(v6: Ipv6Addr) -> bool {
    let parts = v6.segments();
    let last = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match parts {
        // Mapped, translated and tunnelled addresses are judged by what is inside them.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(last(high, low)),
        [0x2002, high, low, ..] => is_public_v4(last(high, low)),
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

/// The addresses of a host that may be called.
pub(crate) async fn addresses(host: &str, port: u16, inside: Inside) -> Result<Vec<SocketAddr>, Unreached> {
    let unknown = |source| Unreached::Unknown { host: host.to_owned(), source };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let found: Vec<_> = tokio::net::lookup_host((bare, port)).await.map_err(unknown)?.collect();
    let open: Vec<_> =
        found.iter().copied().filter(|found| inside == Inside::Allowed || is_public(found.ip())).collect();
    match (open.is_empty(), found.first()) {
        (false, _) => Ok(open),
        (true, Some(found)) => Err(Unreached::Inside { host: host.to_owned(), address: found.ip() }),
        (true, None) => Err(unknown(std::io::ErrorKind::NotFound.into())),
    }
}

/// An address that may be called, as it is understood.
pub(crate) fn understood(address: &str, inside: Inside) -> Result<Url, Unreached> {
    let nonsense = || Unreached::NoAddress(address.to_owned());
    let url = Url::parse(address.trim()).map_err(|_| nonsense())?;
    match (url.scheme(), url.host_str(), inside) {
        (_, None | Some(""), _) => Err(nonsense()),
        ("https", Some(_), _) | ("http", Some(_), Inside::Allowed) => Ok(url),
        ("http", Some(host), Inside::Refused) => Err(Unreached::Plain(host.to_owned())),
        _ => Err(nonsense()),
    }
}

/// Calls an address; what was answered, in a few words. `request` says what is sent.
pub(crate) async fn call(
    address: &str,
    inside: Inside,
    request: impl FnOnce(&Client, Url) -> RequestBuilder,
) -> Result<String, Unreached> {
    let url = understood(address, inside)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    // A number needs no resolving, and the client would not ask for it.
    if let Ok(literal) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>()
        && inside == Inside::Refused
        && !is_public(literal)
    {
        return Err(Unreached::Inside { host, address: literal });
    }
    let failed = |error: reqwest::Error| Unreached::Failed { host: host.clone(), reason: reason(&error) };
    let client = client(inside).map_err(failed)?;
    let mut answer = request(&client, url).send().await.map_err(failed)?;
    let status = answer.status();
    let mut words = Vec::new();
    while words.len() < LOOKED_AT {
        match answer.chunk().await {
            Ok(Some(piece)) => words.extend_from_slice(&piece[..piece.len().min(LOOKED_AT)]),
            _ => break,
        }
    }
    let words = in_one_line(&words);
    match status.is_success() {
        true => Ok(format!("{host} answered {}{words}", status.as_u16())),
        false => Err(Unreached::Refused { host, status: status.as_u16(), words }),
    }
}

fn client(inside: Inside) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("stead/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(SLOW)
        .dns_resolver(Judging(inside))
        .build()
}

/// Resolves names to addresses that may be called.
struct Judging(Inside);

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        let inside = self.0;
        Box::pin(async move {
            let found = addresses(name.as_str(), 0, inside).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The innermost reason: the outer ones only repeat the address, which may hold a secret.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut inner: &dyn std::error::Error = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

fn in_one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LOOKED_AT)]);
    let text: Vec<_> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    if text.is_empty() { String::new() } else { format!(": {}", text.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_a_network_is_not_public_however_it_is_written() {
        let inside = [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "2001::1",
            "::10.0.0.1",
        ];
        for address in inside {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["9.9.9.9", "2620:fe::fe", "::ffff:9.9.9.9", "172.32.0.1", "100.128.0.1"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn only_addresses_of_the_web_are_understood_and_plain_ones_inside_only() {
        assert!(understood("https://hooks.example/x", Inside::Refused).is_ok());
        assert!(matches!(understood("http://hooks.example/x", Inside::Refused), Err(Unreached::Plain(_))));
        assert!(understood("http://hooks.example/x", Inside::Allowed).is_ok());
        for nonsense in ["", "hooks.example", "file:///etc/passwd", "gopher://x", "https://"] {
            assert!(matches!(understood(nonsense, Inside::Allowed), Err(Unreached::NoAddress(_))), "{nonsense}");
        }
    }

    #[tokio::test]
    async fn nothing_inside_is_called_by_number_or_by_name() {
        for address in ["https://127.0.0.1:9/", "https://[::1]:9/", "https://localhost:9/", "https://2130706433:9/"] {
            let refused = call(address, Inside::Refused, |client, url| client.get(url)).await.unwrap_err();
            assert!(refused.to_string().contains("inside a network"), "{address}: {refused}");
        }
    }
}
