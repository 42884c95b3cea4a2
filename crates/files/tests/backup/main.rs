//! Backups as people meet them: files that change, vanish, refuse; runs that are stopped and go on; and the same trees as
//! restic makes.
#![allow(clippy::print_stderr, reason = "tests say what they skip")]

use stead_files as files;

mod excludes;
mod interrupted;
mod same_root;
mod sources;
mod stories;
mod world;
