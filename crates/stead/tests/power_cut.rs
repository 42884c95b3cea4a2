//! The power goes off at any moment. What a disk then holds is what was flushed, in the worst case nothing else: the system
//! calls of whole runs are written down, and every moment of them is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use testkit::{Peer, Shop, sample};

const STEAD: &str = env!("CARGO_BIN_EXE_stead");

/// Something that matters to what is on disk. Paths are relative to the repository.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Written(String),
    Flushed(String),
    Renamed(String, String),
    Removed(String),
}

/// Runs a command under strace and returns what it did to the repository, in order.
fn events_of(shop: &mut Shop, strace: &Peer, words: &[&str]) -> Vec<Event> {
    let log = shop.room().join("log");
    let mut command = strace.command();
    shop.surround(&mut command);
    let calls = "trace=write,pwrite64,writev,pwritev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat";
    command.args(["-f", "-y", "-qq", "-s", "4096", "-e", "signal=none", "-e", calls, "-o"]).arg(&log);
    command.arg(shop.program()).args(words);
    shop.succeeds(&mut command);
    let text = std::fs::read_to_string(&log).expect("a log");
    let repository = shop.repository();
    whole_lines(&text).iter().filter_map(|line| event(line, &repository)).collect()
}

/// Lines of calls that ended well, each whole: strace cuts those during which another thread did something. They count at
/// their end, and what was written, from the beginning.
fn whole_lines(text: &str) -> Vec<String> {
    let mut begun: BTreeMap<&str, String> = BTreeMap::new();
    let mut lines = Vec::new();
    for line in text.lines() {
        let (thread, call) = line.split_once(' ').expect("a thread and a call");
        let call = call.trim_start();
        if let Some(first) = call.strip_suffix("<unfinished ...>") {
            begun.insert(thread, first.to_owned());
        } else if let Some((_, rest)) = call.split_once(" resumed>") {
            lines.push(begun.remove(thread).expect("its beginning") + rest);
        } else {
            lines.push(call.to_owned());
        }
    }
    lines
}

fn event(line: &str, repository: &Path) -> Option<Event> {
    let (call, rest) = line.split_once('(')?;
    let result = rest.rsplit_once(" = ")?.1;
    if result.starts_with('-') {
        return None;
    }
    let within = |path: &str| Some(path.strip_prefix(repository.to_str()?)?.trim_start_matches('/').to_owned());
    let descriptor = || within(rest.split_once('<')?.1.split_once('>')?.0);
    let mut quoted = rest.split('"').skip(1).step_by(2).filter_map(within);
    match call {
        "fsync" | "fdatasync" => descriptor().map(Event::Flushed),
        "write" | "pwrite64" | "writev" | "pwritev" => descriptor().map(Event::Written),
        "unlink" | "unlinkat" => quoted.next().map(Event::Removed),
        _ => Some(Event::Renamed(quoted.next()?, quoted.next()?)),
    }
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A disk with a cache that forgets: what is not flushed is lost in the worst case.
#[derive(Default)]
struct Disk {
    /// Files with content that is not flushed.
    wet: BTreeSet<String>,
    /// Final names, and names of removed files, that are not flushed.
    unsure_names: BTreeSet<String>,
    unsure_removals: BTreeSet<String>,
    /// How many files got their final names, and lost them.
    stored: BTreeMap<String, u32>,
    removed: BTreeMap<String, u32>,
}

impl Disk {
    fn happens(&mut self, event: Event) {
        match event {
            Event::Written(path) => drop(self.wet.insert(path)),
            Event::Flushed(path) => {
                self.wet.remove(&path);
                self.unsure_names.retain(|name| folder(name) != path);
                self.unsure_removals.retain(|name| folder(name) != path);
            }
            Event::Renamed(from, to) => {
                assert!(!self.wet.contains(&from), "{to} has its name before its content is flushed");
                *self.stored.entry(kind(&to)).or_default() += 1;
                match kind(&to).as_str() {
                    "index" => self.assert_sure("data/", &to),
                    "snapshots" => ["data/", "index/"].iter().for_each(|kind| self.assert_sure(kind, &to)),
                    _ => {}
                }
                self.unsure_names.insert(to);
            }
            Event::Removed(path) if path.contains("-tmp-") || path.starts_with("locks/") => {}
            Event::Removed(path) => {
                *self.removed.entry(kind(&path)).or_default() += 1;
                if kind(&path) == "index" || kind(&path) == "data" {
                    // What replaces it is there for sure.
                    ["data/", "index/"].iter().for_each(|kind| self.assert_sure(kind, &path));
                }
                if kind(&path) == "data" {
                    let names = self.unsure_removals.iter().find(|name| !name.starts_with("data/"));
                    assert_eq!(names, None, "it may come back after {path} is gone, which it names");
                }
                self.unsure_removals.insert(path);
            }
        }
    }

    fn assert_sure(&self, kind: &str, next: &str) {
        let unsure = self.unsure_names.iter().find(|name| name.starts_with(kind));
        assert_eq!(unsure, None, "it may be lost though {next} is there");
    }
}

fn kind(path: &str) -> String {
    path.split('/').next().unwrap_or_default().to_owned()
}

/// F29: kopia's store in a directory did not flush its files; after a power cut they were there with no bytes in them. Here
/// no file has its name before its content is flushed, no index names a pack and no snapshot an index whose name is not
/// flushed, and no pack goes before the removal of what named it is flushed.
#[test]
fn whenever_the_power_fails_what_is_named_is_there() {
    let Some(strace) = Peer::find("strace") else { return };
    let Some(mut shop) = Shop::open(STEAD) else { return };
    if !can_trace(&strace) {
        return testkit::peer::skip("strace must not trace here");
    }
    sample::office(&shop.work(), 1, 60);
    let work = shop.work().to_str().expect("UTF-8").to_owned();
    let mut disk = Disk::default();
    for round in 0..3 {
        let events = events_of(&mut shop, &strace, &["backup", "--json", &work]);
        assert!(!events.is_empty());
        events.into_iter().for_each(|event| disk.happens(event));
        assert_eq!(disk.stored.get("snapshots").copied(), Some(round + 1), "one each: {:?}", disk.stored);
        sample::a_day_of_work(&shop.work(), round.into(), 3);
    }
    let rule = ["forget", "--keep-last", "1", "--prune", "--max-unused", "0"];
    events_of(&mut shop, &strace, &rule).into_iter().for_each(|event| disk.happens(event));
    shop.forgot_all_but(1);
    assert_eq!(disk.removed.get("snapshots"), Some(&2), "{:?}", disk.removed);
    assert!(disk.removed["index"] > 0 && disk.removed["data"] > 0, "{:?}", disk.removed);
    assert!(disk.stored["data"] > 3 && disk.stored["index"] > 3, "{:?}", disk.stored);
    shop.every_promise_is_kept();
}

fn can_trace(strace: &Peer) -> bool {
    let mut command: Command = strace.command();
    command.args(["-f", "-o", "/dev/null", "true"]).output().is_ok_and(|output| output.status.success())
}
