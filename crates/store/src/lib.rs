//! The server's memory, in SQLite or PostgreSQL: one code path, one suite run on both.
//!
//! A question is asked in a [`Scope`](continuity::Scope), through [`View`], and neither finds nor changes what lies
//! outside; what lies outside is not told from what does not exist. What tasks, sign-in, agents and the gateway need
//! without a person stands by name in [`System`]. A change and its line in the audit log are one transaction.

mod alert;
mod audit;
mod card;
mod client;
mod code;
mod destination;
mod document;
mod entity;
mod error;
mod grant;
mod job;
mod machine;
mod member;
mod migrate;
mod moment;
mod open;
mod passkey;
mod password;
mod person;
mod policy;
mod proof;
mod run;
mod secret;
mod session;
mod setting;
mod silence;
mod site;
mod system;
mod tenant;
mod token;
mod transfer;
mod view;

mod within;

pub use audit::{AuditChain, AuditEntry, AuditError, verify_chain};
pub use card::{Card, Counts, FleetFilter, FleetPage, PageMark};
pub use code::{CodeId, EnrolmentCode, NewCode};
pub use error::{Error, Result};
pub use job::{JobRow, NewJob};
pub use machine::{MachineChange, Quarantine, Tended};
pub use member::Member;
pub use open::{Engine, Store};
pub use passkey::{NewPasskey, Passkey, PasskeyId};
pub use password::{PasswordHash, WrongPassword};
pub use proof::{CopyMade, DrillMade};
pub use run::RunRow;
pub use secret::{Secret, SecretHash};
pub use session::{Session, SessionId};
pub use system::{
    Attended, Beat, DueFacts, Enrolled, Enrolment, GatewayAccount, Keeper, KeeperId, Met, MetKeeper, NewKeeper,
    Notification, Put, Receipt, Relay, RelayId, RelayState, RepositoryRules, RepositoryUse, Retold, SealedKey, SignIn,
    System, Taken, TenantBoard,
};
pub use token::{Token, TokenId};
pub use transfer::Moved;
pub use view::View;
