//! Backs one path up, for profiles: `backup REPOSITORY PASSWORD PATH [init]`.
#![allow(clippy::print_stdout, reason = "a program")]

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use stead_files as files;

use backend::{Local, SystemClock};
use files::backup::{BackupOptions, Source, Unobserved, backup};
use files::parent::{GroupBy, ParentChoice};
use repo::chunk::ChunkerKind;
use repo::compress::Compression;
use repo::key::{KdfParams, KeyOrigin};
use repo::repository::{InitOptions, OpenOptions};
use repo::{Cancel, Repository};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let [repository, password, path, init @ ..] = &args[..] else {
        return Err("REPOSITORY PASSWORD PATH [init]".into());
    };
    let location = Arc::new(Local::new(repository, 2));
    let open = OpenOptions {
        key_hint: None,
        cache: None,
        compression: Compression::Auto,
        pack_size: 16 << 20,
        clock: Arc::new(SystemClock),
        cancel: Cancel::default(),
    };
    let now = jiff::Zoned::now();
    let repo = if init.is_empty() {
        Repository::open(location, password.as_bytes(), open)?
    } else {
        let origin = KeyOrigin { created: now.clone(), username: "u".into(), hostname: "h".into() };
        let kdf = KdfParams::RANDOM_PASSWORD;
        let chunker = if init[0] == "rabin" { ChunkerKind::Rabin } else { ChunkerKind::Gear };
        let init = InitOptions { chunker, chunker_polynomial: None, version: 2, kdf, origin };
        Repository::init(location, password.as_bytes(), &init, open)?
    };
    let options = BackupOptions {
        working_directory: std::env::current_dir()?.as_os_str().as_bytes().to_vec(),
        excludes: Default::default(),
        excludes_shown: Vec::new(),
        own: Vec::new(),
        host: platform::hostname(),
        tags: Vec::new(),
        time: now,
        program_version: "stead example".into(),
        parent: ParentChoice::Newest(GroupBy::default()),
        ignore: Default::default(),
        with_atime: false,
        dry_run: false,
        skip_if_unchanged: false,
        scan: false,
        read_concurrency: None,
        checkpoints: Some(Default::default()),
        cancel: Cancel::default(),
    };
    let source = Source::Paths(vec![path.as_bytes().to_vec()]);
    let outcome = backup(&Arc::new(repo), source, options, &Unobserved)?;
    println!("{:?} {} errors\n{:?}", outcome.snapshot, outcome.errors, outcome.summary);
    Ok(())
}
