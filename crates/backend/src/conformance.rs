//! What every backend must do, as one suite. It panics with what was expected where a backend fails.
//!
//! The storage must be empty; the suite leaves a repository behind.

use std::sync::Arc;

use crate::{Backend, Class, FileInfo, FileKind, FileName, Id, Part};

/// Puts a file into the storage at a path below the repository, behind the backend's back.
pub type Plant<'a> = &'a dyn Fn(&str, &[u8]);

/// Runs the whole suite on storage without a repository. `plant`, where the test can reach beneath the backend, is
/// used for names that a backend would not write.
pub fn run(backend: Arc<dyn Backend>, plant: Option<Plant<'_>>) {
    a_missing_repository_is_not_an_empty_one(&*backend);
    backend.create().expect("a repository is created");
    backend.create().expect("creating again does nothing");
    a_fresh_repository_lists_nothing(&*backend);
    a_config_is_written_once_and_replaced_in_one_step(&*backend);
    files_of_every_kind_are_stored_listed_and_read(&*backend);
    parts_are_exact(&*backend);
    an_empty_file_is_a_file(&*backend);
    a_large_file_arrives_whole(&*backend);
    writing_again_is_success_and_other_bytes_are_refused(&*backend);
    removing_is_final_and_idempotent(&*backend);
    what_is_missing_is_not_found(&*backend);
    a_buffer_is_replaced_and_not_appended_to(&*backend);
    if let Some(plant) = plant {
        foreign_and_temporary_names_are_passed_over(&*backend, plant);
    }
    many_threads_work_at_once(&backend);
}

fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn named(kind: FileKind, content: &[u8]) -> FileName {
    FileName::new(kind, Id::of(content))
}

fn store(backend: &dyn Backend, kind: FileKind, content: &[u8]) -> FileName {
    let file = named(kind, content);
    backend.write(&file, content).unwrap_or_else(|error| panic!("storing {file:?}: {error}"));
    file
}

fn read(backend: &dyn Backend, file: &FileName, part: Part) -> Vec<u8> {
    let mut content = Vec::new();
    backend.read(file, part, &mut content).unwrap_or_else(|error| panic!("reading {part:?} of {file:?}: {error}"));
    content
}

fn list(backend: &dyn Backend, kind: FileKind) -> Vec<FileInfo> {
    let mut files = backend.list(kind).unwrap_or_else(|error| panic!("listing {kind}: {error}"));
    files.sort_by_key(|file| file.id);
    files
}

fn class_of(backend: &dyn Backend, file: &FileName, part: Part) -> Class {
    let mut content = Vec::new();
    match backend.read(file, part, &mut content) {
        Ok(()) => panic!("reading {part:?} of {file:?} gives {} bytes", content.len()),
        Err(error) => error.class,
    }
}

fn a_missing_repository_is_not_an_empty_one(backend: &dyn Backend) {
    for kind in FileKind::NAMED {
        match backend.list(kind) {
            Ok(files) => panic!("listing {kind} of no repository gives {} files", files.len()),
            Err(error) => assert_eq!(error.class, Class::NotFound, "listing {kind} of no repository: {error}"),
        }
    }
    assert_eq!(backend.size(&FileName::CONFIG).unwrap_err().class, Class::NotFound);
}

fn a_fresh_repository_lists_nothing(backend: &dyn Backend) {
    for kind in FileKind::NAMED {
        assert_eq!(list(backend, kind), [], "{kind}");
    }
}

fn a_config_is_written_once_and_replaced_in_one_step(backend: &dyn Backend) {
    backend.write(&FileName::CONFIG, b"first").unwrap();
    backend.write(&FileName::CONFIG, b"first").expect("the same config again is success");
    assert_eq!(backend.write(&FileName::CONFIG, b"another").unwrap_err().class, Class::Rejected);
    assert_eq!(read(backend, &FileName::CONFIG, Part::Whole), b"first");
    backend.replace_config(b"a longer second").expect("the config is replaced");
    assert_eq!(read(backend, &FileName::CONFIG, Part::Whole), b"a longer second");
    assert_eq!(backend.list(FileKind::Config).unwrap().len(), 1);
}

fn files_of_every_kind_are_stored_listed_and_read(backend: &dyn Backend) {
    for kind in FileKind::NAMED {
        let mut expected: Vec<FileInfo> = (0..5)
            .map(|number| {
                let content = content(number + 1, 100 + number as usize);
                let file = store(backend, kind, &content);
                assert_eq!(read(backend, &file, Part::Whole), content);
                assert_eq!(backend.size(&file).unwrap(), content.len() as u64);
                FileInfo { id: file.id, size: content.len() as u64 }
            })
            .collect();
        expected.sort_by_key(|file| file.id);
        assert_eq!(list(backend, kind), expected, "{kind}");
    }
}

fn parts_are_exact(backend: &dyn Backend) {
    let whole = content(77, 100_000);
    let file = store(backend, FileKind::Pack, &whole);
    let range = |offset, length| Part::Range { offset, length };
    for (part, expected) in [
        (range(0, 1), &whole[..1]),
        (range(0, 100_000), &whole[..]),
        (range(99_999, 1), &whole[99_999..]),
        (range(30_000, 50_000), &whole[30_000..80_000]),
        (range(500, 0), &whole[..0]),
        (range(100_000, 0), &whole[..0]),
        (Part::Tail(10), &whole[99_990..]),
        (Part::Tail(70_000), &whole[30_000..]),
        (Part::Tail(100_000), &whole[..]),
        (Part::Tail(200_000), &whole[..]),
        (Part::Tail(0), &whole[..0]),
    ] {
        assert!(read(backend, &file, part) == expected, "{part:?}");
    }
    for short in [range(99_999, 2), range(100_000, 1), range(200_000, 5), range(u64::MAX, 2), range(0, 100_001)] {
        assert_eq!(class_of(backend, &file, short), Class::Corrupt, "{short:?}");
    }
}

fn an_empty_file_is_a_file(backend: &dyn Backend) {
    let file = store(backend, FileKind::Lock, b"");
    assert_eq!(backend.size(&file).unwrap(), 0);
    assert_eq!(read(backend, &file, Part::Whole), b"");
    assert_eq!(read(backend, &file, Part::Tail(5)), b"");
    assert_eq!(class_of(backend, &file, Part::Range { offset: 0, length: 1 }), Class::Corrupt);
    assert!(list(backend, FileKind::Lock).contains(&FileInfo { id: file.id, size: 0 }));
    backend.remove(&file).unwrap();
}

fn a_large_file_arrives_whole(backend: &dyn Backend) {
    let whole = content(20, 20 << 20);
    let file = store(backend, FileKind::Pack, &whole);
    assert!(read(backend, &file, Part::Whole) == whole);
    let part = Part::Range { offset: 5 << 20, length: 10 << 20 };
    assert!(read(backend, &file, part) == whole[5 << 20..15 << 20]);
    assert!(read(backend, &file, Part::Tail(6 << 20)) == whole[14 << 20..]);
    backend.remove(&file).unwrap();
}

fn writing_again_is_success_and_other_bytes_are_refused(backend: &dyn Backend) {
    let content = content(5, 5000);
    let file = store(backend, FileKind::Snapshot, &content);
    backend.write(&file, &content).expect("the same bytes again are success");
    let error = backend.write(&file, &content[1..]).expect_err("other bytes under an existing name");
    assert_eq!(error.class, Class::Rejected, "{error}");
    let mut other = content.clone();
    other[2500] ^= 1;
    let error = backend.write(&file, &other).expect_err("other bytes of the same length");
    assert_eq!(error.class, Class::Rejected, "{error}");
    assert_eq!(read(backend, &file, Part::Whole), content);
}

fn removing_is_final_and_idempotent(backend: &dyn Backend) {
    let file = store(backend, FileKind::Index, b"to be removed");
    backend.remove(&file).unwrap();
    assert_eq!(backend.size(&file).unwrap_err().class, Class::NotFound);
    assert!(!list(backend, FileKind::Index).iter().any(|listed| listed.id == file.id));
    backend.remove(&file).expect("removing what is not there is success");
    store(backend, FileKind::Index, b"to be removed");
}

fn what_is_missing_is_not_found(backend: &dyn Backend) {
    for kind in FileKind::NAMED {
        let file = named(kind, b"never stored");
        for part in [Part::Whole, Part::Range { offset: 0, length: 1 }, Part::Tail(1)] {
            assert_eq!(class_of(backend, &file, part), Class::NotFound, "{file:?}");
        }
        assert_eq!(backend.size(&file).unwrap_err().class, Class::NotFound);
    }
}

fn a_buffer_is_replaced_and_not_appended_to(backend: &dyn Backend) {
    let (small, large) = (content(8, 10), content(9, 100_000));
    let (small_file, large_file) = (store(backend, FileKind::Pack, &small), store(backend, FileKind::Pack, &large));
    let mut buffer = b"what was there before".to_vec();
    for (file, content) in [(&large_file, &large), (&small_file, &small), (&large_file, &large)] {
        backend.read(file, Part::Whole, &mut buffer).unwrap();
        assert!(buffer == *content);
    }
    // A pooled buffer with much room must not make a range longer.
    backend.read(&large_file, Part::Range { offset: 3, length: 20_000 }, &mut buffer).unwrap();
    assert!(buffer == large[3..20_003]);
}

fn foreign_and_temporary_names_are_passed_over(backend: &dyn Backend, plant: Plant<'_>) {
    let before = FileKind::NAMED.map(|kind| list(backend, kind));
    let id = Id::of(b"planted").to_string();
    for directory in ["keys", "snapshots", "index", &format!("data/{}", &id[..2])] {
        plant(&format!("{directory}/{id}-tmp-0123456789abcdef"), b"half written");
        plant(&format!("{directory}/{}", &id[..60]), b"no id");
        plant(&format!("{directory}/README"), b"hello");
        plant(&format!("{directory}/{}", id.to_uppercase()), b"capitals");
    }
    assert_eq!(FileKind::NAMED.map(|kind| list(backend, kind)), before);
}

fn many_threads_work_at_once(backend: &Arc<dyn Backend>) {
    let threads = 16;
    let work = |thread: u64| {
        for round in 0..4 {
            // Half of the files are the thread's own, half are written by all.
            let seed = if round % 2 == 0 { 1000 + thread } else { 2000 };
            let content = content(seed + round, 30_000 + round as usize);
            let file = store(&**backend, FileKind::Pack, &content);
            let stored = read(&**backend, &file, Part::Whole);
            let same = stored.iter().zip(&content).take_while(|(stored, wanted)| stored == wanted).count();
            assert!(stored == content, "{same} of {} bytes are right, {} came", content.len(), stored.len());
            assert!(list(&**backend, FileKind::Pack).iter().any(|listed| listed.id == file.id));
            assert!(read(&**backend, &file, Part::Tail(7)) == content[content.len() - 7..]);
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|thread| drop(scope.spawn(move || work(thread)))));
    let mut ids: Vec<Id> = list(&**backend, FileKind::Pack).iter().map(|file| file.id).collect();
    let count = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), count, "a file is listed twice");
}
