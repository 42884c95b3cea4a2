//! What is left out is what restic leaves out.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use files::exclude::Marker;
use files::pattern::{Case, PatternList};

use crate::files;
use crate::world::World;

/// Every file and directory that some pattern of the table is about.
const PATHS: [&str; 34] = [
    "a.go",
    "a.GO",
    "b.o",
    "B.O",
    ".hidden",
    "x",
    "x y",
    "[x]",
    "*",
    "src/a.go",
    "src/a.test",
    "src/x/a.go",
    "src/x/y/a.go",
    "src/x/y/z/deep.txt",
    "node_modules/m/index.js",
    "lib/node_modules/m/n.js",
    "cache/x",
    "cache/keep",
    "Cache/x",
    "target/debug/x.o",
    "target/release/x.o",
    "target/doc",
    "foo/bar",
    "foo/baz",
    "foo/x/bar",
    "foo/x/y/bar",
    "bar/foo",
    "log/1.log",
    "log/2.log",
    "log/keep.log",
    "log/old/3.log",
    "ä/ö.txt",
    "é",
    "tmp/.keep",
];

/// Lists of patterns; `ROOT` stands for the working directory.
const PATTERNS: [&[&str]; 62] = [
    &["*.go"],
    &["*.GO"],
    &["*"],
    &["**"],
    &["/"],
    &["x"],
    &["x y"],
    &["\\[x\\]"],
    &["[x]"],
    &["\\*"],
    &["?"],
    &["??"],
    &[".*"],
    &["src"],
    &["src/"],
    &["/src"],
    &["src/*"],
    &["src/**"],
    &["src/*/a.go"],
    &["src/**/a.go"],
    &["**/a.go"],
    &["ROOT/src"],
    &["ROOT/*.go"],
    &["ROOT/*/*.go"],
    &["ROOT/**/*.go"],
    &["ROOT/src/**/a.go"],
    &["ROOT/**"],
    &["ROOT"],
    &["ROOT/foo/**/bar"],
    &["foo/bar"],
    &["foo/**/bar"],
    &["foo/**/**/bar"],
    &["**/foo/**"],
    &["bar"],
    &["b*"],
    &["*a*"],
    &["[a-c]*"],
    &["[^a-c]*"],
    &["[!a-c]*"],
    &["*.[go]"],
    &["*.[go]*"],
    &["node_modules"],
    &["*/node_modules"],
    &["lib/node_modules/**"],
    &["target/*/x.o"],
    &["target/{debug,release}"],
    &["cache", "!cache/keep"],
    &["cache/*", "!cache/keep"],
    &["cache/*", "!keep"],
    &["*.log", "!keep.log"],
    &["*.log", "!keep.log", "log/keep.log"],
    &["log/*", "!log/old"],
    &["log/**", "!log/old/3.log"],
    &["!x"],
    &["foo", "!foo"],
    &["ä"],
    &["é"],
    &["?/ö.txt"],
    &["ö*"],
    &["./src"],
    &["foo/../src"],
    &["work/src"],
];

fn plant(work: &Path) {
    for path in PATHS {
        let path = work.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
}

/// What restic stores of `paths` with `flags`, below the working directory.
fn restics(world: &World, paths: &[&str], flags: &[String]) -> Option<Vec<String>> {
    let mut restic = world.restic()?;
    let output = restic.args(["backup", "--force", "--json", "--quiet"]).args(flags).args(paths).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    let Some(summary) = said.lines().find(|line| line.contains("\"summary\"")) else {
        assert!(complaint.contains("empty"), "{flags:?}: {complaint}");
        return Some(Vec::new());
    };
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    let id = summary["snapshot_id"].as_str().unwrap().to_owned();
    let json = world.restic()?.args(["ls", "--json", "--no-lock", &id]).output().unwrap().stdout;
    let nodes = String::from_utf8(json).unwrap();
    let nodes = nodes.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut found: Vec<String> = nodes.filter_map(|node| Some(node["path"].as_str()?.to_owned())).collect();
    found.sort();
    Some(found)
}

fn ours(world: &World, paths: &[&str], options: files::backup::BackupOptions) -> Vec<String> {
    let paths: Vec<&[u8]> = paths.iter().map(|path| path.as_bytes()).collect();
    match world.backup_of(&paths, options) {
        Ok(outcome) => world.paths(&outcome.tree),
        Err(files::backup::BackupError::Empty) => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn patterns_leave_out_what_restic_leaves_out() {
    let world = World::new();
    plant(&world.work());
    let work = world.work().to_str().unwrap().to_owned();
    let ways = [(&["."][..], "--exclude", Case::Sensitive), (&[&work[..]], "--iexclude", Case::Insensitive)];
    for (number, list) in PATTERNS.iter().enumerate() {
        let list: Vec<String> = list.iter().map(|pattern| pattern.replace("ROOT", &work)).collect();
        // Every pattern from within, every fourth from without and without regard to case: each takes restic a while.
        for (paths, flag, case) in &ways[..if number % 4 == 0 { 2 } else { 1 }] {
            let flags: Vec<String> = list.iter().map(|pattern| format!("{flag}={pattern}")).collect();
            let Some(wanted) = restics(&world, paths, &flags) else { return };
            let mut options = world.options();
            let patterns = PatternList::new(&list, *case).unwrap();
            match case {
                Case::Sensitive => options.excludes.patterns = patterns,
                Case::Insensitive => options.excludes.insensitive = patterns,
            }
            assert_eq!(ours(&world, paths, options), wanted, "{paths:?} {flags:?}");
        }
    }
}

#[test]
fn markers_and_sizes_leave_out_what_restic_leaves_out() {
    let world = World::new();
    plant(&world.work());
    let write = |path: &str, content: &[u8]| fs::write(world.work().join(path), content).unwrap();
    write("cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\n# more");
    write("src/CACHEDIR.TAG", b"Signature: something else altogether, and long enough");
    write("foo/CACHEDIR.TAG", b"short");
    write("log/.nobackup", b"");
    write("lib/.nobackup", b"because");
    write("target/large", &[0; 5000]);
    std::os::unix::fs::symlink(world.work().join("x").to_str().unwrap().repeat(3), world.work().join("long link"))
        .unwrap();
    let mut caches = world.options();
    caches.excludes.markers = vec![Marker::cache_directory()];
    let mut marked = world.options();
    marked.excludes.markers = vec![Marker::parse(b".nobackup").unwrap()];
    let mut explained = world.options();
    explained.excludes.markers =
        vec![Marker::parse(b".nobackup:because").unwrap(), Marker::parse(b"CACHEDIR.TAG").unwrap()];
    let mut large = world.options();
    large.excludes.larger_than = Some(100);
    let table: [(&[&str], files::backup::BackupOptions); 4] = [
        (&["--exclude-caches"], caches),
        (&["--exclude-if-present=.nobackup"], marked),
        (&["--exclude-if-present=.nobackup:because", "--exclude-if-present=CACHEDIR.TAG"], explained),
        (&["--exclude-larger-than=100"], large),
    ];
    let work = world.work().to_str().unwrap().to_owned();
    for (flags, options) in table {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        for paths in [&["."][..], &[&work], &["log", "cache/x"], &["log/1.log", "target/large"]] {
            let Some(wanted) = restics(&world, paths, &flags) else { return };
            assert_eq!(ours(&world, paths, options.clone()), wanted, "{paths:?} {flags:?}");
        }
    }
    assert!(world.watched.notices.lock().iter().any(|notice| notice.contains("NotAMarker")));
    assert!(world.work().as_os_str().as_bytes().starts_with(b"/"));
}
