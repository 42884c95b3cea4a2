//! Every promise of a backend, kept through the protocol: with and without TLS, on storage that takes pieces and on one that
//! does not.

use std::sync::Arc;

use backend::{Backend, Memory, conformance};
use stead_gateway::{CertificateFiles, RepositoryName};
use testkit::Authority;

use crate::house::{House, Plan, name};

/// A keeper of an empty repository.
fn keeper_of(house: &House) -> Arc<dyn Backend> {
    house.add("pc", stead_gateway::Holder::Machine(name("pc")), None);
    house.client(&house.keeper())
}

#[test]
fn a_keeper_has_a_backend() {
    let house = House::new();
    let data = house.data("pc");
    let plant = |path: &str, content: &[u8]| std::fs::write(data.join(path), content).expect("planted");
    conformance::run(keeper_of(&house), Some(&plant));
}

#[test]
fn a_keeper_has_a_backend_over_tls() {
    let authority = Authority::new();
    let issued = authority.for_this_machine();
    let files = CertificateFiles { certificate: issued.certificate, key: issued.key };
    let house = House::build(Plan { certificate: Some((files, authority.certificate())), ..Plan::default() });
    conformance::run(keeper_of(&house), None);
}

#[test]
fn storage_that_takes_no_pieces_is_spooled() {
    let memory: Arc<dyn Backend> = Arc::new(Memory::new());
    let repositories = move |_: &RepositoryName| -> backend::Result<Arc<dyn Backend>> { Ok(Arc::clone(&memory)) };
    let house = House::build(Plan { repositories: Some(Arc::new(repositories)), ..Plan::default() });
    conformance::run(keeper_of(&house), None);
    assert_eq!(crate::house::files_below(&house.room.path().join("incoming")), 0);
}
