//! Running lvm2's and the device mapper's own programs.

use std::io;
use std::process::{Command, Stdio};

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProgramError {
    #[error("cannot run {program}: {cause}")]
    Start { program: String, cause: io::Error },
    #[error("{line} failed: {said}")]
    Failed { line: String, said: String },
    #[error("{program} said what is not understood: {said:?}")]
    NotUnderstood { program: String, said: String },
    #[error("snapshot {snapshot} ran full while it was read: more was written to its origin than it has room for")]
    SnapshotFull { snapshot: String },
}

impl ProgramError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ProgramError::SnapshotFull { .. } => Some(
                "back up at a quieter time, or give the snapshot more room: a thick one takes half of what its group has free",
            ),
            _ => None,
        }
    }
}

/// Runs programs; tests have their own.
pub trait Programs {
    /// Runs one to its end, in English, with nothing on standard input; returns its standard output.
    fn run(&self, program: &str, args: &[&str]) -> Result<String, ProgramError>;

    /// Runs one that may ask whoever sits at the terminal.
    fn ask(&self, program: &str, args: &[&str]) -> Result<(), ProgramError>;
}

/// The programs of this system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemPrograms;

impl Programs for SystemPrograms {
    fn run(&self, program: &str, args: &[&str]) -> Result<String, ProgramError> {
        let mut command = Command::new(program);
        let output = command.args(args).env("LC_ALL", "C").stdin(Stdio::null()).output();
        let output = output.map_err(|cause| ProgramError::Start { program: program.to_owned(), cause })?;
        if !output.status.success() {
            let line = format!("{program} {}", args.join(" "));
            return Err(ProgramError::Failed { line, said: String::from_utf8_lossy(&output.stderr).trim().to_owned() });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn ask(&self, program: &str, args: &[&str]) -> Result<(), ProgramError> {
        let status = Command::new(program).args(args).status();
        match status.map_err(|cause| ProgramError::Start { program: program.to_owned(), cause })? {
            status if status.success() => Ok(()),
            status => {
                let line = format!("{program} {}", args.join(" "));
                Err(ProgramError::Failed { line, said: status.to_string() })
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod script {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::{ProgramError, Programs};

    /// Answers by the beginning of the line, and remembers what was run.
    #[derive(Default)]
    pub(crate) struct Script {
        answers: BTreeMap<String, Result<String, String>>,
        pub(crate) lines: RefCell<Vec<String>>,
    }

    impl Script {
        pub(crate) fn says(mut self, beginning: &str, answer: &str) -> Script {
            self.answers.insert(beginning.to_owned(), Ok(answer.to_owned()));
            self
        }

        pub(crate) fn fails(mut self, beginning: &str, said: &str) -> Script {
            self.answers.insert(beginning.to_owned(), Err(said.to_owned()));
            self
        }
    }

    impl Programs for Script {
        fn run(&self, program: &str, args: &[&str]) -> Result<String, ProgramError> {
            let line = format!("{program} {}", args.join(" "));
            self.lines.borrow_mut().push(line.clone());
            let answer = self.answers.iter().rev().find(|(beginning, _)| line.starts_with(beginning.as_str()));
            match answer {
                Some((_, Ok(answer))) => Ok(answer.clone()),
                Some((_, Err(said))) => Err(ProgramError::Failed { line, said: said.clone() }),
                None => Ok(String::new()),
            }
        }

        fn ask(&self, program: &str, args: &[&str]) -> Result<(), ProgramError> {
            self.run(program, args).map(drop)
        }
    }
}
