//! Chunks of one size, as rustic makes them for block devices; only a stream's last chunk may be smaller.

/// Length of the first chunk of `data`.
pub(super) fn cut(size: usize, data: &[u8]) -> usize {
    size.min(data.len())
}
