//! stead: backup for machines, for mistakes, and for the people who look after them.
//!
//! This binary knows flags, words and exit codes, and wires the engine; it decides nothing about repositories.

mod cli;
mod commands;
mod consent;
mod default_repository;
mod environment;
mod exit;
mod failure;
mod fresh_cache;
mod global;
mod hint;
mod open;
mod output;
mod password;
mod patterns;
mod render;
mod select;
mod signal;

fn main() -> std::process::ExitCode {
    cli::run().into()
}
