//! Writing content without its zeros.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is stored in the file where zeros are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    /// Nothing: it reads as zeros already.
    Nothing,
    /// Perhaps something: a hole is made there.
    Something,
}

/// Zeros are looked for in steps of this size, which is what file systems allocate.
const STEP: u64 = 4096;
/// A shorter run of zeros is written: another call costs more than it saves.
const SHORTEST: u64 = 32 << 10;

/// Writes `content` at `at`, but leaves holes for long runs of zeros.
pub(super) fn write_around(file: &File, content: &[u8], at: u64, below: Below) -> io::Result<()> {
    let mut written = 0;
    let mut from = 0;
    while let Some((start, end)) = next_zeros(content, at, from) {
        file.write_all_at(&content[written..start], at + written as u64)?;
        if below == Below::Something {
            make_zero(file, &content[start..end], at + start as u64)?;
        }
        (written, from) = (end, end);
    }
    file.write_all_at(&content[written..], at + written as u64)
}

fn make_zero(file: &File, zeros: &[u8], at: u64) -> io::Result<()> {
    match platform::punch_hole(file, at..at + zeros.len() as u64) {
        Ok(()) => Ok(()),
        // A file system without holes.
        Err(_) => file.write_all_at(zeros, at),
    }
}

/// The next long run of zeros from `from` on, in whole steps of the file.
fn next_zeros(content: &[u8], at: u64, from: usize) -> Option<(usize, usize)> {
    let mut start = None;
    let mut step = from;
    while step < content.len() {
        let to_boundary = STEP - (at + step as u64) % STEP;
        let end = content.len().min(step + to_boundary as usize);
        let is_zero = content[step..end].iter().all(|byte| *byte == 0);
        match (is_zero, start) {
            (true, None) => start = Some(step),
            (false, Some(begin)) if (step - begin) as u64 >= SHORTEST => return Some((begin, step)),
            (false, _) => start = None,
            (true, Some(_)) => {}
        }
        step = end;
    }
    start.filter(|begin| (content.len() - begin) as u64 >= SHORTEST).map(|begin| (begin, content.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_runs_are_found_and_short_ones_are_not() {
        let mut content = vec![1; 300_000];
        content[10_000..90_000].fill(0);
        content[100_000..104_096].fill(0);
        content[200_000..].fill(0);
        let first = next_zeros(&content, 0, 0).unwrap();
        assert_eq!(first, (12_288, 86_016));
        assert_eq!(next_zeros(&content, 0, first.1), Some((200_704, 300_000)));
        assert_eq!(next_zeros(&content, 0, 300_000), None);
    }

    #[test]
    fn content_with_holes_reads_back_over_whatever_was_there() {
        let mut content = vec![7; 200_000];
        content[50_000..150_000].fill(0);
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![9; 300_000], 0).unwrap();
        write_around(&file, &content, 777, Below::Something).unwrap();
        let mut back = vec![0; 200_000];
        file.read_exact_at(&mut back, 777).unwrap();
        assert!(back == content);
        let mut after = vec![0; 10];
        file.read_exact_at(&mut after, 200_777).unwrap();
        assert_eq!(after, [9; 10]);
    }
}
