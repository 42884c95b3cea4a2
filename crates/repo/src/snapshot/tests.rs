//! Snapshots as restic, rustic and people write them.

use super::*;

/// Written by restic 0.19.1; with every field that it has.
const RESTIC: &str = r#"{"time":"2026-11-22T01:43:44.946915975+01:00","parent":"5fcb2fbc5cd82a32ec344a4741f0a5dcea444aa01529aeeaf36bfb07f489e37a","tree":"5fcb2fbc5cd82a32ec344a4741f0a5dcea444aa01529aeeaf36bfb07f489e37b","paths":["/home/u"],"hostname":"vm","username":"root","uid":1000,"gid":1001,"excludes":["*.o"],"tags":["a","b"],"original":"5fcb2fbc5cd82a32ec344a4741f0a5dcea444aa01529aeeaf36bfb07f489e37c","program_version":"restic 0.19.1","summary":{"backup_start":"2026-11-22T01:43:44.946915975Z","backup_end":"2026-11-22T01:43:46.88314456Z","files_new":19925,"files_changed":0,"files_unmodified":0,"dirs_new":0,"dirs_changed":0,"dirs_unmodified":0,"data_blobs":0,"tree_blobs":1,"data_added":16476485,"data_added_packed":1795586,"total_files_processed":19925,"total_bytes_processed":0}}"#;

fn snapshot(hostname: &str, tags: &[&str], paths: &[&str]) -> Snapshot {
    let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
    let mut snapshot = Snapshot::parse(RESTIC.as_bytes()).unwrap();
    (snapshot.hostname, snapshot.tags, snapshot.paths) = (hostname.into(), strings(tags), strings(paths));
    snapshot
}

#[test]
fn what_restic_wrote_is_written_again_byte_for_byte() {
    let snapshot = Snapshot::parse(RESTIC.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(snapshot.to_json()).unwrap(), RESTIC);
}

#[test]
fn what_others_add_is_kept() {
    let json = RESTIC.replacen('{', r#"{"label":"x","delete":{"After":"2027-01-01T00:00:00Z"},"#, 1);
    let json = json.replacen("\"tree_blobs\"", "\"command\":\"rustic backup\",\"tree_blobs\"", 1);
    let again: serde_json::Value =
        serde_json::from_slice(&Snapshot::parse(json.as_bytes()).unwrap().to_json()).unwrap();
    assert_eq!(again, serde_json::from_str::<serde_json::Value>(&json).unwrap());
}

#[test]
fn missing_fields_and_nulls_are_empty() {
    let tree = Id::of(b"");
    let json = format!(r#"{{"time":"2026-01-01T00:00:00Z","tree":"{tree}","paths":null,"tags":null,"summary":{{}}}}"#);
    let snapshot = Snapshot::parse(json.as_bytes()).unwrap();
    assert_eq!((snapshot.paths.len(), snapshot.tags.len(), snapshot.uid), (0, 0, 0));
    assert_eq!(snapshot.summary, Some(Summary::default()));
}

#[test]
fn times_keep_the_offset_under_which_they_were_written() {
    let snapshot = Snapshot::parse(RESTIC.as_bytes()).unwrap();
    assert_eq!(snapshot.zoned().unwrap().hour(), 1);
    assert_eq!(snapshot.timestamp().unwrap().to_string(), "2026-11-22T00:43:44.946915975Z");
}

#[test]
fn damaged_snapshots_are_errors() {
    for end in 0..RESTIC.len() {
        assert!(Snapshot::parse(&RESTIC.as_bytes()[..end]).is_err());
    }
    for (good, bad) in [("2026-11-22T01", "2026-13-22T01"), ("\"tree\":\"5", "\"tree\":\""), ("1000", "-1")] {
        assert!(Snapshot::parse(RESTIC.replacen(good, bad, 1).as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_filter_means_any_host_any_tag_list_and_all_paths() {
    let list = SnapshotFilter::tag_list;
    let filter = |hosts: &[&str], tags: &[&str], paths: &[&str]| SnapshotFilter {
        hosts: hosts.iter().map(ToString::to_string).collect(),
        tags: tags.iter().map(|text| list(text)).collect(),
        paths: paths.iter().map(ToString::to_string).collect(),
    };
    let both = snapshot("a", &["x", "y"], &["/1", "/2"]);
    let untagged = snapshot("b", &[], &["/1"]);
    for (filter, wanted) in [
        (filter(&[], &[], &[]), (true, true)),
        (filter(&["a"], &[], &[]), (true, false)),
        (filter(&["a", "b"], &[], &[]), (true, true)),
        (filter(&[], &["x"], &[]), (true, false)),
        (filter(&[], &["x,y"], &[]), (true, false)),
        (filter(&[], &["x,z"], &[]), (false, false)),
        (filter(&[], &["x,z", "y"], &[]), (true, false)),
        (filter(&[], &[""], &[]), (false, true)),
        (filter(&[], &["", "x"], &[]), (true, true)),
        (filter(&[], &[], &["/1"]), (true, true)),
        (filter(&[], &[], &["/1", "/2"]), (true, false)),
        (filter(&["b"], &["x"], &[]), (false, false)),
    ] {
        assert_eq!((filter.matches(&both), filter.matches(&untagged)), wanted, "{filter:?}");
    }
    assert!(filter(&[], &[], &[]).is_empty() && !filter(&[], &[""], &[]).is_empty());
}

#[test]
fn tags_are_added_once_and_removed() {
    let mut snapshot = snapshot("a", &["x"], &[]);
    assert!(snapshot.add_tags(&["x".into(), "y".into(), "y".into()]));
    assert_eq!(snapshot.tags, ["x", "y"]);
    assert!(!snapshot.add_tags(&["y".into()]));
    assert!(snapshot.remove_tags(&["x".into(), "z".into()]));
    assert!(!snapshot.remove_tags(&["z".into()]));
    assert!(!snapshot.is_partial());
    snapshot.add_tags(&[PARTIAL_TAG.into()]);
    assert!(snapshot.is_partial());
}
