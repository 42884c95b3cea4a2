//! The server decides, answers and shows: pages, the JSON API, sign-in, audit. It never opens a repository.
//!
//! [`Door::open`](listen::Door::open) takes the address, [`serve`] answers until it is told to stop. What is wrong inside
//! is told to the [`Observer`](observer::Observer) that was passed in; nothing is printed.

mod allowance;
mod answer;
mod app;
mod assets;
mod attempts;
pub mod authority;
mod calls;
pub mod certificate;
mod code;
mod due;
pub mod first;
mod form;
mod frame;
pub mod gateway;
mod join;
mod judge;
mod keepers;
pub mod listen;
mod notify;
pub mod observer;
pub mod own_backup;
mod page;
mod pages;
mod parts;
mod passkey;
mod password;
mod problem;
pub mod qr;
mod routes;
pub mod seal;
mod second_factor;
mod start;
mod token;
mod visitor;
mod when;

pub use app::{Clock, Facade};
pub use start::{Running, Setup};
