//! Live disks, captured while somebody writes: what comes out is the disk at one instant.
//!
//! `STEAD_ROUNDS` says how often the live captures are repeated for each filesystem (3 unless `cargo xtask test --all`).

#![expect(clippy::print_stderr, reason = "freeze times and passes are read in the test run's output")]

mod disk;
mod faults;
mod guard;
mod increments;
mod kills;
mod live;
mod postgres;

use testkit::writer;

pub(crate) use disk::{FileSink, LiveDisk, everything, knows, run, tracked};
