//! The museum of failures, docs/concepts/failures.md: it has a row for each, and what a row says is there.

use std::collections::BTreeMap;
use std::fs;

use crate::program::Outcome;
use crate::workspace;

const PAGE: &str = "docs/concepts/failures.md";

/// Rows F1 to F39.
const ROWS: u32 = 39;

/// In a row: why there is no test.
const NOT_FOR_US: &str = "does not apply";

/// What is missing: rows, tests that rows name, numbers that no test bears.
pub(crate) fn violations() -> Outcome<Vec<String>> {
    let page = fs::read_to_string(workspace::root().join(PAGE)).map_err(|error| format!("{PAGE}: {error}"))?;
    let sources = workspace::files()?.into_iter().filter(|file| file.extension().is_some_and(|end| end == "rs"));
    let sources: Vec<String> =
        sources.filter_map(|file| fs::read_to_string(workspace::root().join(file)).ok()).collect();
    Ok(compare(&page, &sources))
}

fn compare(page: &str, sources: &[String]) -> Vec<String> {
    let rows = rows(page);
    let missing = (1..=ROWS).filter(|number| !rows.contains_key(number));
    let missing = missing.map(|number| format!("{PAGE}: there is no row for F{number}"));
    let wrong = rows.iter().filter(|(_, row)| !row.contains(NOT_FOR_US)).flat_map(|(number, row)| {
        let unborn =
            (!is_numbered(*number, sources)).then(|| format!("{PAGE}: no test's comment begins with F{number}"));
        let unknown =
            tests_in(row).filter(|test| !sources.iter().any(|source| source.contains(&format!("fn {test}("))));
        let unknown = unknown.map(move |test| format!("{PAGE}: F{number} names `{test}`, which does not exist"));
        let nameless = tests_in(row).next().is_none().then(|| format!("{PAGE}: F{number} names no test"));
        unborn.into_iter().chain(nameless).chain(unknown).collect::<Vec<_>>()
    });
    missing.chain(wrong).collect()
}

/// Rows by their numbers.
fn rows(page: &str) -> BTreeMap<u32, &str> {
    let row = |line| -> Option<(u32, &str)> {
        let number = str::strip_prefix(line, "| F")?.split_once(' ')?.0;
        Some((number.parse().ok()?, line))
    };
    page.lines().filter_map(row).collect()
}

/// The tests in the last column: words in backticks.
fn tests_in(row: &str) -> impl Iterator<Item = &str> {
    let last = row.trim_end().trim_end_matches('|').rsplit_once('|').map_or("", |(_, last)| last);
    last.split('`').skip(1).step_by(2)
}

/// True if a comment before a test begins with the number, or with several of which it is one.
fn is_numbered(number: u32, sources: &[String]) -> bool {
    let of_test = |source: &String| {
        let lines: Vec<&str> = source.lines().map(str::trim).collect();
        lines.iter().enumerate().any(|(at, line)| numbers_of(line).contains(&number) && is_before_test(&lines[at..]))
    };
    sources.iter().any(of_test)
}

/// The numbers that a comment such as `/// F1, F2: what happened` begins with.
fn numbers_of(line: &str) -> Vec<u32> {
    let Some((numbers, _)) = line.strip_prefix("/// F").and_then(|rest| rest.split_once(": ")) else {
        return Vec::new();
    };
    numbers.split(", F").map_while(|number| number.parse().ok()).collect()
}

fn is_before_test(lines: &[&str]) -> bool {
    let attribute = lines.iter().find(|line| !line.starts_with("///"));
    attribute.is_some_and(|line| line.starts_with("#[test]") || line.starts_with("fn "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_museum_is_complete() {
        assert_eq!(violations().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn missing_rows_tests_and_numbers_are_found() {
        let row = |number, test| format!("| F{number} | story | guard | {test} |\n");
        let page: String =
            (1..=ROWS).map(|number| row(number, if number == 2 { "does not apply" } else { "`a_test`" })).collect();
        let numbers: String =
            (3..=ROWS).map(|number| format!("/// F{number}: x\n/// more\n#[test]\nfn b() {{}}\n")).collect();
        let source = format!("/// F1, F99: story\n#[test]\nfn a_test() {{}}\n{numbers}");
        assert_eq!(compare(&page, std::slice::from_ref(&source)), Vec::<String>::new());
        assert_eq!(compare(&page.replace("| F7 ", "| 7 "), std::slice::from_ref(&source)).len(), 1);
        assert_eq!(compare(&page.replacen("a_test", "another", 1), std::slice::from_ref(&source)).len(), 1);
        assert_eq!(compare(&page, &[source.replace("/// F7:", "// F7:")]).len(), 1);
        assert_eq!(
            compare(&page, &[source.replace("/// F1, F99: story\n#[test]", "/// F1: story\nstruct A;")]).len(),
            1
        );
    }
}
