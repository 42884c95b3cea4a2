//! With `--json`, every message has the fields that restic's has, of the same kinds.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use testkit::{Peer, sample};

/// All messages that a command printed, on both streams.
fn messages(program: &Peer, repository: &Path, words: &[&str]) -> Vec<Value> {
    let output = program.on(repository, words);
    let printed = [output.stdout, output.stderr].concat();
    let lines = String::from_utf8_lossy(&printed).into_owned();
    lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Every field of every message: its path and the kind of its value.
fn shape(messages: &[Value]) -> BTreeMap<String, &'static str> {
    let mut fields = BTreeMap::new();
    for message in messages {
        let name = message["message_type"].as_str().unwrap_or("").to_owned();
        collect(message, &name, &mut fields);
    }
    fields
}

fn collect(value: &Value, path: &str, fields: &mut BTreeMap<String, &'static str>) {
    let kind = match value {
        Value::Null => return,
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(items) => {
            items.iter().for_each(|item| collect(item, &format!("{path}[]"), fields));
            "list"
        }
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| collect(member, &format!("{path}.{name}"), fields));
            "object"
        }
    };
    fields.insert(path.to_owned(), kind);
}

/// Status messages come or do not come as time goes by, and list what happened to be going on. Repositories with our own
/// chunker keep a device's number for hard links only.
fn may_be_missing(field: &str) -> bool {
    field.starts_with("status") || field.starts_with("summary.seconds_elapsed") || field.ends_with(".device_id")
}

#[test]
fn every_message_has_restics_fields() {
    let Some(restic) = Peer::find("restic") else { return };
    let stead = Peer::at(env!("CARGO_BIN_EXE_stead"));
    let room = tempfile::tempdir().expect("room");
    let source = room.path().join("source");
    fs::create_dir(&source).expect("a folder");
    sample::office(&source, 5, 30);
    let source = source.to_str().expect("UTF-8");
    let target = "TARGET";
    let commands: &[&[&str]] = &[
        &["init"],
        &["backup", source],
        &["backup", "-v", "-v", "--tag", "a,b", source],
        &["backup", "--dry-run", source],
        &["backup", source, "/does/not/exist"],
        &["backup", "/does/not/exist"],
        &["snapshots"],
        &["snapshots", "--group-by", "host,tags"],
        &["snapshots", "--latest", "1"],
        &["ls", "latest"],
        &["find", "letter 1*"],
        &["restore", "latest", "--target", target],
        &["-v", "-v", "restore", "latest", "--target", target],
        &["stats"],
        &["stats", "--mode", "raw-data"],
        &["stats", "--mode", "files-by-contents"],
        &["stats", "--mode", "blobs-per-file"],
        &["check"],
        &["check", "--read-data"],
        &["key", "list"],
        &["tag", "--add", "c", "latest"],
        &["forget", "--keep-last", "1", "--dry-run"],
        &["forget", "--keep-last", "1"],
        &["version"],
        &["ls", "zzzz"],
        &["init"],
    ];
    for words in commands {
        let words: Vec<&str> = ["--json"].iter().chain(*words).copied().collect();
        let [theirs, ours] = [(&restic, "theirs"), (&stead, "ours")].map(|(program, name)| {
            let own = room.path().join(format!("target of {name}"));
            let own = own.to_str().expect("UTF-8");
            let words: Vec<&str> = words.iter().map(|word| if *word == target { own } else { word }).collect();
            shape(&messages(program, &room.path().join(name), &words))
        });
        for (field, kind) in theirs.iter().filter(|(field, _)| !may_be_missing(field)) {
            // A dry run writes no snapshot, and ours says no id of one.
            if words.contains(&"--dry-run") && field == "summary.snapshot_id" {
                continue;
            }
            assert_eq!(ours.get(field), Some(kind), "{words:?}: {field}\ntheirs {theirs:?}\nours {ours:?}");
        }
        assert_eq!(theirs.is_empty(), ours.is_empty(), "{words:?}");
    }
    diffs_have_the_same_fields(&restic, &stead, room.path());
}

fn diffs_have_the_same_fields(restic: &Peer, stead: &Peer, room: &Path) {
    let shapes = [(restic, "theirs"), (stead, "ours")].map(|(program, name)| {
        let repository = room.join(name);
        let folder = room.join("source");
        fs::write(folder.join("new"), name).expect("a file");
        program.succeeds(&repository, ["backup", folder.to_str().expect("UTF-8")]);
        let listed = messages(program, &repository, &["--json", "snapshots"]).remove(0);
        let ids: Vec<&str> = listed.as_array().expect("a list").iter().filter_map(|s| s["id"].as_str()).collect();
        shape(&messages(program, &repository, &["--json", "diff", ids[0], ids[ids.len() - 1]]))
    });
    assert!(shapes[0].contains_key("statistics.added.files"), "{shapes:?}");
    for (field, kind) in &shapes[0] {
        assert_eq!(shapes[1].get(field), Some(kind), "{field}");
    }
}

#[test]
fn status_messages_tell_how_far_a_backup_is() {
    let stead = Peer::at(env!("CARGO_BIN_EXE_stead"));
    let room = tempfile::tempdir().expect("room");
    let repository = room.path().join("repository");
    stead.succeeds(&repository, ["init"]);
    fs::write(room.path().join("large"), sample::random_bytes(3, 96 << 20)).expect("a file");
    let mut command = stead.repository_command(&repository);
    let command = command.env("RESTIC_PROGRESS_FPS", "60").args(["--json", "backup"]).arg(room.path().join("large"));
    let output = command.output().expect("runs");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let messages: Vec<Value> = printed.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let status: Vec<&Value> = messages.iter().filter(|message| message["message_type"] == "status").collect();
    assert!(!status.is_empty(), "{printed}");
    let shares: Vec<f64> = status.iter().filter_map(|message| message["percent_done"].as_f64()).collect();
    assert_eq!(shares.len(), status.len());
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
    assert_eq!(messages.last().expect("a message")["message_type"], "summary");
}
