//! Azure and Google Cloud, as their emulators speak: `azurite-blob` and `fake-gcs-server`.

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

/// A running fake of Google's storage; each folder of its root is a bucket.
fn google_server(test: &str) -> Option<(tempfile::TempDir, Server)> {
    let program = peer::need(test, "fake-gcs-server")?;
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("bucket")).unwrap();
    let server = Server::start(&program, |port| {
        let (port, root) = (port.to_string(), folder.path().to_str().unwrap());
        let address = format!("127.0.0.1:{port}");
        let mut words = arguments(["-scheme", "http", "-host", "127.0.0.1", "-port", &port, "-filesystem-root", root]);
        words.extend(arguments(["-public-host", &address, "-log-level", "error"]));
        words
    });
    Some((folder, server))
}

#[test]
fn google_cloud() {
    let Some((_folder, server)) = google_server("google_cloud") else { return };
    let endpoint = format!("gs.endpoint=http://127.0.0.1:{}", server.port);
    let token = [("GOOGLE_ACCESS_TOKEN", "token")];
    conformance::run(opened("gs:bucket:/some/prefix", &[&endpoint], &token), None);
    let host = format!("127.0.0.1:{}", server.port);
    conformance::run(opened("gs:bucket:/", &[], &[("STORAGE_EMULATOR_HOST", &host)]), None);
}

#[test]
fn google_cloud_without_a_bucket_is_refused() {
    let Some((_folder, server)) = google_server("google_cloud_without_a_bucket") else { return };
    let host = format!("http://127.0.0.1:{}/", server.port);
    let backend = opened("gs:nowhere:/", &[], &[("STORAGE_EMULATOR_HOST", &host)]);
    let error = backend.create().unwrap_err();
    assert_eq!(error.class, Class::Permanent, "{error}");
    assert!(error.message.contains("does not exist"), "{error}");
}
