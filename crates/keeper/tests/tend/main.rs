//! A keeper's work at real repositories: made by restic and by stead's engine, behind a real REST server.

mod checks;
mod copies;
mod drills;
mod forged;
mod front;
mod house;
mod line;
mod prunes;
mod questions;
mod running;
mod searches;
