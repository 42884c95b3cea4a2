//! The agent as a program: it joins, backs up, survives cuts, kills and strange servers, and leaves nothing behind.

#![allow(clippy::print_stderr, reason = "a machine whose test failed tells what its agent said")]

mod desktop;
mod faults;
mod joining;
mod machine;
mod orders;
mod peer;
mod real;
mod road;
