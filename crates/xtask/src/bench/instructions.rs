//! Instruction counts of the hot loops (`crates/repo/benches/instructions.rs`), which do not depend on what else runs.

use std::fmt::Write;
use std::fs;

use serde_json::Value;

use crate::program::{self, Outcome, at};
use crate::workspace;

/// The version of the library that the benchmarks use; its runner must be the same.
const RUNNER: &str = "0.20.0";

/// Counts, prints the table and writes it to `docs/performance/instructions.md`.
pub(super) fn run() -> Outcome {
    install_runner()?;
    let words = ["bench", "--quiet", "-p", "stead-repo", "--bench", "instructions", "--", "--output-format=json"];
    let said = program::output(&mut workspace::cargo(words))?;
    let counts = said.lines().filter(|line| line.starts_with('{')).map(count).collect::<Outcome<Vec<_>>>()?;
    let page = page(&counts)?;
    println!("{page}");
    let path = workspace::root().join("docs/performance/instructions.md");
    at(&path, fs::write(&path, page))
}

fn install_runner() -> Outcome {
    let version = program::output(&mut program::command(["gungraun-runner", "--version"])).unwrap_or_default();
    if version.contains(RUNNER) {
        return Ok(());
    }
    println!("bench: building gungraun-runner, which takes some minutes");
    program::run(&mut workspace::cargo(["install", "gungraun-runner", "--version", RUNNER, "--locked", "--quiet"]))
}

/// Name and instructions of one benchmark, from the summary that the runner prints.
fn count(summary: &str) -> Outcome<(String, u64)> {
    let summary: Value = serde_json::from_str(summary).map_err(|error| format!("gungraun's summary: {error}"))?;
    let name = match (summary["function_name"].as_str(), summary["id"].as_str()) {
        (Some(function), Some(id)) => format!("{function}, {id}"),
        (Some(function), None) => function.to_owned(),
        (None, _) => return Err(format!("a summary of gungraun without a name: {summary}")),
    };
    let instructions =
        find(&summary, "Ir").and_then(newest).ok_or_else(|| format!("{name}: no count of instructions"))?;
    Ok((name, instructions))
}

/// The value of a key, wherever it lies.
fn find<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    match value {
        Value::Object(fields) => fields.get(key).or_else(|| fields.values().find_map(|field| find(field, key))),
        Value::Array(items) => items.iter().find_map(|item| find(item, key)),
        _ => None,
    }
}

/// The first number: that of this run, before that of the last one.
fn newest(value: &Value) -> Option<u64> {
    match value {
        Value::Number(number) => number.as_u64(),
        Value::Object(fields) => fields.values().find_map(newest),
        Value::Array(items) => items.iter().find_map(newest),
        _ => None,
    }
}

fn page(counts: &[(String, u64)]) -> Outcome<String> {
    let date = program::output(&mut program::command(["date", "-u", "+%F"]))?;
    let mut page = format!(
        "# Instructions of the hot loops\n\n{}, by `cargo xtask bench --instructions` (gungraun {RUNNER}, valgrind). \
         Compare a count with an\nearlier one: valgrind's processor has no SHA instructions and no wide vectors.\n\n\
         | loop | million instructions |\n|---|---|\n",
        date.trim()
    );
    for (name, instructions) in counts {
        let _ = writeln!(page, "| {name} | {:.3} |", *instructions as f64 / 1e6);
    }
    Ok(page)
}
