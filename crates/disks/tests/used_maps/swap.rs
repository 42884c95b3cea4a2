//! Swap space.

use std::os::unix::fs::FileExt;

use stead_disks::used::{Kind, State};

use crate::subject::{MIB, Subject};

#[test]
fn of_swap_space_only_the_header_page_is_used() {
    for page in [4096_u64, 65536] {
        let page_size = page.to_string();
        let subject = Subject::made(20 * MIB + 100, &["mkswap", "--pagesize", &page_size, "-L", "swappy"]);
        let usage = subject.expect(Kind::Swap);
        assert_eq!((usage.state, usage.label.as_deref(), usage.block), (State::Clean, Some("swappy"), page));
        assert_eq!(usage.free, stead_disks::Extents::from(page..20 * MIB));
    }
}

#[test]
fn what_a_hibernated_system_wrote_into_swap_space_is_left_out() {
    let subject = Subject::made(20 * MIB, &["mkswap"]);
    let file = std::fs::File::options().write(true).open(subject.image()).unwrap();
    file.write_all_at(b"SWAPSPACE2S1SUSPEND\0", 4096 - 20).unwrap();
    let usage = subject.expect(Kind::Swap);
    assert_eq!(usage.state, State::Hibernated);
    assert_eq!(usage.free.bytes(), 20 * MIB - 4096);
    assert_eq!(usage.warnings.len(), 1);
}
