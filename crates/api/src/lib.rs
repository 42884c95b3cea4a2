//! Words on the wire, and one table of routes with who may ask for them.

pub mod answer;
mod route;
pub mod wire;

pub use route::{Access, Method, Route};
