//! The agent as a program: it joins, backs up, survives cuts, kills and strange servers, and leaves nothing behind.

mod desktop;
mod faults;
mod joining;
mod machine;
mod orders;
mod peer;
mod real;
mod road;
