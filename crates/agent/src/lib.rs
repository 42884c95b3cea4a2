//! Dials out, runs jobs, survives the road.
//!
//! An agent has a directory ([`Place`]) with its identity, its memory and the password of its repository. It joins a server
//! once ([`enrol`]), and from then on does its duties whether the server is there or not ([`run`]): what happens is
//! written to its [`memory`] first and told afterwards, so that it is told at least once and happens once.

mod agent;
mod connection;
mod enrolment;
mod foreman;
mod gate;
mod hooks;
mod identity;
mod imaging;
mod inbox;
mod jitter;
mod lanes;
mod membership;
mod memory;
mod pin;
mod place;
mod refusal;
mod removal;
mod running;
pub mod sealed;
pub mod service;
mod settings;
mod status;
mod storage;
mod surroundings;
mod watch;
mod work;

pub use agent::{AgentError, Notice, Setup, run};
pub use enrolment::{EnrolError, Joined, Wish, enrol};
pub use identity::{Identity, IdentityError};
pub use imaging::{ImageRequest, Imaged, Imaging};
pub use membership::{Membership, Trust};
pub use memory::MemoryError;
pub use pin::{Fingerprint, NotAFingerprint, Pin, PinError, Seen, pinned};
pub use place::{Place, PlaceError};
pub use removal::{Farewell, Leaver, RemovalError, Removed, remove};
pub use settings::{Settings, SettingsError};
pub use status::{Contact, RunStatus, Status, StatusError, status};
pub use surroundings::{Surroundings, Watched};
