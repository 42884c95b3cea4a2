//! Gate 2 of the disks: `stead disk backup` on a machine of its own, with an older kernel and a device mapper, while somebody
//! writes; what it stored is restored here and looked at.

#![expect(clippy::print_stderr, reason = "times are read in the test run's output")]

mod kernels;
mod machine;
mod mapped;
mod reboot;
mod volumes;
