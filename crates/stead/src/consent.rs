//! Consent: whoever does what cannot be undone says so, by `--yes` or at the terminal.

use std::io::{BufRead, IsTerminal};

use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Says what would happen and asks; fails unless the answer is yes. Where nobody can answer, the advice is `otherwise`.
pub(crate) fn ask(what: &str, otherwise: &str, output: Output) -> Outcome {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::new("nobody is there to be asked").hint(otherwise));
    }
    output.notice(format_args!("{what} [y/N]"))?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    match line.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was done")),
    }
}
