//! Azure as its emulator speaks: `azurite-blob`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use stead_backend::{Backend, Class, Options, conformance, open};

use crate::peer::{self, Server, arguments};

/// The account that azurite knows, and its key, which is public.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

fn opened(location: &str, settings: &[&str], credentials: &[(&str, &str)]) -> Arc<dyn Backend> {
    let mut options = Options::default();
    settings.iter().for_each(|setting| options.set(setting).unwrap());
    options.credentials = credentials.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    open(&location.parse().unwrap(), &options).unwrap_or_else(|error| panic!("{location}: {error}"))
}

/// A running azurite with an empty container.
struct Azure {
    folder: tempfile::TempDir,
    server: Server,
}

impl Azure {
    fn start(test: &str) -> Option<Azure> {
        let program = peer::need(test, "azurite-blob")?;
        let rclone = peer::need(test, "rclone")?;
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(&program, |port| {
            let port = port.to_string();
            let quiet = ["--silent", "--disableTelemetry", "--skipApiVersionCheck"];
            let mut words = arguments(["--blobPort", &port, "--location", folder.path().to_str().unwrap()]);
            words.extend(quiet.map(str::to_owned));
            words
        });
        let azure = Azure { folder, server };
        azure.make_container(&rclone);
        Some(azure)
    }

    fn make_container(&self, rclone: &Path) {
        let remote = format!(":azureblob,account={ACCOUNT},key='{KEY}',endpoint='{}':container", self.endpoint());
        let output = Command::new(rclone)
            .args(["mkdir", "--config", "/dev/null", &remote])
            .env("HOME", self.folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}/{ACCOUNT}", self.server.port)
    }

    fn open(&self, location: &str, key: &str) -> Arc<dyn Backend> {
        let endpoint = format!("azure.endpoint={}", self.endpoint());
        opened(location, &[&endpoint], &[("AZURE_ACCOUNT_NAME", ACCOUNT), ("AZURE_ACCOUNT_KEY", key)])
    }
}

#[test]
fn azure() {
    let Some(azure) = Azure::start("azure") else { return };
    conformance::run(azure.open("azure:container:/some/prefix", KEY), None);
    conformance::run(azure.open("azure:container:/", KEY), None);
}

#[test]
fn azure_with_a_wrong_key_or_without_a_container_is_refused() {
    let Some(azure) = Azure::start("azure_with_a_wrong_key") else { return };
    let wrong = KEY.replace("Eby8", "Eby9");
    let error = azure.open("azure:container:/", &wrong).create().unwrap_err();
    assert_eq!(error.class, Class::Rejected, "{error}");
    let error = azure.open("azure:nowhere:/", KEY).create().unwrap_err();
    assert_eq!(error.class, Class::Permanent, "{error}");
    assert!(error.message.contains("does not exist"), "{error}");
}
