//! stead as a whole: one command in a Debian that knows nothing of it and a phone on its page; the parts as processes of their
//! own on one database and an object store, with a second gateway, after the loss of the server, of different ages; the
//! package with its users and units.

mod apart;
mod house;
mod lost;
mod newer;
mod package;
mod phone;
mod root;
mod three_taps;
