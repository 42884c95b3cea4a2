//! Disks go into repositories and come back.

extern crate stead_disks as disks;

mod continued;
mod damage;
mod images;
mod restored;
mod world;
