//! A whole firm under faults: servers, gateway, keeper and agents are killed, the database goes away, the disk is full.
//! Afterwards everything that was said to be done is done, once.

#![allow(clippy::print_stderr, reason = "a story by chance tells its seed, and a firm that failed what its parts said")]

mod apart;
mod away;
mod below;
mod firm;
mod full;
mod hook;
mod kills;
mod ledger;
mod part;
mod reader;
mod two;
