//! What others say is free.

use std::path::Path;

use stead_disks::Extents;
use testkit::loop_device::succeeds;

use crate::subject::Subject;

/// The blocks that `dumpe2fs` lists, in bytes. Of clusters it names the first block.
pub(crate) fn dumpe2fs(subject: &Subject) -> Extents {
    let text = succeeds("dumpe2fs", &[&subject.name()]);
    let size = |name: &str| text.contains(name).then(|| field(&text, name).parse::<u64>().unwrap());
    let block = size("Block size:").unwrap();
    let cluster = size("Cluster size:").unwrap_or(block);
    let lists = text.lines().filter_map(|line| line.strip_prefix("  Free blocks: "));
    let ranges = lists.flat_map(|list| list.split(", ")).filter(|range| !range.trim().is_empty());
    ranges.map(blocks).map(|(first, last)| first * block..last * block + cluster).collect()
}

/// `a` or `a-b`, with both ends in it.
fn blocks(range: &str) -> (u64, u64) {
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_else(|_| panic!("{range}"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    (number(first), number(last))
}

/// What stands after a name.
pub(crate) fn field<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim()
}

/// The bitmap in an image that partclone makes: free blocks, in bytes.
pub(crate) fn partclone(subject: &Subject, program: &str) -> Extents {
    let image = subject.folder.path().join("partclone");
    let log = subject.folder.path().join("partclone.log");
    let words = ["-c", "-q", "-s", &subject.name(), "-O", name(&image), "-L", name(&log)].map(str::to_owned);
    succeeds(program, &words.iter().map(String::as_str).collect::<Vec<_>>());
    let bytes = std::fs::read(&image).unwrap();
    std::fs::remove_file(&image).unwrap();
    parse_partclone(&bytes)
}

/// Version 2 of the format: sizes at 60 and 84, a bit for each block from 110 on, set where it is used.
fn parse_partclone(bytes: &[u8]) -> Extents {
    assert_eq!(&bytes[..15], b"partclone-image");
    assert_eq!(&bytes[30..34], b"0002");
    let total = u64::from_le_bytes(bytes[60..68].try_into().unwrap());
    let block = u64::from(u32::from_le_bytes(bytes[84..88].try_into().unwrap()));
    let is_free = |number: &u64| bytes[110 + *number as usize / 8] & 1 << (number % 8) == 0;
    (0..total).filter(is_free).map(|number| number * block..(number + 1) * block).collect()
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}
