//! Whose a snapshot is: its name tells the process, so that one whose process is gone can be told from one in use.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use platform::ProcessIdentity;

use super::PREFIX;

static MADE: AtomicU32 = AtomicU32::new(0);

/// A name that no other snapshot on this machine has, of this process.
pub(super) fn new_name() -> String {
    let us = std::process::id();
    let started = ProcessIdentity::of(us).map_or(0, |process| process.started);
    format!("{PREFIX}{us}-{started}-{}", MADE.fetch_add(1, Relaxed))
}

/// True for the name of a snapshot of ours whose process has ended.
pub(super) fn is_abandoned(name: &str) -> bool {
    let Some(owner) = name.strip_prefix(PREFIX) else { return false };
    let mut words = owner.split('-');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (Some(pid), Some(started)) = (number(), number()) else { return true };
    let process = u32::try_from(pid).ok().and_then(ProcessIdentity::of);
    process.is_none_or(|process| process.started != started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_living_process_has_is_not_abandoned() {
        let (one, two) = (new_name(), new_name());
        assert!(one != two && !is_abandoned(&one) && !is_abandoned(&two));
        let us = std::process::id();
        assert!(is_abandoned(&format!("{PREFIX}{us}-1-0")), "an earlier process of our number");
        assert!(is_abandoned(&format!("{PREFIX}4194999-7-0")) && is_abandoned(&format!("{PREFIX}old")));
        assert!(!is_abandoned("root") && !is_abandoned("my-stead-snap-1-1-1"));
    }
}
