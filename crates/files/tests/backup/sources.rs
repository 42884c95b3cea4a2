//! Which file systems are entered, and what the scan counts.

use std::fs;

use files::backup::{Observer, Totals};
use parking_lot::Mutex;

use crate::files;
use crate::world::World;

#[derive(Default)]
struct Scanned(Mutex<Option<Totals>>);

impl Observer for Scanned {
    fn scanned(&self, totals: Totals, finished: bool) {
        if finished {
            *self.0.lock() = Some(totals);
        }
    }

    fn started(&self, _: files::backup::ItemPath<'_>) {
        // The scan runs ahead; here it must have come to its end before the backup has.
        for _ in 0..100 {
            if self.0.lock().is_some() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn the_scan_counts_what_the_backup_then_does() {
    let world = World::new();
    testkit::sample::office(&world.work(), 5, 80);
    let observer = Scanned::default();
    let mut options = world.options();
    options.scan = true;
    options.excludes.patterns =
        files::pattern::PatternList::new(["client-3"], files::pattern::Case::Sensitive).unwrap();
    let source = files::backup::Source::Paths(vec![b".".to_vec()]);
    let outcome = files::backup::backup(&world.repo, source, options, &observer).unwrap();
    let totals = observer.0.lock().unwrap();
    assert_eq!(totals.files, outcome.summary.total_files_processed);
    assert_eq!(totals.bytes, outcome.summary.total_bytes_processed);
    assert_eq!(totals.dirs, outcome.summary.dirs_new);
    assert_eq!(totals.others, 1);
}

#[test]
fn mount_points_stay_but_what_is_mounted_there_does_not() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new();
    fs::create_dir_all(world.work().join("mnt/deeper")).unwrap();
    fs::write(world.work().join("here"), "x").unwrap();
    let mount = world.work().join("mnt");
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&mount).status().unwrap();
    assert!(mounted.success());
    fs::create_dir(mount.join("dir")).unwrap();
    fs::write(mount.join("dir/file"), "x").unwrap();
    fs::write(mount.join("file"), "x").unwrap();
    let mut options = world.options();
    options.excludes.other_file_systems = true;
    let work = world.work().to_str().unwrap().as_bytes().to_vec();
    let both = mount.join("dir").to_str().unwrap().as_bytes().to_vec();
    let without = world.backup_of(&[&work], options.clone());
    let with = world.backup_of(&[&work, &both], options);
    let restic = world.restic().map(|mut restic| {
        let output = restic.args(["backup", "-x", "--json"]).arg(world.work()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    std::process::Command::new("umount").arg(&mount).status().unwrap();
    let below = |root| {
        let prefix = world.work().to_str().unwrap().to_owned();
        let paths = world.paths(root);
        paths.iter().filter_map(|path| path.strip_prefix(&prefix)).map(str::to_owned).collect::<Vec<_>>()
    };
    let without = without.unwrap();
    assert_eq!(below(&without.tree), ["", "/here", "/mnt"]);
    assert_eq!(below(&with.unwrap().tree), ["", "/here", "/mnt", "/mnt/dir", "/mnt/dir/file"]);
    if let Some(said) = restic {
        let summary = said.lines().find(|line| line.contains("\"summary\"")).unwrap();
        let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
        assert_eq!(summary["total_files_processed"], without.summary.total_files_processed);
    }
}
