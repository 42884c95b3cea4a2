//! Tends repositories: checks, forgets and prunes with a delay, copies, practises restores, knows the names of what is
//! stored, and hands out what somebody asks for.
//!
//! A keeper dials out to the server, gets tasks and questions, and reaches repositories through the gateway with an account
//! that may remove. Keys of repositories come with each task, sealed to the keeper's public key; the private one is sealed
//! at rest ([`keys`]). Nothing here prints, reads the environment or asks the system for the time.
//!
//! # Recovery sheets
//! A client's recovery password is 24 groups: see [`recovery`] for how it is written, and what the code on a sheet holds.

mod answer;
pub mod catalogue;
mod desk;
pub mod destination;
pub mod error;
pub mod home;
mod keeper;
pub mod keys;
mod link;
pub mod memory;
mod outlet;
pub mod recovery;
pub mod reporter;
mod sites;
pub mod status;
pub mod storage;
mod task;
pub mod vault;
pub mod work;

pub use error::{Error, Result, words};
pub use keeper::{Notice, Setup, run};
pub use link::{Dial, Known, LinkError};
