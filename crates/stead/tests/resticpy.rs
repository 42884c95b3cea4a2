//! A wrapper that was written for restic runs with stead in its place: PyPI's resticpy drives both, and finds in ours all
//! that it finds in restic's answers.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::peer::Peer;

/// Backs up, looks, forgets, checks and restores; prints what it was told.
const PROGRAM: &str = r#"
import json, sys, restic
restic.binary_path, restic.repository, restic.password_file, source, target = sys.argv[1:6]
told = {'init': restic.init()}
told['first'] = restic.backup(paths=[source], tags=['daily'], host='shop')
told['second'] = restic.backup(paths=[source], tags=['daily'], host='shop', exclude_patterns=['*.tmp'])
told['snapshots'] = restic.snapshots(tags=['daily'], host='shop')
told['stats'] = restic.stats(mode='restore-size')
told['find'] = restic.find('letter.txt')
told['forget'] = restic.forget(keep_last=1, group_by=['host'], prune=True)
told['left'] = restic.snapshots()
told['check'] = restic.check(read_data=True)
restic.restore(snapshot_id='latest', target_dir=target)
told['version'] = restic.version()
json.dump(told, sys.stdout)
"#;

#[test]
fn resticpy_drives_stead_as_it_drives_restic() {
    let (Some(python), Some(restic)) = (Peer::find("resticpy"), Peer::find("restic")) else { return };
    let room = tempfile::tempdir().expect("room");
    let source = room.path().join("source");
    std::fs::create_dir_all(source.join("desk")).expect("source");
    std::fs::write(source.join("desk/letter.txt"), "Dear client,\n").expect("letter");
    std::fs::write(source.join("desk/draft.tmp"), "nothing\n").expect("draft");

    let theirs = drive(&python, restic.path(), &room.path().join("theirs"), &source);
    let ours = drive(&python, Path::new(env!("CARGO_BIN_EXE_stead")), &room.path().join("ours"), &source);

    for (what, answer) in theirs.as_object().expect("an object") {
        assert_has_all(what, &ours[what], answer);
    }
    for told in [&theirs, &ours] {
        assert_eq!(told["init"].as_str().map(str::len), Some(64));
        assert_eq!(told["first"]["files_new"], 2);
        assert_eq!(told["snapshots"].as_array().map(Vec::len), Some(2));
        assert_eq!(told["left"].as_array().map(Vec::len), Some(1));
        assert_eq!(told["forget"][0]["remove"].as_array().map(Vec::len), Some(1));
        assert_eq!(told["find"][0]["hits"], 1);
    }
    assert_eq!(ours["stats"]["total_size"], theirs["stats"]["total_size"]);
    assert_eq!(ours["second"]["total_files_processed"], theirs["second"]["total_files_processed"]);
    for name in ["ours", "theirs"] {
        let letter = room.path().join(name).join("target").join(source.strip_prefix("/").expect("absolute"));
        assert_eq!(std::fs::read_to_string(letter.join("desk/letter.txt")).expect(name), "Dear client,\n");
        assert!(!letter.join("desk/draft.tmp").exists());
    }
}

/// What the program was told by the binary.
fn drive(python: &Peer, binary: &Path, folder: &Path, source: &Path) -> Value {
    std::fs::create_dir_all(folder).expect("folder");
    std::fs::write(folder.join("password"), "test").expect("password");
    let mut command = Command::new(python.path());
    command.args(["-c", PROGRAM]).arg(binary).arg(folder.join("repository")).arg(folder.join("password"));
    command.arg(source).arg(folder.join("target")).env("HOME", folder).env("XDG_CACHE_HOME", folder.join("cache"));
    let output = command.output().expect("python runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", binary.display());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{}: {error}\n{said}", binary.display()))
}

/// Every key of restic's answer is in ours, with the same kind of value.
fn assert_has_all(path: &str, ours: &Value, theirs: &Value) {
    match (ours, theirs) {
        // Repositories with the gear chunker store the device of hard-linked files only.
        (Value::Object(ours), Value::Object(theirs)) => {
            theirs.iter().filter(|(key, _)| *key != "device_id").for_each(|(key, value)| {
                let ours = ours.get(key).unwrap_or_else(|| panic!("{path}.{key} is missing in {ours:?}"));
                assert_has_all(&format!("{path}.{key}"), ours, value);
            })
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.iter().zip(theirs).for_each(|(ours, theirs)| assert_has_all(path, ours, theirs));
            assert_eq!(ours.len(), theirs.len(), "{path}");
        }
        _ => assert_eq!(kind(ours), kind(theirs), "{path}: {ours} and {theirs}"),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
