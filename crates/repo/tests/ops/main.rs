//! Stories about tending repositories: retention, forget, prune, check, copy, stats; against a model and against restic.

extern crate stead_repo as repo;

mod check;
mod copying;
mod interop;
mod interrupted;
mod model;
mod pruning;
mod retention;
mod workshop;
