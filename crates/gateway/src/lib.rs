//! restic's REST protocol, versions 1 and 2, as a server over a [`backend::Backend`].
//!
//! Machines hold a credential each, for one repository: they add and read, and remove nothing but locks of their own.
//! What is stored under a name never changes; nothing is told as stored before it is durable and in the [`Ledger`] with
//! the time of the gateway's own clock. No key is ever seen: names are hashes, and hashes are checked.

mod access;
mod allowance;
mod attempts;
mod body;
mod certificate;
mod connection;
mod credential;
mod download;
mod gateway;
mod intake;
mod journal;
mod ledger;
mod length;
mod listing;
mod meter;
mod name;
mod patience;
mod permission;
mod refusal;
mod repositories;
mod scrub;
mod server;
mod service;
mod target;
mod turnstile;
mod visit;

pub use access::{Access, AccessError, Account, Enrolment, FileAccess, Holder, Limits, NewAccount, Reach, Rules};
pub use attempts::AttemptLimits;
pub use certificate::{Certificate, CertificateError, CertificateFiles};
pub use connection::ConnectionLimits;
pub use credential::{Secret, SecretHash};
pub use gateway::{Gateway, Options};
pub use ledger::{Act, FileLedger, Ledger, LedgerError, LockHolder, Receipt, Today};
pub use length::Lengths;
pub use meter::{Meter, Viewer};
pub use name::{BadName, RepositoryName};
pub use repositories::Repositories;
pub use scrub::{Finding, Scrub, ScrubError, ScrubOptions, Tally, Verdict};
pub use server::{Server, ServerError, ServerOptions};
