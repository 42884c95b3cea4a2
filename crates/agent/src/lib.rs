//! Dials out, runs jobs, survives the road.
