//! Somebody who keeps writing into a mounted filesystem, and what tells whether a copy of it is of one instant.

use std::fs::{self, File};
use std::io::Write;
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

const LARGE: u64 = 24 << 20;

/// Threads that write until this is dropped.
#[derive(Debug)]
pub struct Writer {
    stop: Arc<AtomicBool>,
    sequence: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Writer {
    /// Many small files, a large one in place, a number in two files one after the other, and a file on the ESP.
    pub fn start(folder: &Path) -> Writer {
        fs::create_dir_all(folder.join("small")).unwrap();
        fill(&folder.join("large"));
        let (stop, sequence) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut writer = Writer { stop, sequence: Arc::clone(&sequence), threads: Vec::new() };
        let (small, large, numbers) = (folder.join("small"), folder.join("large"), folder.to_owned());
        writer.spawn(3, move |step| write_small(&small, step));
        writer.spawn(5, move |step| write_in_place(&large, step));
        writer.spawn(1, move |step| {
            write_number(&numbers.join("one"), step);
            write_number(&numbers.join("two"), step);
            sequence.store(step, SeqCst);
        });
        let esp = folder.join("boot/loader");
        writer.spawn(300, move |step| write_number(&esp, step));
        writer
    }

    fn spawn(&mut self, pause_ms: u64, mut write: impl FnMut(u64) + Send + 'static) {
        let stop = Arc::clone(&self.stop);
        self.threads.push(std::thread::spawn(move || {
            for step in 1.. {
                if stop.load(SeqCst) {
                    return;
                }
                write(step);
                std::thread::sleep(Duration::from_millis(pause_ms));
            }
        }));
    }

    /// The last number that both files had.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(SeqCst)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        for thread in self.threads.drain(..) {
            let outcome = thread.join();
            assert!(outcome.is_ok() || std::thread::panicking(), "a writer failed");
        }
    }
}

fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    (0..LARGE >> 16).for_each(|_| file.write_all(&[7; 1 << 16]).unwrap());
    file.sync_all().unwrap();
}

fn write_small(folder: &Path, step: u64) {
    let name = |step: u64| folder.join(format!("file-{step}"));
    let (temporary, size) = (folder.join("temporary"), 100 + step * 997 % 40_000);
    let mut file = File::create(&temporary).unwrap();
    file.write_all(&content(step, size as usize)).unwrap();
    if step.is_multiple_of(4) {
        file.sync_all().unwrap();
    }
    drop(file);
    fs::rename(&temporary, name(step)).unwrap();
    if step > 200 {
        fs::remove_file(name(step - 200)).unwrap();
    }
}

/// A small file's content, which follows from its number.
pub fn content(step: u64, size: usize) -> Vec<u8> {
    step.to_le_bytes().into_iter().cycle().take(size).collect()
}

fn write_in_place(path: &Path, step: u64) {
    let file = File::options().write(true).open(path).unwrap();
    // Most of it in one place, some of it anywhere.
    let place = if step.is_multiple_of(8) { step * 7919 % (LARGE >> 16) } else { step % 16 };
    file.write_all_at(&content(step, 1 << 14), place << 16).unwrap();
    if step.is_multiple_of(16) {
        file.sync_data().unwrap();
    }
}

fn write_number(path: &PathBuf, number: u64) {
    let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
    file.write_all_at(format!("{number:020}").as_bytes(), 0).unwrap();
    file.sync_data().unwrap();
}

/// The number in a file.
pub fn number(path: &Path) -> u64 {
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// Fails the test unless a copy of a writer's folder is of one instant: the number that went into one file first is in order
/// and one of those expected, and every small file has what was written into it.
pub fn is_of_one_instant(folder: &Path, expected: RangeInclusive<u64>) {
    let (one, two) = (number(&folder.join("one")), number(&folder.join("two")));
    assert!(one == two || one == two + 1, "one is {one}, two is {two}");
    assert!(expected.contains(&one), "{one} is not in {expected:?}");
    let mut files = 0;
    for entry in fs::read_dir(folder.join("small")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        let found = fs::read(entry.path()).unwrap();
        if let Some(step) = name.strip_prefix("file-") {
            let step: u64 = step.parse().unwrap();
            assert!(found == content(step, (100 + step * 997 % 40_000) as usize), "{name} has {} bytes", found.len());
            files += 1;
        }
    }
    assert!(files > 0);
}
