//! A writer and a pruner with a delay, step by step: whatever the writer does between whichever two operations of the
//! pruner, no snapshot loses anything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use backend::{Backend, FileInfo, FileKind, FileName, Id, Part};
use parking_lot::Mutex;
use repo::Repository;
use repo::lock::{Lock, LockKind};
use repo::progress::Silent;
use repo::prune::{MaxUnused, PruneOptions, PruneWhen};

use crate::workshop::{Files, Workshop, files, load, store};

/// The moment before the pruner's operation of this number.
type Moment = usize;

type Act = Box<dyn FnOnce() + Send>;

/// Does something at certain moments.
struct Interleaved {
    inner: Arc<dyn Backend>,
    next: AtomicUsize,
    acts: Mutex<BTreeMap<Moment, Act>>,
}

impl Interleaved {
    fn new(inner: &Arc<dyn Backend>, acts: BTreeMap<Moment, Act>) -> Arc<Interleaved> {
        Arc::new(Interleaved { inner: Arc::clone(inner), next: AtomicUsize::new(0), acts: Mutex::new(acts) })
    }

    fn passes(&self) {
        let now = self.next.fetch_add(1, Ordering::SeqCst);
        let act = self.acts.lock().remove(&now);
        act.into_iter().for_each(|act| act());
    }

    /// What comes after the last operation.
    fn end(&self) {
        let late = std::mem::take(&mut *self.acts.lock());
        late.into_values().for_each(|act| act());
    }
}

impl Backend for Interleaved {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn connections(&self) -> usize {
        1
    }
    fn create(&self) -> backend::Result<()> {
        self.inner.create()
    }
    fn list(&self, kind: FileKind) -> backend::Result<Vec<FileInfo>> {
        self.passes();
        self.inner.list(kind)
    }
    fn size(&self, file: &FileName) -> backend::Result<u64> {
        self.passes();
        self.inner.size(file)
    }
    fn read(&self, file: &FileName, part: Part, into: &mut Vec<u8>) -> backend::Result<()> {
        self.passes();
        self.inner.read(file, part, into)
    }
    fn write(&self, file: &FileName, content: &[u8]) -> backend::Result<()> {
        self.passes();
        self.inner.write(file, content)
    }
    fn remove(&self, file: &FileName) -> backend::Result<()> {
        self.passes();
        self.inner.remove(file)
    }
}

const DELAY: PruneOptions = PruneOptions {
    max_unused: MaxUnused::Bytes(0),
    max_repack: None,
    repack_cacheable_only: false,
    repack_uncompressed: false,
    repack_smaller_than: None,
    when: PruneWhen::Delayed(Duration::from_secs(48 * 3600)),
};

/// A snapshot that stays, one that is forgotten, and what both hold.
struct Scene {
    workshop: Arc<Workshop>,
    stays: (Id, Files),
    goes: (Id, Files),
}

impl Scene {
    fn new() -> Scene {
        let workshop = Arc::new(Workshop::new());
        let (kept, old) = (files(&[("a", &[1, 2])]), files(&[("a", &[1, 3]), ("d/b", &[4, 5])]));
        let goes = (workshop.save(&old), old);
        workshop.wait(1);
        let stays = (workshop.save(&kept), kept);
        Scene { workshop, stays, goes }
    }

    /// Prunes with `acts` at their moments; returns how many operations that took.
    fn prune(&self, acts: BTreeMap<Moment, Act>) -> usize {
        let interleaved = Interleaved::new(&self.workshop.storage, acts);
        let repo = self.workshop.open_through(Arc::clone(&interleaved) as Arc<dyn Backend>).unwrap();
        let _lock = self.workshop.lock(&repo, LockKind::Shared);
        // A plan that was overtaken by events is refused, which is fine; the next run makes another.
        let _ = repo::prune::plan_prune(&repo, &DELAY, &Silent)
            .and_then(|plan| repo::prune::execute(&repo, plan, &Silent).map(drop));
        let operations = interleaved.next.load(Ordering::SeqCst);
        interleaved.end();
        operations
    }

    /// After one more run everything is there, and after another one that sweeps.
    fn assert_nothing_lost(&self, new: &[(Id, Files)], story: &str) {
        for _ in 0..2 {
            self.workshop.prune(&DELAY);
            let repo = self.workshop.open();
            for (id, files) in new.iter().chain([&self.stays]) {
                assert_eq!(&load(&repo, *id).unwrap_or_else(|error| panic!("{story}: {error}")), files, "{story}");
            }
            assert_eq!(self.workshop.check(), Vec::<String>::new(), "{story}");
            self.workshop.wait(100);
        }
    }
}

/// A writer in three steps: it locks and loads the index, stores what it does not find there, writes its snapshot.
#[derive(Default)]
struct Writer {
    at_work: Option<(Arc<Repository>, Lock)>,
    tree: Option<Id>,
    snapshot: Option<Id>,
}

impl Writer {
    fn begin(&mut self, workshop: &Workshop) {
        let repo = workshop.open();
        let lock = workshop.lock(&repo, LockKind::Shared);
        repo.load_index().unwrap();
        self.at_work = Some((repo, lock));
    }

    fn store(&mut self, files: &Files) {
        let (repo, _) = self.at_work.as_ref().unwrap();
        self.tree = Some(store(repo, files));
    }

    fn finish(&mut self, workshop: &Workshop) {
        let (repo, lock) = self.at_work.take().unwrap();
        self.snapshot = Some(workshop.write_snapshot(&repo, self.tree.unwrap(), "2026-11-23T12:00:00Z"));
        drop(lock);
    }
}

/// At which moments of two runs of the pruner, which follow each other, the writer does its three steps.
fn play(steps: [Moment; 3], first_run: usize) {
    let scene = Scene::new();
    scene.workshop.forget(scene.goes.0);
    let writer = Arc::new(Mutex::new(Writer::default()));
    let mut runs: [BTreeMap<Moment, Vec<usize>>; 2] = Default::default();
    for (step, moment) in steps.into_iter().enumerate() {
        let (run, moment) = if moment < first_run { (0, moment) } else { (1, moment - first_run) };
        runs[run].entry(moment).or_default().push(step);
    }
    for run in runs {
        let acts = run.into_iter().map(|(moment, steps)| {
            let (writer, workshop) = (Arc::clone(&writer), Arc::clone(&scene.workshop));
            let files = scene.goes.1.clone();
            let act = move || {
                let mut writer = writer.lock();
                for step in steps {
                    match step {
                        0 => writer.begin(&workshop),
                        1 => writer.store(&files),
                        _ => writer.finish(&workshop),
                    }
                }
            };
            (moment, Box::new(act) as Act)
        });
        scene.prune(acts.collect());
        scene.workshop.wait(100);
    }
    let snapshot = writer.lock().snapshot.expect("the writer came to its end");
    // Nobody who looks now finds something missing, either: a drill, or restic's check.
    assert_eq!(scene.workshop.check(), Vec::<String>::new(), "{steps:?}, before another run");
    scene.assert_nothing_lost(&[(snapshot, scene.goes.1.clone())], &format!("{steps:?}"));
}

/// How many operations the two runs have when nobody disturbs them.
fn lengths() -> (usize, usize) {
    let scene = Scene::new();
    scene.workshop.forget(scene.goes.0);
    let first = scene.prune(BTreeMap::new());
    scene.workshop.wait(100);
    (first, scene.prune(BTreeMap::new()))
}

/// Every how manyth moment is tried; all of them where there is time.
fn stride() -> usize {
    if std::env::var_os("STEAD_KILLS").is_some() { 1 } else { 7 }
}

/// F28, F35: kopia's own maintenance removed blobs in use, and nobody knows why; duplicacy's took chunks of a backup that
/// was under way. Here a writer needs what a forgotten snapshot left behind, and takes its steps at any moments of the
/// run that marks and the run that sweeps.
#[test]
fn a_writer_at_any_moments_of_marking_and_sweeping_loses_nothing() {
    let (first, second) = lengths();
    assert!(first > 10 && second > 10, "{first} and {second} operations");
    let moments: Vec<Moment> = (0..=first + second).step_by(stride()).collect();
    for (at, begin) in moments.iter().enumerate() {
        for end in &moments[at..] {
            play([*begin, *begin, *end], first);
            play([*begin, *end, *end], first);
        }
    }
}

/// F27: kopia's maintenance ran twice at once. Here a whole second run of either phase happens before each operation of
/// the first, with a writer at work whose index is old.
#[test]
fn two_pruners_at_once_lose_nothing() {
    let (first, second) = lengths();
    for moment in 0..first + second {
        let scene = Scene::new();
        scene.workshop.forget(scene.goes.0);
        let mut writer = Writer::default();
        writer.begin(&scene.workshop);
        let workshop = Arc::clone(&scene.workshop);
        let other: Act = Box::new(move || _ = workshop.try_prune(&DELAY));
        let acts = BTreeMap::from([(moment.checked_sub(first).unwrap_or(moment), other)]);
        let mut runs = if moment < first { [acts, BTreeMap::new()] } else { [BTreeMap::new(), acts] }.into_iter();
        scene.prune(runs.next().unwrap());
        scene.workshop.wait(100);
        scene.prune(runs.next().unwrap());
        writer.store(&scene.goes.1);
        writer.finish(&scene.workshop);
        let new = (writer.snapshot.unwrap(), scene.goes.1.clone());
        scene.assert_nothing_lost(&[new], &format!("before operation {moment}"));
    }
}

/// F31: Proxmox' backup server listed snapshots; a new one came, an older one with the same chunks went before it was read,
/// and the chunks of both were swept. Here that happens before each operation of both runs.
#[test]
fn a_snapshot_that_comes_while_its_twin_goes_keeps_everything() {
    let (first, second) = lengths();
    for moment in 0..=first + second {
        let scene = Scene::new();
        let new = Arc::new(Mutex::new(None));
        let mut acts = BTreeMap::new();
        let act: Act = {
            let (workshop, new) = (Arc::clone(&scene.workshop), Arc::clone(&new));
            let (id, files) = scene.goes.clone();
            Box::new(move || {
                *new.lock() = Some(workshop.save(&files));
                workshop.forget(id);
            })
        };
        acts.insert(moment.checked_sub(first).unwrap_or(moment), act);
        let mut runs = if moment < first { [acts, BTreeMap::new()] } else { [BTreeMap::new(), acts] }.into_iter();
        scene.prune(runs.next().unwrap());
        scene.workshop.wait(100);
        scene.prune(runs.next().unwrap());
        let new = new.lock().expect("it came");
        scene.assert_nothing_lost(&[(new, scene.goes.1.clone())], &format!("before operation {moment}"));
    }
}
