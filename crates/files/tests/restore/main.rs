//! What a restore promises.

extern crate stead_files as files;

mod content;
mod harm;
mod hostile;
mod latency;
mod metadata;
mod peers;
mod plan;
mod policy;
mod world;
