//! On the line with a server.
