//! Patterns as users give them, on the command line and in files, turned into the engine's lists.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use files::pattern::{Case, PatternList};

use crate::failure::{Failure, Outcome};

/// `--exclude` and its relatives.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ExcludeArgs {
    /// Leave out what matches (may be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,
    /// The same, upper and lower case alike
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<OsString>,
    /// Read such patterns from a file, one a line
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,
    /// The same, upper and lower case alike
    #[arg(long, value_name = "FILE")]
    iexclude_file: Vec<PathBuf>,
}

/// `--include` and its relatives.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct IncludeArgs {
    /// Take only what matches (may be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<OsString>,
    /// The same, upper and lower case alike
    #[arg(long, value_name = "PATTERN")]
    iinclude: Vec<OsString>,
    /// Read such patterns from a file, one a line
    #[arg(long, value_name = "FILE")]
    include_file: Vec<PathBuf>,
    /// The same, upper and lower case alike
    #[arg(long, value_name = "FILE")]
    iinclude_file: Vec<PathBuf>,
}

/// Two lists: one minds upper and lower case, one does not.
pub(crate) struct Patterns {
    /// Minds case.
    pub(crate) sensitive: PatternList,
    /// Does not.
    pub(crate) insensitive: PatternList,
    /// What was given, for the snapshot's record.
    pub(crate) given: Vec<String>,
}

impl ExcludeArgs {
    /// The patterns, files read.
    pub(crate) fn patterns(&self) -> Outcome<Patterns> {
        Patterns::read((&self.exclude, &self.exclude_file), (&self.iexclude, &self.iexclude_file))
    }
}

impl IncludeArgs {
    /// The patterns, files read.
    pub(crate) fn patterns(&self) -> Outcome<Patterns> {
        Patterns::read((&self.include, &self.include_file), (&self.iinclude, &self.iinclude_file))
    }
}

/// Patterns and files with patterns.
type Given<'a> = (&'a [OsString], &'a [PathBuf]);

impl Patterns {
    fn read(sensitive: Given<'_>, insensitive: Given<'_>) -> Outcome<Patterns> {
        let (sensitive, insensitive) = (collect(sensitive)?, collect(insensitive)?);
        let given = sensitive.iter().chain(&insensitive);
        Ok(Patterns {
            given: given.map(|pattern| String::from_utf8_lossy(pattern).into_owned()).collect(),
            sensitive: PatternList::new(sensitive, Case::Sensitive)?,
            insensitive: PatternList::new(insensitive, Case::Insensitive)?,
        })
    }

    /// True if nothing was given.
    pub(crate) fn is_empty(&self) -> bool {
        self.sensitive.is_empty() && self.insensitive.is_empty()
    }

    /// True if either list means the absolute path.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        self.sensitive.matches(path) || self.insensitive.matches(path)
    }

    /// True if something below the absolute path may be meant.
    pub(crate) fn may_match_below(&self, path: &[u8]) -> bool {
        self.sensitive.judge(path).below_may_match || self.insensitive.judge(path).below_may_match
    }
}

fn collect((patterns, files): Given<'_>) -> Outcome<Vec<Vec<u8>>> {
    let mut all = Vec::new();
    for file in files {
        all.extend(files::exclude::parse_pattern_file(&read_file(file)?, &|name| std::env::var(name).ok()));
    }
    all.extend(patterns.iter().map(|pattern| pattern.as_bytes().to_vec()));
    Ok(all)
}

/// A file's content; `-` is standard input.
pub(crate) fn read_file(path: &Path) -> Outcome<Vec<u8>> {
    let mut content = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().read_to_end(&mut content).map(drop),
        false => std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut content)).map(drop),
    };
    read.map_err(|error| Failure::io("read", path, error))?;
    Ok(content)
}
