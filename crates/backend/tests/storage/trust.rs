//! Servers that must be believed, and that must believe us: certificates, users and their passwords, on real servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use stead_backend::{
    Backend, Class, Error, FileKind, FileName, HttpOptions, Options, Retry, RetryEvent, RetryObserver, RetryOptions,
    SystemClock, conformance, open,
};
use testkit::{Authority, Certificate, Validity};

use crate::peer::{self, Server, arguments};

/// A server that speaks TLS, and who vouches for it.
struct Story {
    authority: Authority,
    folder: tempfile::TempDir,
    server: Server,
}

/// restic's server, with a certificate for `names`.
fn rest_server(test: &str, names: &str, validity: Validity) -> Option<Story> {
    let program = peer::need(test, "restic-rest-server")?;
    peer::need(test, "openssl")?;
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let own = authority.issue("server", names, validity);
    let more = ["--tls", "--tls-cert", path(&own.certificate), "--tls-key", path(&own.key)];
    let server = peer::rest_server(&program, folder.path(), &more);
    Some(Story { authority, folder, server })
}

/// rclone, which lets only those in whose certificate is from `authority`.
fn particular_server(test: &str) -> Option<Story> {
    let program = peer::need(test, "rclone")?;
    peer::need(test, "openssl")?;
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let own = authority.for_this_machine();
    let trusted = authority.certificate();
    let server = Server::start(&program, |port| {
        let address = format!("127.0.0.1:{port}");
        let certificates = ["--cert", path(&own.certificate), "--key", path(&own.key), "--client-ca", path(&trusted)];
        let mut words = arguments(["serve", "restic", "--config", "/dev/null", "--addr", &address]);
        words.extend(certificates.map(str::to_owned));
        words.push(path(folder.path()).to_owned());
        words
    });
    Some(Story { authority, folder, server })
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Story {
    fn open(&self, http: HttpOptions) -> Arc<dyn Backend> {
        let location = format!("rest:https://127.0.0.1:{}/repo/", self.server.port);
        let options = Options { http, ..Options::default() };
        open(&location.parse().unwrap(), &options).unwrap()
    }

    fn conforms(&self, http: HttpOptions) {
        let root = self.folder.path().join("repo");
        let plant = |name: &str, content: &[u8]| {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), content).unwrap();
        };
        conformance::run(self.open(http), Some(&plant));
    }

    /// What is said, once and without a second attempt, by every operation.
    fn refusal(&self, http: HttpOptions) -> Error {
        self.refusal_after(http, Arc::new(|event| panic!("nothing to wait for: {event:?}")))
    }

    /// What every operation says in the end; `observer` is told of each further attempt.
    fn refusal_after(&self, http: HttpOptions, observer: RetryObserver) -> Error {
        let options = RetryOptions { first_wait: Duration::from_millis(20), ..RetryOptions::default() };
        let patient = Retry::new(self.open(http), options, Arc::new(SystemClock), Arc::default(), observer);
        let error = patient.create().unwrap_err();
        assert_eq!(patient.list(FileKind::Pack).unwrap_err().class, error.class, "{error}");
        assert_eq!(patient.write(&FileName::CONFIG, &vec![7; 300_000]).unwrap_err().class, error.class, "{error}");
        assert_eq!(patient.size(&FileName::CONFIG).unwrap_err().class, error.class, "{error}");
        error
    }
}

fn trusting(authority: &Authority) -> HttpOptions {
    HttpOptions { authorities: vec![authority.certificate()], ..HttpOptions::default() }
}

fn showing(story: &Story, own: &Certificate) -> HttpOptions {
    HttpOptions { identity: Some(own.both.clone()), ..trusting(&story.authority) }
}

const HERE: &str = "DNS:localhost,IP:127.0.0.1";

#[test]
fn a_server_whose_authority_we_were_told_is_used() {
    let Some(story) = rest_server("a_server_whose_authority", HERE, Validity::Today) else { return };
    story.conforms(trusting(&story.authority));
}

#[test]
fn one_of_several_authorities_is_enough() {
    let Some(story) = rest_server("one_of_several_authorities", HERE, Validity::Today) else { return };
    let other = Authority::new();
    let authorities = vec![other.certificate(), story.authority.certificate()];
    story.open(HttpOptions { authorities, ..HttpOptions::default() }).create().unwrap();
}

#[test]
fn a_server_that_no_trusted_authority_vouches_for_is_refused_at_once() {
    let Some(story) = rest_server("a_server_that_no_trusted_authority", HERE, Validity::Today) else { return };
    let other = Authority::new();
    for http in [HttpOptions::default(), trusting(&other)] {
        let error = story.refusal(http);
        assert_eq!(error.class, Class::Untrusted, "{error}");
        assert!(error.message.contains("UnknownIssuer"), "{error}");
    }
}

#[test]
fn an_expired_certificate_is_refused_and_says_so() {
    let Some(story) = rest_server("an_expired_certificate", HERE, Validity::Past) else { return };
    let error = story.refusal(trusting(&story.authority));
    assert_eq!(error.class, Class::Untrusted, "{error}");
    assert!(error.message.contains("expired"), "{error}");
}

#[test]
fn a_certificate_for_another_name_is_refused_and_names_it() {
    let Some(story) = rest_server("a_certificate_for_another_name", "DNS:box.example", Validity::Today) else { return };
    let error = story.refusal(trusting(&story.authority));
    assert_eq!(error.class, Class::Untrusted, "{error}");
    assert!(error.message.contains("127.0.0.1") && error.message.contains("box.example"), "{error}");
}

#[test]
fn whoever_insists_may_believe_any_certificate() {
    let Some(story) = rest_server("whoever_insists", "DNS:box.example", Validity::Past) else { return };
    story.conforms(HttpOptions { insecure: true, ..HttpOptions::default() });
}

#[test]
fn a_server_that_wants_our_certificate_sees_it() {
    let Some(story) = particular_server("a_server_that_wants_our_certificate") else { return };
    let own = story.authority.issue("anna", HERE, Validity::Today);
    story.conforms(showing(&story, &own));
}

/// With TLS 1.3 our side of the handshake ends before the server has judged our certificate. When it hangs up before the
/// request is on its way, the HTTP library forgets the alert and says that the connection was lost; the next attempt
/// meets the alert. That must never look like a network that is away, which would be waited for.
fn the_alert_was_late(event: &RetryEvent<'_>) {
    assert!(matches!(event, RetryEvent::Retrying { error, .. } if error.class == Class::Transient), "{event:?}");
}

#[test]
fn a_server_that_wants_our_certificate_and_gets_none_or_a_wrong_one_is_told_apart_from_a_bad_network() {
    let Some(story) = particular_server("a_server_that_wants_our_certificate_and_gets_none") else { return };
    let stranger = Authority::new();
    let wrong = stranger.issue("mallory", HERE, Validity::Today);
    let old = story.authority.issue("anna", HERE, Validity::Past);
    for http in [trusting(&story.authority), showing(&story, &wrong), showing(&story, &old)] {
        let error = story.refusal_after(http, Arc::new(the_alert_was_late));
        assert_eq!(error.class, Class::Untrusted, "{error}");
        assert!(error.message.to_lowercase().contains("certificate"), "{error}");
    }
}

#[test]
fn files_that_hold_no_certificates_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let nonsense = folder.path().join("nonsense.pem");
    std::fs::write(&nonsense, "no certificate at all").unwrap();
    let missing = folder.path().join("missing.pem");
    let error = |http: HttpOptions| {
        let options = Options { http, ..Options::default() };
        open(&"rest:https://localhost/".parse().unwrap(), &options).err().expect("an error").to_string()
    };
    for file in [&nonsense, &missing] {
        let authorities = HttpOptions { authorities: vec![PathBuf::clone(file)], ..HttpOptions::default() };
        let identity = HttpOptions { identity: Some(PathBuf::clone(file)), ..HttpOptions::default() };
        for text in [error(authorities), error(identity)] {
            assert!(text.contains(path(file)), "{text}");
        }
    }
}

/// User `anna` with the password `secret`, as `htpasswd -s` writes it.
const USERS: &str = "anna:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";

#[test]
fn users_say_their_name_and_password_in_the_address_or_apart() {
    let Some(program) = peer::need("users_say_their_name", "restic-rest-server") else { return };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".htpasswd"), USERS).unwrap();
    let server = Server::start(&program, |port| {
        let address = format!("127.0.0.1:{port}");
        arguments(["--listen", &address, "--path", path(folder.path()), "--private-repos"])
    });
    let create = |user: &str, credentials: &[(&str, &str)]| {
        let location = format!("rest:http://{user}127.0.0.1:{}/anna/", server.port).parse().unwrap();
        let mut options = Options::default();
        options.credentials.extend(credentials.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        open(&location, &options).unwrap().create()
    };
    let named = |password| [("RESTIC_REST_USERNAME", "anna"), ("RESTIC_REST_PASSWORD", password)];
    create("anna:secret@", &[]).unwrap();
    create("", &named("secret")).unwrap();
    create("anna:wrong@", &named("secret")).expect("what is said apart replaces the address");
    for error in [create("anna:wrong@", &[]), create("", &named("wrong")), create("", &[])] {
        let error = error.unwrap_err();
        assert_eq!(error.class, Class::Rejected, "{error}");
        assert!(error.message.contains("401 Unauthorized"), "{error}");
        assert!(!error.to_string().contains("wrong"), "{error}");
    }
}

#[test]
fn a_server_on_a_unix_socket_is_used() {
    let Some(program) = peer::need("a_server_on_a_unix_socket", "restic-rest-server") else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("rest.sock");
    let store = folder.path().join("store");
    let listen = format!("unix:{}", socket.display());
    let words = arguments(["--no-auth", "--listen", &listen, "--path", path(&store)]);
    let _server = Server::start_on_socket(&program, &socket, words);
    let location = format!("rest:http+unix://{}:/my/repo/", socket.display());
    let backend = open(&location.parse().unwrap(), &Options::default()).unwrap();
    conformance::run(
        backend,
        Some(&|name, content| {
            let file = store.join("my/repo").join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, content).unwrap();
        }),
    );
}

#[test]
fn a_socket_where_nobody_listens_is_a_storage_that_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let location = format!("rest:http+unix://{}:/repo/", folder.path().join("none.sock").display());
    let backend = open(&location.parse().unwrap(), &Options::default()).unwrap();
    assert_eq!(backend.create().unwrap_err().class, Class::Offline);
}
