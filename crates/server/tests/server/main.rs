//! The server from outside: real connections, a real database, no knowledge of its insides.

#![allow(clippy::print_stderr, reason = "tests say why they are skipped")]

mod ages;
mod api;
mod browser;
mod caller;
mod calls;
mod escaped;
mod export;
mod firms;
mod hostile;
mod keepers;
mod limits;
mod live;
mod looks;
mod messages;
mod passkeys;
mod post;
mod process;
mod programs;
mod relays;
mod roles;
mod sheets;
mod shop;
mod signing_in;
