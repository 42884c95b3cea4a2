//! Searching a stretch of data in several places at once with a rolling hash over the last 64 bytes.
//!
//! Whether there is a cut at an offset depends on the 64 bytes before it alone. So a block can be split into lanes that are
//! hashed in turns, byte by byte: the processor works on the others while one waits for a table look-up. The result is the
//! same as that of a search from left to right.

/// Bytes that a hash covers.
pub(super) const WINDOW: usize = 64;

/// Bytes per lane and block. Large against the window, which every lane reads first; small against a chunk, because a block
/// with a cut in it is searched twice.
const STEP: usize = 2048;

/// A hash over the last 64 bytes.
pub(super) trait Rolling {
    /// The hash of 64 bytes.
    fn warm(&self, window: &[u8; WINDOW]) -> u64;

    /// The hash after one byte has entered and the one 64 before it has left.
    fn roll(&self, hash: u64, leaving: u8, entering: u8) -> u64;

    /// True if a chunk may end where this is the hash.
    fn is_cut(&self, hash: u64) -> bool;
}

/// The first offset from `from` to `to` (both included) before which there is a cut. `from` is at least 64.
pub(super) fn find<const LANES: usize, R: Rolling>(rolling: &R, data: &[u8], from: usize, to: usize) -> Option<usize> {
    if from > to {
        return None;
    }
    if rolling.is_cut(rolling.warm(window(data, from))) {
        return Some(from);
    }
    let mut at = from;
    while to - at >= LANES * STEP {
        if has_cut::<LANES, R>(rolling, data, at) {
            return find_serially(rolling, data, at, at + LANES * STEP);
        }
        at += LANES * STEP;
    }
    find_serially(rolling, data, at, to)
}

/// The first cut after `at` up to `to`, from left to right.
fn find_serially<R: Rolling>(rolling: &R, data: &[u8], at: usize, to: usize) -> Option<usize> {
    let mut hash = rolling.warm(window(data, at));
    let steps = data[at - WINDOW..to - WINDOW].iter().zip(&data[at..to]);
    let found = steps.into_iter().position(|(leaving, entering)| {
        hash = rolling.roll(hash, *leaving, *entering);
        rolling.is_cut(hash)
    });
    found.map(|steps| at + steps + 1)
}

/// True if there is a cut in the block of `LANES * STEP` bytes after `at`.
fn has_cut<const LANES: usize, R: Rolling>(rolling: &R, data: &[u8], at: usize) -> bool {
    let stretch = |at: usize| -> &[u8; STEP] { data[at..at + STEP].try_into().expect("a slice of STEP bytes") };
    let mut hashes: [u64; LANES] = std::array::from_fn(|lane| rolling.warm(window(data, at + lane * STEP)));
    let entering: [&[u8; STEP]; LANES] = std::array::from_fn(|lane| stretch(at + lane * STEP));
    let leaving: [&[u8; STEP]; LANES] = std::array::from_fn(|lane| stretch(at + lane * STEP - WINDOW));
    for step in 0..STEP {
        let mut cut = false;
        for lane in 0..LANES {
            hashes[lane] = rolling.roll(hashes[lane], leaving[lane][step], entering[lane][step]);
            cut |= rolling.is_cut(hashes[lane]);
        }
        if cut {
            return true;
        }
    }
    false
}

/// The 64 bytes before `at`.
fn window(data: &[u8], at: usize) -> &[u8; WINDOW] {
    data[at - WINDOW..at].try_into().expect("a slice of WINDOW bytes")
}
