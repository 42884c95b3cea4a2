//! Parts apart: the server, the gateway and the keeper as processes of their own, on the loopback without TLS.

use std::process::Stdio;

use serde_json::Value;
use testkit::lasting_port;

use crate::firm::Site;
use crate::part::{Part, stead, told};

fn part(site: &Site, name: &str, port: Option<u16>, words: &[&str]) -> Part {
    Part::new(site.room.path(), name, port, words.iter().copied().map(str::to_owned).collect())
}

/// The server alone.
pub(crate) fn server(site: &Site) -> Part {
    let (listen, data) = (format!("127.0.0.1:{}", site.port), site.data.to_str().expect("text"));
    let words = ["server", "run", "--json", "--plain", "--listen", &listen, "--data", data];
    part(site, "server", Some(site.port), &[&words[..], &["--database-url", &site.database]].concat())
}

/// A gateway on the server's database, with repositories where [`crate::firm::Firm::repository`] looks for them.
pub(crate) fn gateway(site: &Site) -> Part {
    let (port, state, storage) = (lasting_port(), site.room.path().join("gateway"), site.data.join("repositories"));
    std::fs::create_dir_all(&storage).expect("a folder");
    let (state, storage) = (state.to_str().expect("text"), storage.to_str().expect("text"));
    let listen = format!("127.0.0.1:{port}");
    let words = ["gateway", "run", "--json", "--plain", "--listen", &listen, "--state", state];
    let more = ["--database-url", &site.database, "--storage", storage];
    part(site, "gateway", Some(port), &[&words[..], &more].concat())
}

/// A keeper that the server, which runs, knows.
pub(crate) fn keeper(site: &Site) -> Part {
    let state = site.room.path().join("keeper");
    let (state, server) = (state.to_str().expect("text"), format!("http://127.0.0.1:{}", site.port));
    let made = says(site, &["keeper", "init", "--json", "--state", state, "--server", &server]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let [identity, public] = ["identity", "public"].map(|key| made[key].as_str().expect("a key"));
    let add = ["server", "keeper", "add", "vault", "--identity", identity, "--public", public];
    says(site, &[&add[..], &["--database-url", &site.database]].concat());
    part(site, "keeper", None, &["keeper", "run", "--state", state])
}

#[track_caller]
fn says(site: &Site, words: &[&str]) -> String {
    let output = stead(site.room.path()).args(words).stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{words:?}: {}", told(&output));
    String::from_utf8(output.stdout).expect("text")
}
