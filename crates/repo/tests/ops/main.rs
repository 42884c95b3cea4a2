//! Stories about tending repositories: retention, forget, prune, check, copy, stats; against a model and against restic.

extern crate stead_repo as repo;

mod check;
mod clocks;
mod copying;
mod interleaving;
mod interop;
mod interrupted;
mod limits;
mod listings;
mod model;
mod pruning;
mod retention;
mod roles;
mod two_machines;
mod workshop;
