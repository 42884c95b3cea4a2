//! `stead generate`: man pages, shell completions, reference pages; all from the command line itself.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_complete::Shell;

use crate::failure::{Failure, Outcome};
use crate::output::{Lines, Output};

/// Write man pages and shell completions
///
/// Example: stead generate --bash-completion /etc/bash_completion.d/stead --man /usr/local/share/man/man1
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    /// Write man pages into this directory
    #[arg(long, value_name = "DIRECTORY")]
    man: Option<PathBuf>,
    /// Write completions for bash into this file (`-` for standard output)
    #[arg(long, value_name = "FILE")]
    bash_completion: Option<PathBuf>,
    /// Write completions for fish into this file (`-` for standard output)
    #[arg(long, value_name = "FILE")]
    fish_completion: Option<PathBuf>,
    /// Write completions for zsh into this file (`-` for standard output)
    #[arg(long, value_name = "FILE")]
    zsh_completion: Option<PathBuf>,
    /// Write completions for PowerShell into this file (`-` for standard output)
    #[arg(long, value_name = "FILE")]
    powershell_completion: Option<PathBuf>,
    /// Write reference pages in Markdown into this directory
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    markdown: Option<PathBuf>,
}

impl Args {
    pub(crate) fn run(self, command: Command, output: Output) -> Outcome {
        let shells = [
            (Shell::Bash, &self.bash_completion),
            (Shell::Fish, &self.fish_completion),
            (Shell::Zsh, &self.zsh_completion),
            (Shell::PowerShell, &self.powershell_completion),
        ];
        for (shell, path) in shells.into_iter().filter_map(|(shell, path)| Some((shell, path.as_deref()?))) {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command.clone(), "stead", &mut script);
            write(path, &script)?;
            tell(output, path, &format!("{shell} completions"))?;
        }
        if let Some(directory) = &self.man {
            make(directory)?;
            clap_mangen::generate_to(command.clone(), directory)
                .map_err(|error| Failure::io("write man pages into", directory, error))?;
            tell(output, directory, "man pages")?;
        }
        if let Some(directory) = &self.markdown {
            make(directory)?;
            markdown(command, directory)?;
            tell(output, directory, "reference pages")?;
        }
        Ok(())
    }
}

fn tell(output: Output, path: &Path, what: &str) -> Outcome {
    if path == Path::new("-") { Ok(()) } else { output.remark(format_args!("wrote {what} to {}", path.display())) }
}

fn make(directory: &Path) -> Outcome {
    std::fs::create_dir_all(directory).map_err(|error| Failure::io("make the directory", directory, error))
}

fn write(path: &Path, content: &[u8]) -> Outcome {
    if path == Path::new("-") {
        let mut lines = Lines::new();
        lines.bytes(content)?;
        return lines.finish();
    }
    std::fs::File::create(path)
        .and_then(|mut file| file.write_all(content))
        .map_err(|error| Failure::io("write", path, error))
}

/// One page per command, and one with the list of commands and the options that all of them have.
fn markdown(mut command: Command, directory: &Path) -> Outcome {
    command.build();
    let mut index = format!("# {}\n\n{}\n\n## Commands\n\n", command.get_name(), about(&command));
    for subcommand in command.get_subcommands().filter(|command| is_shown(command)) {
        let name = subcommand.get_name();
        let short = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        index.push_str(&format!("- [`stead {name}`]({name}.md): {short}\n"));
        write(&directory.join(format!("{name}.md")), page(std::slice::from_ref(subcommand), "stead").as_bytes())?;
    }
    index.push_str("\n## Options that every command takes\n\n");
    index.push_str(&options(&command, |argument| argument.is_global_set()));
    write(&directory.join("README.md"), index.as_bytes())
}

fn is_shown(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn page(commands: &[Command], parent: &str) -> String {
    let mut text = String::new();
    for command in commands {
        let name = format!("{parent} {}", command.get_name());
        let usage = command.clone().render_usage().to_string();
        text.push_str(&format!("# {name}\n\n{}\n\n```text\n{usage}\n```\n\n", about(command)));
        text.push_str(&options(command, |argument| !argument.is_global_set()));
        let nested: Vec<Command> = command.get_subcommands().filter(|command| is_shown(command)).cloned().collect();
        text.push_str(&page(&nested, &name));
    }
    text
}

fn about(command: &Command) -> String {
    command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default()
}

fn options(command: &Command, wanted: impl Fn(&clap::Arg) -> bool) -> String {
    let mut text = String::new();
    let shown = command.get_arguments().filter(|argument| !argument.is_hide_set() && wanted(argument));
    for argument in shown.filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version")) {
        let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("- `{}`: {help}\n", argument.to_string().trim()));
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}
