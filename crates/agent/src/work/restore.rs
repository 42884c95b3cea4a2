//! Restore: something of a snapshot comes back. From afar nothing is overwritten unless the machine's own settings allow it.

use std::path::{Path, PathBuf};

use api::wire::agent::RestoreTo;
use disks::image::StoredImages;
use files::path;
use files::restore::{self, ItemError, Observer, Options, Overwrite, Progress, Selection};
use fleet::Phase;
use repo::snapshot::SnapshotFilter;

use super::{Done, Halt, Task};
use crate::refusal;
use crate::settings::Settings;
use crate::storage;
use crate::watch::Watch;

/// What is wanted back.
pub(super) struct Wanted<'w> {
    pub(super) snapshot: &'w str,
    /// Empty: all.
    pub(super) paths: &'w [String],
    pub(super) to: RestoreTo,
}

/// Puts it there.
pub(super) fn restore(task: &Task, wanted: &Wanted<'_>) -> Result<Done, Halt> {
    let settings = Settings::read(&task.core.setup.place).map_err(Halt::failed)?;
    if let Some(why) = forbidden(&settings, wanted.to) {
        return Err(Halt::Failed(why));
    }
    task.watch.enter(Phase::Preparing);
    let opened = storage::open(task)?;
    let found = opened.repo.find_snapshot(wanted.snapshot, &SnapshotFilter::default())?;
    let is_image = StoredImages::is_image(&opened.repo, &found.snapshot.tree).unwrap_or(false);
    if is_image && wanted.to != RestoreTo::NewFolder {
        let why = "this snapshot is an image of disks, which is not put back over a running system: restore it to a new \
                   folder, or with `stead disk restore`";
        return Err(Halt::Failed(why.into()));
    }
    let target = target(task, &settings, wanted)?;
    let paths = absolute(wanted.paths);
    let select = |path: &[u8], _: bool| chosen(&paths, path);
    let overwrite = if wanted.to == RestoreTo::Overwrite { Overwrite::Always } else { Overwrite::Never };
    let options = Options { overwrite, verify: true, select: &select, ..Options::default() };
    run(task, &opened.repo, &found.snapshot.tree, &target, &options)?;
    Ok(Done::default())
}

/// Why the machine's own settings forbid it, if they do.
pub(crate) fn forbidden(settings: &Settings, to: RestoreTo) -> Option<String> {
    (to == RestoreTo::Overwrite && !settings.restore.overwrite).then(|| {
        "this machine lets nobody overwrite its files from afar; its own file agent.toml can allow it ([restore], \
         overwrite = true)"
            .to_owned()
    })
}

/// Where it goes: a folder that was not there, or the root.
fn target(task: &Task, settings: &Settings, wanted: &Wanted<'_>) -> Result<PathBuf, Halt> {
    if wanted.to != RestoreTo::NewFolder {
        return Ok(PathBuf::from("/"));
    }
    let setup = &task.core.setup;
    let base = settings.restore.folder.clone().unwrap_or_else(|| setup.restored.clone());
    let begun = task.ongoing.begun.to_zoned(setup.zone.clone()).strftime("%Y-%m-%d %H.%M.%S").to_string();
    let short: String = wanted.snapshot.chars().filter(char::is_ascii_hexdigit).take(8).collect();
    let folder = base.join(format!("{begun} {short}"));
    // A run that goes on after an interruption goes on in its own folder.
    if task.ongoing.attempt == 1 && folder.exists() {
        return Err(Halt::Failed(format!("{} exists already", folder.display())));
    }
    crate::place::make_private(&base).map_err(Halt::failed)?;
    Ok(folder)
}

fn absolute(paths: &[String]) -> Vec<Vec<u8>> {
    paths.iter().map(|given| path::absolute(b"/", given.as_bytes())).collect()
}

/// Whether a path is one of these, below one, or on the way to one.
pub(super) fn chosen(paths: &[Vec<u8>], path: &[u8]) -> Selection {
    let is_below = |inner: &[u8], outer: &[u8]| {
        outer == b"/" || inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.first() == Some(&b'/'))
    };
    if paths.is_empty() || paths.iter().any(|wanted| is_below(path, wanted)) {
        return Selection::ALL;
    }
    Selection { itself: false, below: paths.iter().any(|wanted| is_below(wanted, path)) }
}

/// Restores, counting along; what fails is missed.
pub(super) fn run(
    task: &Task,
    repo: &repo::Repository,
    tree: &repo::Id,
    target: &Path,
    options: &Options<'_>,
) -> Result<restore::Summary, Halt> {
    task.watch.enter(Phase::Writing);
    let (figures, told) = (Progress::default(), Told { watch: &task.watch });
    let restored = std::thread::scope(|scope| {
        let work = scope.spawn(|| restore::restore(repo, tree, target, options, &figures, &told));
        while !work.is_finished() {
            if task.stop.is_asked() {
                task.stop.insist();
            }
            follow(&task.watch, &figures);
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        work.join()
    });
    follow(&task.watch, &figures);
    match restored {
        Ok(Ok(summary)) => Ok(summary),
        Ok(Err(restore::Error::Repository(error))) => Err(error.into()),
        Ok(Err(error)) => Err(Halt::failed(error)),
        Err(_) => Err(Halt::Failed("a fault of this program".into())),
    }
}

fn follow(watch: &Watch, figures: &Progress) {
    let now = figures.summary();
    watch.count(|amount| {
        amount.done = now.bytes_restored + now.bytes_skipped;
        amount.total = if figures.is_total_known() { now.total_bytes.max(1) } else { 0 };
        amount.new = now.bytes_restored;
    });
}

struct Told<'w> {
    watch: &'w Watch,
}

impl Observer for Told<'_> {
    fn failed(&self, error: &ItemError) {
        let what = String::from_utf8_lossy(&error.path);
        self.watch.miss(what, refusal::words(&error.cause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_comes_back_with_what_is_in_it() {
        let paths = absolute(&["/home/anna/letters".into(), "etc/hosts".into()]);
        let choice = |path: &str| chosen(&paths, path.as_bytes());
        assert_eq!(choice("/home/anna/letters/a.txt"), Selection::ALL);
        assert_eq!(choice("/etc/hosts"), Selection::ALL);
        assert_eq!(choice("/home/anna"), Selection { itself: false, below: true });
        assert_eq!(choice("/home/anna/letters2"), Selection { itself: false, below: false });
        assert_eq!(choice("/var"), Selection { itself: false, below: false });
        assert_eq!(chosen(&[], b"/anything"), Selection::ALL);
    }

    #[test]
    fn nothing_is_overwritten_unless_the_machine_allows_it() {
        let mut settings = Settings::default();
        assert!(forbidden(&settings, RestoreTo::Overwrite).unwrap().contains("agent.toml"));
        assert_eq!(forbidden(&settings, RestoreTo::MissingOnly), None);
        settings.restore.overwrite = true;
        assert_eq!(forbidden(&settings, RestoreTo::Overwrite), None);
    }
}
