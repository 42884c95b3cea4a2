//! What the operating system knows and does: directories, metadata, attributes, accounts, volumes, processes.
//!
//! Every function is safe and says what the system said (`io::Error`); nothing here decides anything. Only this crate makes
//! system calls beyond the standard library.

mod accounts;
mod attendant;
mod block;
pub mod bpf;
mod bus;
pub mod create;
mod dir;
pub mod direct;
mod diskstats;
mod fiemap;
mod freeze;
mod fsmap;
pub mod hardware;
mod link;
mod loop_over;
mod machine;
mod mounts;
mod names;
mod partitions;
mod power;
mod process;
mod sleep;
mod sparse;
mod stat;
mod thread_dir;
mod volume;
mod xattr;

pub use accounts::Accounts;
pub use attendant::{Holder, ThawGuard};
pub use block::{BlockDevice, DeviceNumber};
pub use bus::{Bus, BusAddress};
pub use dir::Dir;
pub use diskstats::DiskCounts;
pub use fiemap::own_ranges;
pub use freeze::HeldFilesystem;
pub use fsmap::free_ranges;
pub use link::{Link, Reach, network_name};
pub use loop_over::LoopOver;
pub use machine::boot_id;
pub use mounts::{Mount, mount_special, mounts};
pub use names::NameList;
pub use partitions::{add_partition, delete_partition, reread_partitions};
pub use power::Power;
pub use process::{
    ProcessIdentity, current_gid, current_uid, effective_uid, hostname, is_process_alive, kill_group,
    raise_open_files_limit, username,
};
pub use sleep::{Sleep, watch_sleep};
pub use sparse::{Span, next_span, punch_hole, reserve};
pub use stat::{FileType, Stat, Time};
pub use thread_dir::ThreadDir;
pub use volume::{Volume, volume};
pub use xattr::{Subject, XattrReader};
