//! Every backend against the conformance suite, on real servers where it needs one, and against networks that fail.

mod clouds;
mod conformance;
mod disk;
mod faults;
mod peer;
mod proxy;
mod trust;
