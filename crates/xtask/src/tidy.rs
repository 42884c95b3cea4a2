//! What no compiler sees: file sizes, leftovers, machine paths, printing engines, the form of changelog fragments, the museum
//! of failures.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::Outcome;
use crate::{arrows, docs, failures, workspace};

const LONGEST_FILE: usize = 700;

/// Crates that never print.
const SILENT: [&str; 6] =
    ["crates/backend/", "crates/repo/", "crates/platform/", "crates/files/", "crates/disks/", "crates/gateway/"];

/// First words of a changelog fragment.
const KINDS: [&str; 5] = ["added", "changed", "fixed", "removed", "security"];

/// Everything that is found, or nothing to say.
pub(crate) fn report() -> Outcome {
    let mut found = findings()?;
    found.extend(arrows::violations()?);
    found.extend(failures::violations()?);
    found.extend(docs::check().err());
    if found.is_empty() {
        println!("tidy: nothing to say");
        return Ok(());
    }
    Err(format!("{} things to tidy\n{}", found.len(), found.join("\n")))
}

/// What is wrong with files, as `path:line: what`.
fn findings() -> Outcome<Vec<String>> {
    let files = workspace::files()?;
    Ok(files.iter().flat_map(|file| findings_in(file)).collect())
}

fn findings_in(file: &Path) -> Vec<String> {
    let Ok(text) = fs::read_to_string(workspace::root().join(file)) else { return Vec::new() };
    let name = file.to_string_lossy();
    if name == "Cargo.lock" {
        return Vec::new();
    }
    let told = |(line, what): (usize, String)| format!("{name}:{line}: {what}");
    let lines = text.lines().enumerate().filter_map(|(number, line)| Some((number + 1, in_line(&name, line)?)));
    lines.chain(in_whole(&name, &text)).map(told).collect()
}

/// What a line must not have.
fn in_line(file: &str, line: &str) -> Option<String> {
    let forbidden = forbidden_words().into_iter().find(|word| line.contains(word.as_str()));
    if let Some(word) = forbidden {
        return Some(format!("`{word}` belongs to one machine or registry"));
    }
    if !file.ends_with(".rs") {
        return None;
    }
    if let Some(word) = leftovers().into_iter().find(|word| line.contains(word.as_str())) {
        return Some(format!("`{word}` is left over"));
    }
    let prints = ["println!", "print!", "eprintln!", "eprint!"].iter().any(|word| starts_call(line, word));
    (prints && is_silent(file)).then(|| "an engine crate prints".to_owned())
}

/// What a whole file must not be.
fn in_whole(file: &str, text: &str) -> Option<(usize, String)> {
    let lines = text.lines().count();
    if file.ends_with(".rs") && lines > LONGEST_FILE {
        return Some((lines, format!("longer than {LONGEST_FILE} lines")));
    }
    if file.ends_with(".rs") && file.contains("/src/") && !opens_with_its_noun(text) {
        return Some((1, "does not open with a `//!` line that says what it is".to_owned()));
    }
    let is_fragment = file.starts_with("changelog/unreleased/") && file.ends_with(".md");
    (is_fragment && !is_good_fragment(text)).then(|| (1, "not `kind: subject`, an empty line, and a text".to_owned()))
}

fn opens_with_its_noun(text: &str) -> bool {
    text.starts_with("//!")
}

fn is_good_fragment(text: &str) -> bool {
    let mut lines = text.lines();
    let (kind, subject) = lines.next().and_then(|first| first.split_once(": ")).unwrap_or_default();
    KINDS.contains(&kind)
        && !subject.trim().is_empty()
        && lines.next() == Some("")
        && lines.any(|line| !line.is_empty())
}

/// Tests and examples may print; the sources of silent crates may not.
fn is_silent(file: &str) -> bool {
    SILENT.iter().any(|prefix| file.starts_with(prefix)) && file.contains("/src/")
}

/// True if the line calls the macro, not in a comment and not as the end of a longer name.
fn starts_call(line: &str, name: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
    !line.trim_start().starts_with("//") && line.find(name).is_some_and(before)
}

// The words are put together here, so that this file does not find itself.

fn forbidden_words() -> [String; 7] {
    ["/work/ma=in", "/work/sha=red", "/work/=.", "/ro=ot/", "index.cra=tes.io", "static.cra=tes.io", "pypi.o=rg"]
        .map(|word| word.replace('=', ""))
}

fn leftovers() -> [String; 5] {
    ["TO=DO", "FIX=ME", "to=do!(", "unimple=mented!(", "d=bg!("].map(|word| word.replace('=', ""))
}

/// Where findings of a file are, for tests.
#[cfg(test)]
fn words_in(file: &str, text: &str) -> Vec<String> {
    text.lines().filter_map(|line| in_line(file, line)).chain(in_whole(file, text).map(|(_, what)| what)).collect()
}

/// Used by the documentation check to name files relative to the root.
pub(crate) fn relative(path: &Path) -> PathBuf {
    path.strip_prefix(workspace::root()).unwrap_or(path).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        assert_eq!(findings().unwrap(), Vec::<String>::new());
        assert!(workspace::files().unwrap().len() > 50, "the files were really looked at");
    }

    #[test]
    fn leftovers_and_machine_paths_are_found() {
        for line in [format!("// {}: later", leftovers()[0]), format!("    {}\"x\")", leftovers()[2])] {
            assert_eq!(words_in("crates/repo/src/a.rs", &format!("//! A.\n{line}")).len(), 1, "{line}");
        }
        assert_eq!(words_in("docs/a.md", &format!("see {}/README", forbidden_words()[0])).len(), 1);
        assert_eq!(words_in("docs/a.md", "a TO DO list"), Vec::<String>::new());
    }

    #[test]
    fn engine_crates_do_not_print_and_others_may() {
        let text = "//! A.\nfn a() {\n    println!(\"x\");\n}\n";
        assert_eq!(words_in("crates/repo/src/a.rs", text), ["an engine crate prints"]);
        assert_eq!(words_in("crates/repo/examples/a.rs", text), Vec::<String>::new());
        assert_eq!(words_in("crates/stead/src/a.rs", text), Vec::<String>::new());
    }

    #[test]
    fn long_and_nameless_files_are_found() {
        assert_eq!(words_in("crates/repo/src/a.rs", "use b;\n").len(), 1);
        assert_eq!(words_in("crates/repo/src/a.rs", &"//! a\n".repeat(LONGEST_FILE)), Vec::<String>::new());
        assert_eq!(words_in("crates/repo/src/a.rs", &"//! a\n".repeat(LONGEST_FILE + 1)).len(), 1);
    }

    #[test]
    fn changelog_fragments_have_a_form() {
        assert!(is_good_fragment("fixed: names with a newline\n\nThey were cut.\n"));
        for bad in ["", "fixed\n\ntext", "fixed: \n\ntext", "repaired: a\n\ntext", "fixed: a\ntext", "fixed: a\n\n"] {
            assert!(!is_good_fragment(bad), "{bad:?}");
        }
    }
}
