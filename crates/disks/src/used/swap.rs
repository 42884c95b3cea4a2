//! Linux swap space: only its header page matters. What a hibernated system wrote into it is left out.

use super::fields::{le32, part, text, uuid};
use super::free_list::FreeList;
use super::source::{Damage, Source, wrong};
use super::{Found, Kind, State, Usage};

const PAGES: [u64; 5] = [4096, 8192, 16384, 32768, 65536];

const SIGNATURE: usize = 10;

pub(super) fn examine(source: &Source<'_>) -> Found {
    for page in PAGES {
        if page > source.size() {
            break;
        }
        let header = source.record("the swap header", 0, page)?;
        let signature = part(&header, page as usize - SIGNATURE, SIGNATURE);
        if let Some(state) = state(signature) {
            return Ok(Some(usage(&header, page, state, source.size())));
        }
    }
    Ok(None)
}

fn state(signature: &[u8]) -> Option<State> {
    let hibernated: [&[u8]; 4] = [b"S1SUSPEND", b"S2SUSPEND", b"ULSUSPEND", b"LINHIB0001"];
    if signature == b"SWAPSPACE2" {
        Some(State::Clean)
    } else if hibernated.iter().any(|sleep| signature.starts_with(sleep)) {
        Some(State::Hibernated)
    } else {
        None
    }
}

fn usage(header: &[u8], page: u64, state: State, volume: u64) -> Usage {
    let mut usage = Usage::of(Kind::Swap, volume);
    usage.label = text(header, 1024 + 28, 16);
    usage.uuid = uuid(header, 1024 + 12);
    usage.block = page;
    if state == State::Hibernated {
        usage
            .warn("a hibernated system's memory is here; it is left out, so that system starts afresh after a restore");
    }
    usage.state = state;
    let pages = u64::from(le32(header, 1024 + 4)) + 1;
    usage.size = pages.saturating_mul(page);
    let found = free(header, usage.size, page, volume);
    usage.prove(found);
    usage
}

fn free(header: &[u8], size: u64, page: u64, volume: u64) -> Result<FreeList, Damage> {
    if le32(header, 1024) != 1 {
        return wrong("an unknown version of swap space");
    }
    if size > volume || size <= page {
        return wrong(format!("swap space of {size} bytes"));
    }
    let mut free = FreeList::new(size);
    free.add(page..size);
    Ok(free)
}
