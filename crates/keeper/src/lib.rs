//! Tends repositories.
