//! Which crate may use which. The table is the design's; a new arrow is said in the first sentence of the change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::program::{self, Outcome};
use crate::workspace;

/// Crate, and what it may depend on. `*` is all.
const ALLOWED: [(&str, &[&str]); 17] = [
    ("backend", &[]),
    ("platform", &[]),
    ("fleet", &[]),
    ("repo", &["backend"]),
    ("files", &["repo", "backend", "platform"]),
    ("disks", &["repo", "backend", "platform"]),
    ("recovery", &["disks", "repo", "backend", "platform"]),
    ("continuity", &["fleet"]),
    ("api", &["fleet", "continuity"]),
    ("store", &["fleet", "continuity"]),
    ("gateway", &["backend"]),
    ("server", &["store", "api", "fleet", "continuity"]),
    ("agent", &["api", "fleet", "files", "disks", "recovery", "repo", "backend", "platform"]),
    ("keeper", &["agent", "api", "fleet", "files", "disks", "recovery", "repo", "backend", "platform"]),
    ("stead", &["*"]),
    ("testkit", &["*"]),
    ("xtask", &["*"]),
];

/// Only tests may depend on these.
const FOR_TESTS: [&str; 2] = ["testkit", "xtask"];

/// A dependency of one of our crates on another; names are those of the folders.
#[derive(Debug, PartialEq, Eq)]
struct Arrow {
    from: String,
    to: String,
    only_for_tests: bool,
}

/// What is wrong with the workspace's arrows, one sentence each.
pub(crate) fn violations() -> Outcome<Vec<String>> {
    let metadata = workspace::cargo(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let metadata: Value =
        serde_json::from_str(&program::output(&mut { metadata })?).map_err(|error| error.to_string())?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata lists no packages")?;
    Ok(packages.iter().filter_map(stranger).chain(judge(&arrows(packages))).collect())
}

/// A package of the workspace that the table does not know.
fn stranger(package: &Value) -> Option<String> {
    let name = folder(package["name"].as_str()?);
    let known = ALLOWED.iter().any(|(known, _)| *known == name);
    (!known).then(|| format!("crate `{name}` is not in the table of arrows"))
}

fn arrows(packages: &[Value]) -> Vec<Arrow> {
    let ours: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut arrows = Vec::new();
    for package in packages {
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let (Some(from), Some(to)) = (package["name"].as_str(), dependency["name"].as_str()) else { continue };
            // A crate names itself to test with features of its own switched on.
            if ours.contains(to) && from != to {
                let only_for_tests = dependency["kind"] == "dev";
                arrows.push(Arrow { from: folder(from), to: folder(to), only_for_tests });
            }
        }
    }
    arrows
}

fn judge(arrows: &[Arrow]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let may = |arrow: &Arrow| {
        let table = allowed.get(arrow.from.as_str()).copied().unwrap_or_default();
        let in_table = table.contains(&"*") || table.contains(&arrow.to.as_str());
        match FOR_TESTS.contains(&arrow.to.as_str()) {
            true => arrow.only_for_tests || FOR_TESTS.contains(&arrow.from.as_str()),
            false => in_table,
        }
    };
    let tell = |arrow: &Arrow| format!("`{}` must not depend on `{}`", arrow.from, arrow.to);
    arrows.iter().filter(|arrow| !may(arrow)).map(tell).collect()
}

/// `stead-repo` lives in `crates/repo`.
fn folder(package: &str) -> String {
    package.strip_prefix("stead-").unwrap_or(package).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrow(from: &str, to: &str, only_for_tests: bool) -> Arrow {
        Arrow { from: from.into(), to: to.into(), only_for_tests }
    }

    #[test]
    fn the_workspace_keeps_the_arrows() {
        assert_eq!(violations().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn the_workspace_has_arrows_to_judge() {
        let packages =
            workspace::cargo(["metadata", "--format-version", "1", "--no-deps", "--offline"]).output().unwrap();
        let metadata: Value = serde_json::from_slice(&packages.stdout).unwrap();
        let arrows = arrows(metadata["packages"].as_array().unwrap());
        assert!(arrows.contains(&arrow("repo", "backend", false)), "{arrows:?}");
        assert!(arrows.iter().any(|arrow| arrow.only_for_tests && arrow.to == "testkit"), "{arrows:?}");
    }

    #[test]
    fn arrows_that_point_the_wrong_way_are_told() {
        let wrong =
            [arrow("backend", "repo", false), arrow("platform", "backend", true), arrow("repo", "testkit", false)];
        assert_eq!(judge(&wrong).len(), 3);
        let right = [arrow("repo", "backend", false), arrow("repo", "testkit", true), arrow("stead", "files", false)];
        assert_eq!(judge(&right), Vec::<String>::new());
        assert_eq!(judge(&[arrow("newcomer", "backend", false)]), ["`newcomer` must not depend on `backend`"]);
    }
}
