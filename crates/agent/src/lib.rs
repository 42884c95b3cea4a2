//! Dials out, runs jobs, survives the road.

pub mod sealed;
