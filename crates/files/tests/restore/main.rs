//! What a restore promises.

extern crate stead_files as files;

mod content;
mod harm;
mod hostile;
mod metadata;
mod peers;
mod policy;
mod world;
