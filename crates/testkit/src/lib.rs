//! Builders, peers, fakes and faults for tests.
//!
//! Nothing here is a dependency of anything but tests.

pub mod authority;
pub mod bench;
pub mod faulty_backend;
pub mod guest;
pub mod loop_device;
pub mod peer;
pub mod picture;
pub mod postgres;
pub mod qemu;
pub mod sample;
pub mod server;
pub mod shop;
pub mod tpm;
pub mod wire;
pub mod writer;

pub use authority::{Authority, Certificate, Validity};
pub use bench::Bench;
pub use faulty_backend::FaultyBackend;
pub use guest::{Guest, Kernel, Machine};
pub use loop_device::{LoopDevice, Mounted};
pub use peer::Peer;
pub use picture::Picture;
pub use postgres::Postgres;
pub use server::{Server, free_port, lasting_port};
pub use shop::Shop;
pub use tpm::SoftTpm;
pub use wire::Wire;
