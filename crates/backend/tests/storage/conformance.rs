//! The conformance suite on every backend and wrapper.

use std::path::Path;
use std::sync::Arc;

use stead_backend::{
    Backend, Cache, Class, FileKind, FileName, Id, Limit, Limiter, Local, Memory, Options, Part, Retry, RetryOptions,
    SystemClock, conformance, open,
};

use crate::peer::{self, Server, arguments};

/// Plants files below `folder`.
fn planter(folder: &Path) -> impl Fn(&str, &[u8]) {
    move |path, content| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

fn opened(location: &str, settings: &[&str], credentials: &[(&str, &str)]) -> Arc<dyn Backend> {
    let mut options = Options::default();
    settings.iter().for_each(|setting| options.set(setting).unwrap());
    options.credentials = credentials.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    open(&location.parse().unwrap(), &options).unwrap_or_else(|error| panic!("{location}: {error}"))
}

#[test]
fn memory() {
    conformance::run(Arc::new(Memory::new()), None);
}

#[test]
fn local() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/down/repo");
    conformance::run(Arc::new(Local::new(&root, 4)), Some(&planter(&root)));
}

fn retry<B: Backend>(inner: B) -> Retry<B> {
    Retry::new(inner, RetryOptions::default(), Arc::new(SystemClock), Arc::default(), Arc::new(|_| {}))
}

#[test]
fn retry_over_memory() {
    conformance::run(Arc::new(retry(Memory::new())), None);
}

#[test]
fn limit_over_memory() {
    let rate = std::num::NonZeroU64::new(1 << 30);
    let limiter = Arc::new(Limiter::new(Arc::new(SystemClock), rate, rate));
    conformance::run(Arc::new(Limit::new(Memory::new(), limiter)), None);
}

#[test]
fn cache_over_memory() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::new(Memory::new(), folder.path(), &Id::of(b"repository").to_string()).unwrap();
    conformance::run(Arc::new(cache), None);
}

#[test]
fn all_wrappers_over_local() {
    let (folder, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let root = folder.path().join("repo");
    let limiter = Arc::new(Limiter::new(Arc::new(SystemClock), None, None));
    let inner = retry(Limit::new(Local::new(&root, 4), limiter));
    let cached = Cache::new(inner, cache.path(), &Id::of(b"repository").to_string()).unwrap();
    conformance::run(Arc::new(cached), Some(&planter(&root)));
}

#[test]
fn rest_server() {
    let Some(program) = peer::need("rest_server", "restic-rest-server") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = peer::rest_server(&program, folder.path(), &[]);
    let backend = opened(&format!("rest:http://127.0.0.1:{}/my/repo", server.port), &[], &[]);
    conformance::run(backend, Some(&planter(&folder.path().join("my/repo"))));
}

#[test]
fn rest_server_that_only_appends_keeps_everything_but_locks() {
    let Some(program) = peer::need("rest_server_that_only_appends", "restic-rest-server") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = peer::rest_server(&program, folder.path(), &["--append-only"]);
    let backend = opened(&format!("rest:http://127.0.0.1:{}/", server.port), &[], &[]);
    backend.create().unwrap();
    backend.write(&FileName::CONFIG, b"config").unwrap();
    for kind in FileKind::NAMED {
        let file = FileName::new(kind, Id::of(b"content"));
        backend.write(&file, b"content").unwrap();
        backend.write(&file, b"content").expect("the same bytes again are success");
        match (kind, backend.remove(&file)) {
            (FileKind::Lock, result) => result.expect("locks can be removed"),
            (_, result) => assert_eq!(result.unwrap_err().class, Class::Rejected, "{kind}"),
        }
    }
    assert_eq!(backend.replace_config(b"other").unwrap_err().class, Class::Rejected);
}

#[test]
fn rclone_serves_restics_protocol() {
    let Some(program) = peer::need("rclone_serves_restics_protocol", "rclone") else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let server = Server::start(&program, |port| {
        arguments(["serve", "restic", "--addr", &format!("127.0.0.1:{port}"), "--config", "/dev/null", root])
    });
    let backend = opened(&format!("rest:http://127.0.0.1:{}/repo", server.port), &[], &[]);
    conformance::run(backend, Some(&planter(&folder.path().join("repo"))));
}

#[test]
fn rclone_over_its_pipes() {
    let Some(program) = peer::need("rclone_over_its_pipes", "rclone") else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    let program = format!("rclone.program={} --config /dev/null", program.display());
    let backend = opened(&format!("rclone:{}", root.display()), &[&program], &[]);
    conformance::run(backend, Some(&planter(&root)));
}

#[test]
fn openssh_sftp_server() {
    let Some(program) = peer::need("openssh_sftp_server", "sftp-server") else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/repo");
    let command = format!("sftp.command={}", program.display());
    let backend = opened(&format!("sftp:host:{}", root.display()), &[&command], &[]);
    conformance::run(backend, Some(&planter(&root)));
}

#[test]
fn sftp_starts_again_after_the_connection_broke() {
    let Some(program) = peer::need("sftp_starts_again_after_the_connection_broke", "sftp-server") else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repo");
    // Each connection ends after two seconds, in the middle of whatever is going on.
    let script = format!("sftp.command=sh -c 'timeout 1 {}; echo link is down >&2'", program.display());
    let backend = retry(opened(&format!("sftp:host:{}", root.display()), &[&script], &[]));
    backend.create().unwrap();
    let contents: Vec<Vec<u8>> = (0..40u8).map(|number| vec![number; 4 << 20]).collect();
    for content in &contents {
        backend.write(&FileName::new(FileKind::Pack, Id::of(content)), content).unwrap();
    }
    for content in &contents {
        let mut stored = Vec::new();
        backend.read(&FileName::new(FileKind::Pack, Id::of(content)), Part::Whole, &mut stored).unwrap();
        assert!(stored == *content);
    }
    assert_eq!(backend.list(FileKind::Pack).unwrap().len(), contents.len());
}

/// An S3 server on a folder that holds one bucket.
fn s3_server(program: &Path, folder: &Path) -> Server {
    std::fs::create_dir(folder.join("bucket")).unwrap();
    let folder = folder.to_str().unwrap();
    Server::start(program, |port| {
        let address = format!("127.0.0.1:{port}");
        arguments(["serve", "s3", "--addr", &address, "--auth-key", "access,secret", "--config", "/dev/null", folder])
    })
}

const S3_KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "access"), ("AWS_SECRET_ACCESS_KEY", "secret")];

#[test]
fn s3() {
    let Some(program) = peer::need_s3("s3") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = s3_server(&program, folder.path());
    let backend = opened(&format!("s3:http://127.0.0.1:{}/bucket/some/prefix", server.port), &[], &S3_KEYS);
    conformance::run(backend, Some(&planter(&folder.path().join("bucket/some/prefix"))));
}

#[test]
fn s3_with_wrong_keys_or_without_a_bucket_is_refused() {
    let Some(program) = peer::need_s3("s3_with_wrong_keys") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = s3_server(&program, folder.path());
    let wrong = [("AWS_ACCESS_KEY_ID", "access"), ("AWS_SECRET_ACCESS_KEY", "wrong")];
    let address = format!("s3:http://127.0.0.1:{}", server.port);
    let error = opened(&format!("{address}/bucket"), &[], &wrong).create().unwrap_err();
    assert_eq!(error.class, Class::Rejected, "{error}");
    let error = opened(&format!("{address}/nowhere"), &[], &S3_KEYS).create().unwrap_err();
    assert_eq!(error.class, Class::Permanent, "{error}");
    assert!(error.message.contains("does not exist"), "{error}");
}
