//! A server with a large fleet: 10,000 agents that are connected, 500 clients, a year of history, on SQLite and on PostgreSQL.
//!
//! `crates/server/examples/fleet` plays the agents and the visitor; the server is a process of its own.

use std::path::PathBuf;

use serde_json::Value;

use super::report::write;
use crate::program::{self, Outcome};
use crate::workspace;

/// Milliseconds that the first page may take, bytes that it may have as it travels, cores that the server may use.
const TARGETS: (f64, f64, f64) = (100.0, 100_000.0, 0.5);

/// What the words after `bench fleet` ask for.
struct Options {
    is_quick: bool,
    stead: Option<PathBuf>,
}

/// Measures on each database and writes the page.
pub(super) fn run(words: &[&str]) -> Outcome {
    let options = Options::parse(words)?;
    let stead = options.stead.map_or_else(workspace::release_binary, Ok)?;
    let (machines, seconds) = if options.is_quick { ("500", "20") } else { ("10000", "300") };
    let mut figures = Vec::new();
    for engine in ["sqlite", "postgres"] {
        println!("{engine}: {machines} machines");
        let room = super::room()?;
        let words = ["run", "--release", "--quiet", "--package", "stead-server", "--example", "fleet", "--"];
        let mut command = workspace::cargo(words);
        command.arg(&stead).arg(&room).args([engine, machines, seconds]);
        let said = program::output(&mut command)?;
        figures.push(serde_json::from_str(said.trim()).map_err(|error| format!("no figures in {said:?}: {error}"))?);
        super::clear(&room)?;
    }
    publish(&figures, options.is_quick)
}

impl Options {
    fn parse(words: &[&str]) -> Outcome<Options> {
        match words {
            [] => Ok(Options { is_quick: false, stead: None }),
            ["--quick", rest @ ..] => Ok(Options { is_quick: true, ..Options::parse(rest)? }),
            ["--stead", path, rest @ ..] => Ok(Options { stead: Some(path.into()), ..Options::parse(rest)? }),
            [word, ..] => Err(format!("do not know `{word}`: bench fleet [--quick] [--stead PROGRAM]")),
        }
    }
}

fn publish(figures: &[Value], is_quick: bool) -> Outcome {
    let date = program::output(&mut program::command(["date", "-u", "+%F"]))?.trim().to_owned();
    let machine = program::output(&mut program::command(["uname", "-srm"]))?;
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let text = markdown(figures, &date, &format!("{cores} cores, {}", machine.trim()));
    println!("\n{text}");
    let raw = workspace::target().join("bench-results");
    let pages = if is_quick { raw } else { workspace::root().join("docs/performance") };
    write(pages.join(format!("{date}-fleet.md")), &text)
}

fn markdown(figures: &[Value], date: &str, machine: &str) -> String {
    let mut text =
        format!("# A large fleet, {date}\n\n{machine}. Server, agents, visitor and database are one machine. ");
    text += "Every agent has a line of its own with TLS and is heard once a minute; runs begin as often as when each machine \
             has one a day. Pages are asked for 40 times over one connection with TLS: the middle one, and the third \
             slowest. Processor time is the server's process alone, without the database's where that is another.\n";
    for figures in figures {
        text += &section(figures);
    }
    text
}

fn section(figures: &Value) -> String {
    let number = |path: &str| figures.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let word = |value: f64, target: f64| if value <= target { "reached" } else { "missed" };
    let (time, size, cores) = TARGETS;
    let mut text = format!(
        "\n## {}: {} machines, {} runs\n\n| | | target |\n|---|---:|---|\n",
        figures["engine"].as_str().unwrap_or_default(),
        number("/machines"),
        number("/runs")
    );
    for (words, path) in [("in a quiet minute", "/pages/0"), ("while they work", "/pages/1")] {
        let (median, slow) = (number(&format!("{path}/median")), number(&format!("{path}/slow")));
        text +=
            &format!("| first page, {words} | {median:.1} ms, slow {slow:.1} | ≤ {time} ms {} |\n", word(median, time));
    }
    let (bytes, spent) = (number("/pages/1/bytes"), number("/cores"));
    text += &format!("| first page as it travels | {:.1} kB | ≤ 100 kB {} |\n", bytes / 1e3, word(bytes, size));
    text += &format!("| a machine's page | {:.1} ms | |\n", number("/machine/median"));
    text += &format!(
        "| the server's cores, over {:.0} s | **{spent:.2}** | ≤ {cores} {} |\n",
        number("/watched"),
        word(spent, cores)
    );
    text += &format!("| the server's memory | {:.0} MiB | |\n", number("/memory") / f64::from(1 << 20));
    text + &format!("| until all agents were connected | {:.1} s | |\n", number("/gathered"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_as_reached_or_missed() {
        let figures = serde_json::json!({
            "engine": "sqlite", "machines": 10_000, "runs": 3_640_000, "gathered": 31.0, "cores": 0.61, "watched": 300.2,
            "memory": 1_u64 << 29,
            "pages": [{ "median": 12.0, "slow": 30.0, "bytes": 9_000 }, { "median": 120.5, "slow": 130.0, "bytes": 9_100 }],
            "machine": { "median": 8.0, "slow": 9.0, "bytes": 4_000 },
        });
        let page = markdown(&[figures], "today", "2 cores");
        assert!(page.contains("## sqlite: 10000 machines, 3640000 runs"), "{page}");
        assert!(page.contains("| first page, in a quiet minute | 12.0 ms, slow 30.0 | ≤ 100 ms reached |"), "{page}");
        assert!(page.contains("| first page, while they work | 120.5 ms, slow 130.0 | ≤ 100 ms missed |"), "{page}");
        assert!(page.contains("| the server's cores, over 300 s | **0.61** | ≤ 0.5 missed |"), "{page}");
        assert!(page.contains("| the server's memory | 512 MiB | |"), "{page}");
    }
}
