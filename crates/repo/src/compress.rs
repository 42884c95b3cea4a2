//! zstd, as restic uses it: one frame with content size and without checksum.

/// How hard to compress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Data is stored as it is; metadata is still compressed.
    Off,
    /// Fast, and data that does not shrink is stored as it is.
    #[default]
    Auto,
    /// Fastest level.
    Fastest,
    /// Slower and smaller.
    Better,
    /// Slowest and smallest.
    Max,
}

/// One thread's compressor and decompressor.
pub struct Codec {}

impl Codec {
    /// A codec for `mode`.
    pub fn new(_mode: Compression) -> Codec {
        todo!()
    }

    /// Compresses data into `out` (cleared first); false (and `out` meaningless) if it is better stored as it is.
    pub fn compress_data(&mut self, _plain: &[u8], _out: &mut Vec<u8>) -> bool {
        todo!()
    }

    /// Compresses a tree or an unpacked file into `out` (appended).
    pub fn compress_metadata(&mut self, _plain: &[u8], _out: &mut Vec<u8>) {
        todo!()
    }

    /// Decompresses exactly `length` bytes into `out` (cleared first); anything else is an error in words.
    pub fn decompress(&mut self, _frame: &[u8], _length: usize, _out: &mut Vec<u8>) -> Result<(), String> {
        todo!()
    }

    /// Decompresses an unpacked file of unknown size, at most `limit` bytes.
    pub fn decompress_bounded(&mut self, _frame: &[u8], _limit: usize) -> Result<Vec<u8>, String> {
        todo!()
    }
}
