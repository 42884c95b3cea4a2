//! Images restored onto disks of another size: tables fit, partitions and file systems become larger or smaller, files stay.

mod bench;
mod larger;
mod smaller;
mod target;
