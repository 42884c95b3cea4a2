//! Our rules against restic's, on random sets of snapshots and random policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use backend::{Backend, Local};
use rand::{Rng, SeedableRng};
use repo::Repository;
use repo::forget::{ForgetOptions, ForgetPlan};
use repo::retention::{Policy, Quota, Span};
use testkit::Peer;

use crate::workshop::{Workshop, files, store};

/// A policy and the flags that say it to restic.
fn random_policy(random: &mut impl Rng) -> (Policy, Vec<String>) {
    let mut policy = Policy::default();
    let mut flags = vec!["--keep-last=1".to_owned()];
    policy.last = Quota::Count(1);
    let mut quota = |flag: &str, random: &mut dyn rand::RngCore| {
        let text = match random.random_range(0..6) {
            0 => "unlimited".to_owned(),
            n @ 1..4 => (n * n).to_string(),
            _ => return Quota::None,
        };
        flags.push(format!("--keep-{flag}={text}"));
        text.parse().unwrap()
    };
    policy.hourly = quota("hourly", random);
    policy.daily = quota("daily", random);
    policy.weekly = quota("weekly", random);
    policy.monthly = quota("monthly", random);
    policy.yearly = quota("yearly", random);
    let mut span = |flag: &str, random: &mut dyn rand::RngCore| {
        if random.random_bool(0.7) {
            return Span::default();
        }
        let (a, b, c, d) = (
            random.random_range(0..2),
            random.random_range(0..14),
            random.random_range(0..40),
            random.random_range(1..30),
        );
        let text = format!("{a}y{b}m{c}d{d}h");
        flags.push(format!("--keep-{flag}={text}"));
        text.parse().unwrap()
    };
    policy.within = span("within", random);
    policy.within_hourly = span("within-hourly", random);
    policy.within_daily = span("within-daily", random);
    policy.within_weekly = span("within-weekly", random);
    policy.within_monthly = span("within-monthly", random);
    policy.within_yearly = span("within-yearly", random);
    if random.random_bool(0.3) {
        policy.tags = vec![vec!["a".into(), "b".into()], vec!["c".into()]];
        flags.extend(["--keep-tag=a,b".into(), "--keep-tag=c".into()]);
    }
    (policy, flags)
}

fn write_snapshots(repo: &Repository, tree: backend::Id, random: &mut impl Rng) {
    let now = jiff::Timestamp::now().as_second();
    let scale = [3600, 86_400 * 3, 86_400 * 60, 86_400 * 900][random.random_range(0..4)];
    for _ in 0..random.random_range(1..30) {
        let seconds = now - random.random_range(0..scale) + if random.random_bool(0.05) { 86_400 * 400 } else { 0 };
        let offset = jiff::tz::Offset::from_seconds([0, 3600, -12_600, 50_400][random.random_range(0..4)]).unwrap();
        let nanoseconds = random.random_range(0..1_000_000_000);
        let time = jiff::Timestamp::new(seconds, nanoseconds).unwrap().display_with_offset(offset).to_string();
        let mut snapshot = crate::workshop::snapshot(tree, &time);
        snapshot.hostname = ["office", "laptop"][random.random_range(0..2)].into();
        snapshot.tags = ["a", "b", "c"].into_iter().filter(|_| random.random_bool(0.3)).map(String::from).collect();
        if random.random_bool(0.3) {
            snapshot.paths = vec!["/srv".into(), "/home".into()];
        }
        repo.write_snapshot(&snapshot).unwrap();
    }
}

/// By snapshot id: the reasons why it stays.
type Reasons = BTreeMap<String, Vec<String>>;

fn ours(repo: &Repository, policy: Policy, group_by: &str) -> Reasons {
    let options = ForgetOptions { policy, group_by: group_by.parse().unwrap(), ..ForgetOptions::default() };
    let plan = ForgetPlan::by_policy(repo.snapshots().unwrap().all, &options, jiff::Timestamp::now()).unwrap();
    let kept = plan.groups.into_iter().flat_map(|group| group.keep);
    kept.map(|kept| (kept.id.to_string(), kept.reasons)).collect()
}

fn restics(output: &str) -> Reasons {
    let groups: serde_json::Value =
        serde_json::from_str(output.lines().find(|line| line.starts_with('[')).unwrap()).unwrap();
    let mut reasons = Reasons::new();
    for reason in groups.as_array().unwrap().iter().flat_map(|group| group["reasons"].as_array().unwrap()) {
        let id = reason["snapshot"]["id"].as_str().unwrap().to_owned();
        let matches = reason["matches"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
        reasons.insert(id, matches.collect());
    }
    reasons
}

#[test]
fn policies_keep_what_restic_keeps_for_the_same_reasons() {
    let Some(restic) = Peer::find("restic") else { return };
    let mut random = rand::rngs::StdRng::seed_from_u64(20_261_122);
    for round in 0..12 {
        let room = tempfile::tempdir().unwrap();
        let storage: Arc<dyn Backend> = Arc::new(Local::new(room.path(), 2));
        let workshop = Workshop::on(storage, 2);
        let repo = workshop.open();
        let tree = store(&repo, &files(&[("a", &[1])]));
        write_snapshots(&repo, tree, &mut random);
        for _ in 0..4 {
            let (policy, mut flags) = random_policy(&mut random);
            let group_by = ["host,paths", "host", "", "tags", "paths,tags"][random.random_range(0..5)];
            flags.extend(["forget".into(), "--dry-run".into(), "--json".into(), "--no-lock".into()]);
            flags.push(format!("--group-by={group_by}"));
            let output = restic.succeeds(room.path(), &flags);
            assert_eq!(ours(&repo, policy, group_by), restics(&output), "round {round}: {}", flags.join(" "));
        }
    }
}

/// F12: a misspelt tag to keep once removed everything.
#[test]
fn f12_a_typing_error_in_a_tag_removes_nothing() {
    let workshop = Workshop::new();
    workshop.save(&files(&[("a", &[1])]));
    let policy = Policy { tags: vec![vec!["tpyo".into()]], ..Policy::default() };
    let all = workshop.open().snapshots().unwrap().all;
    let options = ForgetOptions { policy, ..ForgetOptions::default() };
    assert!(ForgetPlan::by_policy(all.clone(), &options, jiff::Timestamp::now()).is_err());
    assert!(ForgetPlan::by_policy(all, &ForgetOptions::default(), jiff::Timestamp::now()).is_err(), "no policy");
}

#[test]
fn a_forget_plan_is_executed_as_it_was_shown_or_not_at_all() {
    let workshop = Workshop::new();
    for chunk in 1..5 {
        workshop.save(&files(&[("a", &[chunk])]));
        workshop.wait(1);
    }
    let repo = workshop.open();
    let policy = Policy { last: Quota::Count(2), ..Policy::default() };
    let options = ForgetOptions { policy, ..ForgetOptions::default() };
    let plan = ForgetPlan::by_policy(repo.snapshots().unwrap().all, &options, jiff::Timestamp::now()).unwrap();
    assert_eq!((plan.kept().count(), plan.removed().count()), (2, 2));
    // Somebody removes one that the plan keeps.
    let gone = plan.kept().next().unwrap();
    let bytes = workshop.bytes(backend::FileName::new(backend::FileKind::Snapshot, gone));
    workshop.forget(gone);
    assert!(plan.execute(&repo, &|_| {}).is_err());
    assert_eq!(workshop.list(backend::FileKind::Snapshot).len(), 3);
    workshop.storage.write(&backend::FileName::new(backend::FileKind::Snapshot, gone), &bytes).unwrap();
    let removed = parking_lot::Mutex::new(Vec::new());
    plan.execute(&repo, &|id| removed.lock().push(id)).unwrap();
    assert_eq!(removed.into_inner().len(), 2);
    let mut kept: Vec<_> = plan.kept().collect();
    kept.sort();
    assert_eq!(workshop.list(backend::FileKind::Snapshot), kept);
}
