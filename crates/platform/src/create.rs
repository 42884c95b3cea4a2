//! Creating what a restore creates, always relative to an open directory and never through links.
