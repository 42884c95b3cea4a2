//! The gateway on the network: what clients may do, what a stolen credential may not, and bodies, disks and storages that fail.

mod attacks;
mod bodies;
mod conformance;
mod faults;
mod house;
mod limits;
mod locks;
mod scrub;
