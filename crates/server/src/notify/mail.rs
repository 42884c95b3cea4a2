//! E-mail: by a mail server that takes it for us, over TLS, or in plain to this machine alone.

use std::net::SocketAddr;
use std::time::Duration;

use continuity::Person;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use super::firm::{Inside, MailServer, Protection};
use super::letter::{Letter, one_line};
use super::reach::{SLOW, addresses};
use super::sending::Unsent;

/// Sends; what the server answered.
pub(super) async fn send(server: &MailServer, inside: Inside, to: &Person, letter: &Letter) -> Result<String, Unsent> {
    let message = written(server, to, letter)?;
    let host = &server.host;
    let address = address(server, inside).await?;
    let tried = |reason: String| Unsent::Mail { host: host.clone(), reason };
    let mailer = mailer(server, address).map_err(|error| tried(words(&error)))?;
    let sent = tokio::time::timeout(SLOW + SLOW, mailer.send(message)).await;
    let answer = sent.map_err(|_| tried("no answer in time".into()))?.map_err(|error| tried(words(&error)))?;
    let lines: Vec<_> = answer.message().collect();
    Ok(format!("{host} answered {} {}", answer.code(), lines.join(" ")))
}

/// What the server is reached by now.
async fn address(server: &MailServer, inside: Inside) -> Result<SocketAddr, Unsent> {
    if server.protection != Protection::Plain {
        return Ok(addresses(&server.host, server.port, inside).await?[0]);
    }
    let found = addresses(&server.host, server.port, Inside::Allowed).await?;
    let own = found.into_iter().find(|found| found.ip().is_loopback());
    own.ok_or_else(|| Unsent::PlainAway(server.host.clone()))
}

/// Calls exactly the address that was judged, and expects the certificate of the name.
fn mailer(
    server: &MailServer,
    address: SocketAddr,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, lettre::transport::smtp::Error> {
    let tls = match server.protection {
        Protection::Tls => Tls::Wrapper(trust(server)?),
        Protection::Starttls => Tls::Required(trust(server)?),
        Protection::Plain => Tls::None,
    };
    let mut mailer = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(address.ip().to_string())
        .port(address.port())
        .tls(tls)
        .timeout(Some(Duration::from_secs(20)));
    if !server.user.is_empty() {
        mailer = mailer.credentials(Credentials::new(server.user.clone(), server.password.0.clone()));
    }
    Ok(mailer.build())
}

/// What its certificate must be of: its name, by its own authority alone where it has one.
fn trust(server: &MailServer) -> Result<TlsParameters, lettre::transport::smtp::Error> {
    let wanted = TlsParameters::builder(server.host.clone());
    match server.authority.as_str() {
        "" => wanted.build(),
        pem => {
            let authority = Certificate::from_pem(pem.as_bytes())?;
            wanted.certificate_store(CertificateStore::None).add_root_certificate(authority).build()
        }
    }
}

fn written(server: &MailServer, to: &Person, letter: &Letter) -> Result<Message, Unsent> {
    let mailbox = |address: &str, name: &str| -> Result<Mailbox, Unsent> {
        let address: Address = address.parse().map_err(|_| Unsent::NoMailbox(address.to_owned()))?;
        Ok(Mailbox::new(Some(one_line(name)), address))
    };
    let from = mailbox(&server.from, &format!("stead, {}", letter.firm))?;
    let domain = from.email.domain().to_owned();
    let thread = letter.alert.as_ref().map(|alert| format!("<{alert}@{domain}>"));
    let mut message = Message::builder()
        .from(from)
        .to(mailbox(&to.email, &to.name)?)
        .subject(letter.subject())
        .message_id(Some(format!("<{}@{domain}>", letter.id)))
        .header(ContentType::TEXT_PLAIN);
    if let Some(thread) = thread {
        message = message.references(thread);
    }
    Ok(message.body(letter.text())?)
}

/// What is wrong with a certificate, as the TLS library says it, and in words.
const CERTIFICATES: [(&str, &str); 4] = [
    (
        "UnknownIssuer",
        "its certificate comes from nobody who is trusted here. If it has an authority of its own, give that authority's \
         certificate with the server's settings",
    ),
    ("BadSignature", "its certificate was not signed by the authority that is trusted for it"),
    ("not valid for name", "its certificate is for another name"),
    ("Expired", "its certificate has ended"),
];

/// An error with its causes; the library's own words say little.
fn words(error: &lettre::transport::smtp::Error) -> String {
    let mut words = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        let more = source.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        next = source.source();
    }
    let known = CERTIFICATES.iter().find(|(sign, _)| words.contains("certificate") && words.contains(sign));
    known.map_or_else(|| words.clone(), |(_, meant)| format!("{meant} ({words})"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::notify::firm::Kept;

    fn server(protection: Protection, host: &str) -> MailServer {
        let (user, password) = (String::new(), Kept::default());
        let (from, authority) = ("stead@example.org".into(), String::new());
        MailServer { host: host.into(), port: 25, protection, user, password, from, authority }
    }

    #[tokio::test]
    async fn nothing_goes_in_plain_to_another_machine() {
        let away = address(&server(Protection::Plain, "192.0.2.1"), Inside::Allowed).await.unwrap_err();
        assert!(away.to_string().contains("needs TLS or STARTTLS"), "{away}");
        assert!(address(&server(Protection::Plain, "127.0.0.1"), Inside::Refused).await.is_ok());
        let inside = address(&server(Protection::Tls, "127.0.0.1"), Inside::Refused).await.unwrap_err();
        assert!(inside.to_string().contains("an owner can allow that"), "{inside}");
    }

    #[test]
    fn names_and_sentences_cannot_add_headers() {
        for evil in [
            "Jim\r\nBcc: z@example.org",
            "\u{85}\u{2028}\0\u{7f}",
            "\"<>\\,;:()",
            "",
            "株式会社 👩🏽‍💻",
            &"x".repeat(9_000),
        ] {
            let mut letter = Letter::test(evil, "https://s.example", [0; 10], Timestamp::UNIX_EPOCH);
            letter.sentence = evil.to_owned();
            let id = continuity::PersonId::new(fleet::Uuid::nil());
            let to = Person { id, name: evil.to_owned(), email: "jim@example.org".into() };
            let message = written(&server(Protection::Plain, "localhost"), &to, &letter).unwrap();
            let text = String::from_utf8(message.formatted()).unwrap();
            let (head, _) = text.split_once("\r\n\r\n").unwrap();
            assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
        }
    }
}
