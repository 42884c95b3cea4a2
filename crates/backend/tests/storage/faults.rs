//! Networks and servers that fail: what arrived is success, what did not is tried again, and nobody is believed twice.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stead_backend::{
    Backend, Class, FileKind, FileName, Id, Options, Part, ReadBack, Retry, RetryEvent, RetryOptions, SystemClock, open,
};

use crate::peer::{self, Server};
use crate::proxy::{Fault, Proxy};

/// A repository on restic's server behind a proxy that fails as told.
struct Story {
    proxy: Proxy,
    plain: Arc<dyn Backend>,
    told: Arc<Mutex<Vec<Class>>>,
    folder: tempfile::TempDir,
    _server: Server,
}

fn story(test: &str, server_options: &[&str], read_back: ReadBack) -> Option<Story> {
    let program = peer::need(test, "restic-rest-server")?;
    let folder = tempfile::tempdir().unwrap();
    let server = peer::rest_server(&program, folder.path(), server_options);
    let proxy = Proxy::start(server.port);
    let options = Options { read_back, ..Options::default() };
    let location = format!("rest:http://127.0.0.1:{}/repo/", proxy.port).parse().unwrap();
    let plain = open(&location, &options).unwrap();
    plain.create().unwrap();
    plain.write(&FileName::CONFIG, b"config").unwrap();
    Some(Story { proxy, plain, told: Arc::default(), folder, _server: server })
}

impl Story {
    fn retrying(&self) -> Retry<Arc<dyn Backend>> {
        let options = RetryOptions { first_wait: Duration::from_millis(10), ..RetryOptions::default() };
        let told = Arc::clone(&self.told);
        let observer = Arc::new(move |event: &RetryEvent<'_>| {
            if let RetryEvent::Retrying { error, .. } = event {
                told.lock().unwrap().push(error.class);
            }
        });
        Retry::new(Arc::clone(&self.plain), options, Arc::new(SystemClock), Arc::default(), observer)
    }
    fn told(&self) -> Vec<Class> {
        self.told.lock().unwrap().clone()
    }
    fn read(&self, file: &FileName) -> Vec<u8> {
        let mut content = Vec::new();
        self.plain.read(file, Part::Whole, &mut content).unwrap();
        content
    }
}

fn pack(length: usize) -> (FileName, Vec<u8>) {
    let content: Vec<u8> = (0..length).map(|at| (at * at / 7) as u8).collect();
    (FileName::new(FileKind::Pack, Id::of(&content)), content)
}

/// F2, F7: on an append-only server a repeated upload is refused, which restic takes for a failure.
#[test]
fn a_lost_answer_after_a_write_is_success() {
    for more in [&[][..], &["--append-only"]] {
        let Some(story) = story("a_lost_answer_after_a_write", more, ReadBack::WhenUnclear) else { return };
        for length in [10, 300_000, 5 << 20] {
            let (file, content) = pack(length);
            story.proxy.next("POST", &[Fault::LoseAnswer]);
            story.plain.write(&file, &content).unwrap();
            assert!(story.proxy.is_done());
            assert!(story.read(&file) == content);
        }
    }
}

/// A wire that is cut again and again: the answer is lost, then the question what is stored, then the upload is refused
/// because it is there, and the same question is lost again.
#[test]
fn a_refusal_about_our_own_bytes_is_no_failure_even_if_the_question_what_is_stored_is_lost() {
    for lost in [Fault::LoseAnswer, Fault::Status(502), Fault::Status(503)] {
        let Some(story) = story("a_refusal_about_our_own", &[], ReadBack::WhenUnclear) else { return };
        let (file, content) = pack(200_000);
        let before = story.proxy.count("POST");
        story.proxy.next("POST", &[Fault::LoseAnswer]);
        story.proxy.next("HEAD", &[lost, lost]);
        story.retrying().write(&file, &content).unwrap();
        assert!(story.proxy.is_done(), "{lost:?}");
        assert_eq!(story.proxy.count("POST") - before, 3, "{lost:?}: one whose answer is lost, two that are refused");
        assert!(story.read(&file) == content);
    }
}

#[test]
fn a_lost_answer_whose_bytes_never_arrived_is_written_again() {
    let Some(story) = story("a_lost_answer_whose_bytes", &[], ReadBack::WhenUnclear) else { return };
    let (file, content) = pack(200_000);
    story.proxy.next("POST", &[Fault::Status(502), Fault::Status(500), Fault::LoseAnswer]);
    story.retrying().write(&file, &content).unwrap();
    assert_eq!(story.told(), [Class::Transient, Class::Transient]);
    assert!(story.proxy.is_done() && story.read(&file) == content);
}

#[test]
fn a_cut_answer_is_read_again_and_never_taken_for_the_file() {
    let Some(story) = story("a_cut_answer", &[], ReadBack::WhenUnclear) else { return };
    let (file, content) = pack(1 << 20);
    story.plain.write(&file, &content).unwrap();
    for part in [Part::Whole, Part::Range { offset: 1000, length: 500_000 }, Part::Tail(100_000)] {
        let (offset, length) = part.within(1 << 20, &file).unwrap();
        story.proxy.next("GET", &[Fault::CutAnswer]);
        assert!(story.plain.read(&file, part, &mut Vec::new()).unwrap_err().is_retryable());
        story.proxy.next("GET", &[Fault::CutAnswer, Fault::LoseAnswer]);
        let mut read = Vec::new();
        story.retrying().read(&file, part, &mut read).unwrap();
        assert!(read == content[offset as usize..][..length]);
    }
}

/// F6: a listing that fails is never an empty one.
#[test]
fn a_listing_that_breaks_off_is_an_error() {
    let Some(story) = story("a_listing_that_breaks_off", &[], ReadBack::WhenUnclear) else { return };
    for number in 0..20u8 {
        let content = [number; 10];
        story.plain.write(&FileName::new(FileKind::Index, Id::of(&content)), &content).unwrap();
    }
    use Fault::{CutAnswer, Lie, LoseAnswer, Rubbish, Status};
    for fault in [CutAnswer, LoseAnswer, Status(500), Status(503), Lie, Rubbish] {
        story.proxy.next("GET", &[fault]);
        assert!(story.plain.list(FileKind::Index).unwrap_err().is_retryable(), "{fault:?}");
    }
    assert_eq!(story.plain.list(FileKind::Index).unwrap().len(), 20);
}

/// F6: rest-server answers "not found" to a listing during which a temporary file got its final name. Found by sixteen
/// threads that wrote and listed at once.
#[test]
fn a_listing_that_says_not_found_is_asked_again_before_it_is_believed() {
    let Some(story) = story("a_listing_that_says_not_found", &[], ReadBack::WhenUnclear) else { return };
    story.plain.write(&FileName::new(FileKind::Lock, Id::of(b"lock")), b"lock").unwrap();
    story.proxy.next("GET", &[Fault::Status(404); 5]);
    assert_eq!(story.plain.list(FileKind::Lock).unwrap().len(), 1);
    assert!(story.proxy.is_done());
}

/// F8: storage that says yes and stores nothing.
#[test]
fn a_server_that_lies_about_a_write_is_found_out_when_read_back() {
    let Some(story) = story("a_server_that_lies", &[], ReadBack::Always) else { return };
    let (file, content) = pack(100_000);
    story.proxy.next("POST", &[Fault::Lie]);
    assert_eq!(story.plain.write(&file, &content).unwrap_err().class, Class::Transient);
    story.proxy.next("POST", &[Fault::Lie, Fault::Lie]);
    story.retrying().write(&file, &content).unwrap();
    assert!(story.proxy.is_done() && story.read(&file) == content);
}

#[test]
fn a_server_that_asks_for_patience_gets_it() {
    let Some(story) = story("a_server_that_asks_for_patience", &[], ReadBack::WhenUnclear) else { return };
    let (file, content) = pack(1000);
    let start = Instant::now();
    story.proxy.next("POST", &[Fault::RetryAfter(429, 1), Fault::RetryAfter(503, 1)]);
    story.retrying().write(&file, &content).unwrap();
    assert_eq!(story.told(), [Class::Throttled, Class::Throttled]);
    assert!(start.elapsed() >= Duration::from_secs(2));
}

#[test]
fn full_refused_and_unauthorized_are_told_at_once() {
    let Some(story) = story("full_refused_and_unauthorized", &[], ReadBack::WhenUnclear) else { return };
    for (status, class) in [(507, Class::Full), (413, Class::Full), (401, Class::Rejected), (403, Class::Rejected)] {
        let (file, content) = pack(1000 + usize::from(status));
        let posts = story.proxy.count("POST");
        story.proxy.next("POST", &[Fault::Status(status)]);
        assert_eq!(story.retrying().write(&file, &content).unwrap_err().class, class, "{status}");
        assert_eq!(story.proxy.count("POST"), posts + 1, "{status}");
    }
    let config = FileName::CONFIG;
    story.proxy.next("GET", &[Fault::Status(401)]);
    assert_eq!(story.retrying().read(&config, Part::Whole, &mut Vec::new()).unwrap_err().class, Class::Rejected);
}

#[test]
fn a_truncated_file_under_a_final_name_is_refused_and_never_taken_for_success() {
    let Some(story) = story("a_truncated_file", &[], ReadBack::WhenUnclear) else { return };
    let (file, content) = pack(50_000);
    let path = story.folder.path().join("repo").join(file.path());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &content[..20_000]).unwrap();
    assert_eq!(story.plain.write(&file, &content).unwrap_err().class, Class::Rejected);
}

#[test]
fn a_server_that_is_away_is_waited_for_and_then_used() {
    let Some(program) = peer::need("a_server_that_is_away", "restic-rest-server") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = peer::rest_server(&program, folder.path(), &[]);
    let port = server.port;
    let location = format!("rest:http://127.0.0.1:{port}/repo/").parse().unwrap();
    let plain = open(&location, &Options::default()).unwrap();
    plain.create().unwrap();
    drop(server);
    let (offline, online) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (went, came) = (Arc::clone(&offline), Arc::clone(&online));
    let observer = Arc::new(move |event: &RetryEvent<'_>| match event {
        RetryEvent::Offline { .. } => drop(went.fetch_add(1, Ordering::SeqCst)),
        RetryEvent::Online { .. } => drop(came.fetch_add(1, Ordering::SeqCst)),
        RetryEvent::Retrying { .. } => {}
    });
    let retry = Retry::new(plain, RetryOptions::default(), Arc::new(SystemClock), Arc::default(), observer);
    let (file, content) = pack(100_000);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| retry.write(&file, &content));
        while offline.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(retry.offline_since().is_some());
        let _server = restart(&program, folder.path(), port);
        writing.join().unwrap().unwrap();
    });
    assert_eq!((offline.load(Ordering::SeqCst), online.load(Ordering::SeqCst)), (1, 1));
}

fn restart(program: &Path, folder: &Path, port: u16) -> Server {
    Server::start_at(program, port, peer::rest_server_arguments(port, folder, &[]))
}

#[test]
fn a_limited_upload_takes_its_time_and_hurries_when_allowed() {
    let Some(program) = peer::need("a_limited_upload", "restic-rest-server") else { return };
    let folder = tempfile::tempdir().unwrap();
    let server = peer::rest_server(&program, folder.path(), &[]);
    let rate = std::num::NonZeroU64::new(1 << 20);
    let limiter = Arc::new(stead_backend::Limiter::new(Arc::new(SystemClock), rate, None));
    let options = Options { limiter: Some(Arc::clone(&limiter)), ..Options::default() };
    let plain = open(&format!("rest:http://127.0.0.1:{}/", server.port).parse().unwrap(), &options).unwrap();
    plain.create().unwrap();
    let (file, content) = pack(3 << 20);
    let start = Instant::now();
    plain.write(&file, &content).unwrap();
    let took = start.elapsed().as_secs_f64();
    assert!((2.5..6.0).contains(&took), "{took}");
    limiter.set_upload(None);
    let start = Instant::now();
    let (file, content) = pack((3 << 20) + 1);
    plain.write(&file, &content).unwrap();
    assert!(start.elapsed() < Duration::from_secs(2));
}
