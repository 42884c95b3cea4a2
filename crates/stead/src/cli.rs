//! The command line: one enum of commands, parsed, dispatched, and every ending turned into an exit code.

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    agent, backup, cache, cat, check, copy, diff, disk, dump, find, fleet, forget, gateway, generate, init, keeper,
    key, list, ls, prune, restore, server, snapshots, stats, tag, unlock, up, version,
};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::global::GlobalArgs;
use crate::open::Context;
use crate::output::Output;

/// Backup for machines, for mistakes, and for the people who look after them.
///
/// Repositories are restic's: whatever stead writes, restic and rustic read, and the other way round. Commands, flags,
/// variables, JSON messages and exit codes mean what they mean in restic.
///
/// The first backup needs no set-up: `stead backup ~/Documents` makes a repository below your data directory.
#[derive(Parser)]
#[command(name = "stead", version, max_term_width = 100, propagate_version = false, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Args),
    Backup(Box<backup::Args>),
    Snapshots(snapshots::Args),
    Ls(ls::Args),
    Find(Box<find::Args>),
    Diff(diff::Args),
    Disk(Box<disk::Args>),
    Dump(dump::Args),
    Restore(Box<restore::Args>),
    Check(check::Args),
    Forget(Box<forget::Args>),
    Prune(prune::Args),
    Copy(copy::Args),
    Key(key::Args),
    Tag(tag::Args),
    Stats(stats::Args),
    Cat(cat::Args),
    List(list::Args),
    Unlock(unlock::Args),
    Cache(cache::Args),
    Gateway(gateway::Args),
    Up(Box<up::Args>),
    Agent(Box<agent::Args>),
    Keeper(Box<keeper::Args>),
    Server(server::Args),
    Fleet(fleet::Args),
    Generate(generate::Args),
    Version(version::Args),
}

/// Runs the program.
pub(crate) fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let output = cli.global.output();
    let told = output.as_ref().map_or(Output { format: crate::output::Format::Text, level: 1 }, |output| *output);
    match output.and_then(|_| dispatch(cli)) {
        Ok(()) => Exit::Success,
        Err(failure) => {
            if !failure.is_silent() {
                told.failure(&failure);
            }
            failure.exit()
        }
    }
}

/// Help and versions are a success, anything else is restic's exit code for a wrong command line.
fn usage(error: &clap::Error) -> Exit {
    match (error.print(), error.use_stderr()) {
        (Ok(()), false) => Exit::Success,
        _ => Exit::Failure,
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let context = || Context::new(&cli.global);
    match cli.command {
        Command::Init(args) => args.run(&context()?),
        Command::Backup(args) => args.run(&context()?),
        Command::Snapshots(args) => args.run(&context()?),
        Command::Ls(args) => args.run(&context()?),
        Command::Find(args) => args.run(&context()?),
        Command::Diff(args) => args.run(&context()?),
        Command::Disk(args) => args.run(&context()?),
        Command::Dump(args) => args.run(&context()?),
        Command::Restore(args) => args.run(&context()?),
        Command::Check(args) => args.run(&context()?),
        Command::Forget(args) => args.run(&context()?),
        Command::Prune(args) => args.run(&context()?),
        Command::Copy(args) => args.run(&context()?),
        Command::Key(args) => args.run(&context()?),
        Command::Tag(args) => args.run(&context()?),
        Command::Stats(args) => args.run(&context()?),
        Command::Cat(args) => args.run(&context()?),
        Command::List(args) => args.run(&context()?),
        Command::Unlock(args) => args.run(&context()?),
        Command::Cache(args) => args.run(&context()?),
        Command::Gateway(args) => args.run(&context()?),
        Command::Agent(args) => args.run(context, cli.global.output()?),
        Command::Keeper(args) => args.run(context, cli.global.output()?),
        Command::Up(args) => args.run(&context()?),
        Command::Server(args) => args.run(&context()?),
        Command::Fleet(args) => args.run(&context()?),
        Command::Generate(args) => args.run(command(), cli.global.output()?),
        Command::Version(args) => args.run(cli.global.output()?),
    }
}

/// The whole command line, for manuals and completions.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        super::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        for command in super::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("stead "), "{} has no example:\n{help}", command.get_name());
        }
    }
}
