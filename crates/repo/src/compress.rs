//! zstd, as restic uses it: one frame with content size and without checksum.
//!
//! What a stored frame claims about its length is never believed: memory is bounded by the caller's figure.

use std::io::{Cursor, Read};

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{self, CParameter};

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

impl Compression {
    fn level(self) -> i32 {
        match self {
            Compression::Fastest => 1,
            Compression::Off | Compression::Auto => 3,
            Compression::Better => 8,
            Compression::Max => 19,
        }
    }
}

/// No frame needs a window larger than this power of two to be read: 8 MiB.
const WINDOW_LOG: u32 = 23;

/// Bounds of the match finder's tables at the highest level, which keep a codec below 64 MiB.
const LARGEST_TABLES: [CParameter; 3] =
    [CParameter::WindowLog(WINDOW_LOG), CParameter::ChainLog(22), CParameter::HashLog(21)];

/// Frames of unknown size are read with windows up to this power of two, 128 MiB, as zstd's own program does.
const READ_WINDOW_LOG: u32 = 27;

/// zstd cannot shrink anything further than this: a block of 128 KiB into four bytes.
const LARGEST_RATIO: usize = (128 << 10) / 4;

/// One thread's compressor and decompressor. Their memory is taken at first use and kept.
pub struct Codec {
    mode: Compression,
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
    probe: Probe,
}

impl Codec {
    /// A codec for `mode`.
    pub fn new(mode: Compression) -> Codec {
        let mut compressor = Compressor::new(mode.level()).expect("a level of zstd's");
        if mode == Compression::Max {
            LARGEST_TABLES.into_iter().for_each(|bound| {
                compressor.set_parameter(bound).expect("within zstd's bounds");
            });
        }
        let decompressor = Decompressor::new().expect("there is no dictionary to load");
        Codec { mode, compressor, decompressor, probe: Probe::new() }
    }

    /// Compresses data into `out` (cleared first); false (and `out` meaningless) if it is better stored as it is.
    pub fn compress_data(&mut self, plain: &[u8], out: &mut Vec<u8>) -> bool {
        out.clear();
        let Some(limit) = self.worthwhile(plain.len()) else { return false };
        if self.mode == Compression::Auto && self.probe.is_incompressible(plain) {
            return false;
        }
        // Too small a buffer makes zstd give up as soon as it is full.
        out.reserve(limit);
        matches!(self.compressor.compress_to_buffer(plain, out), Ok(length) if length <= limit)
    }

    /// The longest frame that is better than `length` plain bytes; `None` if there cannot be one.
    fn worthwhile(&self, length: usize) -> Option<usize> {
        match self.mode {
            Compression::Off => None,
            // A compressed blob costs about eight bytes more in headers and indexes, and time at every read.
            Compression::Auto => length.checked_sub(length / 64 + 8).filter(|limit| *limit > 0),
            _ => length.checked_sub(8).filter(|limit| *limit > 0),
        }
    }

    /// Compresses a tree or an unpacked file into `out` (appended).
    pub fn compress_metadata(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.reserve(zstd_safe::compress_bound(plain.len()));
        let mut end = Cursor::new(out);
        end.set_position(start as u64);
        self.compressor.compress_to_buffer(plain, &mut end).expect("the buffer is large enough for anything");
    }

    /// Decompresses exactly `length` bytes into `out` (cleared first); anything else is an error in words.
    pub fn decompress(&mut self, frame: &[u8], length: usize, out: &mut Vec<u8>) -> Result<(), String> {
        out.clear();
        if length > frame.len().saturating_mul(LARGEST_RATIO) {
            return Err(format!("{} compressed bytes cannot hold {length}", frame.len()));
        }
        check_claim(frame, |claimed| claimed == length as u64)?;
        out.try_reserve(length).map_err(|_| format!("there is no memory for its {length} bytes"))?;
        match self.decompressor.decompress_to_buffer(frame, out) {
            Ok(actual) if actual == length => Ok(()),
            Ok(actual) => Err(format!("it decompresses to {actual} bytes instead of {length}")),
            Err(error) => Err(format!("it does not decompress: {error}")),
        }
    }

    /// Decompresses an unpacked file of unknown size, at most `limit` bytes; anything else is an error in words.
    pub fn decompress_bounded(&mut self, frame: &[u8], limit: usize) -> Result<Vec<u8>, String> {
        let claimed = check_claim(frame, |claimed| claimed <= limit as u64)?;
        let Some(length) = claimed else { return stream(frame, limit) };
        let mut out = Vec::new();
        self.decompress(frame, length as usize, &mut out)?;
        Ok(out)
    }
}

/// The content size that a frame claims, if it claims one; an error if that is not `acceptable`.
fn check_claim(frame: &[u8], acceptable: impl Fn(u64) -> bool) -> Result<Option<u64>, String> {
    match zstd_safe::get_frame_content_size(frame) {
        Err(_) => Err("it is not a zstd frame".into()),
        Ok(Some(claimed)) if !acceptable(claimed) => Err(format!("its zstd frame claims {claimed} bytes")),
        Ok(claimed) => Ok(claimed),
    }
}

/// Decompresses a frame that does not tell its size.
fn stream(frame: &[u8], limit: usize) -> Result<Vec<u8>, String> {
    let words = |error: std::io::Error| format!("it does not decompress: {error}");
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame).map_err(words)?;
    decoder.window_log_max(READ_WINDOW_LOG).map_err(words)?;
    let mut out = Vec::new();
    decoder.take(limit as u64 + 1).read_to_end(&mut out).map_err(words)?;
    if out.len() > limit {
        return Err(format!("it decompresses to more than {limit} bytes"));
    }
    Ok(out)
}

/// Tells data that does not shrink (media, archives, encrypted files) from a few samples, at a fraction of the cost of
/// trying.
struct Probe {
    compressor: Compressor<'static>,
    out: Vec<u8>,
}

impl Probe {
    /// Shorter blobs are not worth a probe.
    const SHORTEST: usize = 64 << 10;
    /// Bytes per sample: enough to see skewed bytes and near repetitions.
    const SAMPLE: usize = 4 << 10;
    /// Plain bytes that one sample stands for.
    const STRIDE: usize = 128 << 10;

    fn new() -> Probe {
        Probe { compressor: Compressor::new(1).expect("a level of zstd's"), out: Vec::new() }
    }

    /// True if no sample of `plain` shrinks.
    fn is_incompressible(&mut self, plain: &[u8]) -> bool {
        if plain.len() <= Probe::SHORTEST {
            return false;
        }
        let samples = (plain.len() / Probe::STRIDE).clamp(3, 32);
        let step = (plain.len() - Probe::SAMPLE) / (samples - 1);
        (0..samples).all(|sample| !self.shrinks(&plain[sample * step..][..Probe::SAMPLE]))
    }

    fn shrinks(&mut self, sample: &[u8]) -> bool {
        let limit = sample.len() - sample.len() / 64;
        self.out.clear();
        self.out.reserve(limit);
        matches!(self.compressor.compress_to_buffer(sample, &mut self.out), Ok(length) if length <= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [Compression; 5] =
        [Compression::Off, Compression::Auto, Compression::Fastest, Compression::Better, Compression::Max];

    /// Text that repeats itself after 64 KiB, so that the highest level is done with it soon.
    fn text(length: usize) -> Vec<u8> {
        let lines = (0u64..).flat_map(|line| format!("line {}\n", line * line).into_bytes());
        let page: Vec<u8> = lines.take(64 << 10).collect();
        page.iter().copied().cycle().take(length).collect()
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        rand::RngCore::fill_bytes(&mut rand::rng(), &mut bytes);
        bytes
    }

    #[test]
    fn what_is_compressed_reads_back() {
        for mode in MODES {
            let (mut codec, mut frame, mut plain) = (Codec::new(mode), Vec::new(), Vec::new());
            for length in [100, 1000, 70_000, 3 << 20] {
                let content = text(length);
                let compressed = codec.compress_data(&content, &mut frame);
                assert_eq!(compressed, mode != Compression::Off, "{mode:?} {length}");
                if compressed {
                    codec.decompress(&frame, length, &mut plain).unwrap();
                    assert_eq!(plain, content);
                }
            }
        }
    }

    #[test]
    fn metadata_is_compressed_in_every_mode_behind_what_is_there() {
        for mode in MODES {
            let (mut codec, mut out) = (Codec::new(mode), b"\x02".to_vec());
            codec.compress_metadata(&text(5000), &mut out);
            assert!(out[0] == 2 && out.len() < 2500, "{mode:?}");
            assert_eq!(codec.decompress_bounded(&out[1..], 5000).unwrap(), text(5000));
        }
    }

    #[test]
    fn noise_and_nothing_are_stored_as_they_are() {
        for mode in MODES {
            let (mut codec, mut out) = (Codec::new(mode), Vec::new());
            for length in [0, 1, 8, 9, 1000, 100_000, 2 << 20] {
                assert!(!codec.compress_data(&noise(length), &mut out), "{mode:?} {length}");
            }
        }
    }

    #[test]
    fn noise_with_text_somewhere_is_still_compressed() {
        let mut codec = Codec::new(Compression::Auto);
        for position in 0..8 {
            let mut mixed = noise(1 << 20);
            let place = position * (110 << 10);
            mixed[place..place + (192 << 10)].copy_from_slice(&text(192 << 10));
            assert!(codec.compress_data(&mixed, &mut Vec::new()), "{position}");
        }
    }

    #[test]
    fn a_frame_has_a_size_and_no_checksum_and_a_window_that_everybody_reads() {
        for mode in MODES {
            let mut frame = Vec::new();
            Codec::new(mode).compress_metadata(&text(9 << 20), &mut frame);
            assert!(matches!(zstd_safe::get_frame_content_size(&frame), Ok(Some(size)) if size == 9 << 20));
            let (descriptor, window) = (frame[4], frame[5]);
            assert_eq!(descriptor & 0b100, 0, "checksum");
            if descriptor & 0b10_0000 == 0 {
                assert!(10 + u32::from(window >> 3) <= WINDOW_LOG, "window");
            }
        }
    }

    #[test]
    fn the_highest_level_stays_below_64_mib() {
        let (mut codec, mut frame) = (Codec::new(Compression::Max), Vec::new());
        codec.compress_data(&text(8 << 20), &mut frame);
        let memory = codec.compressor.context_mut().sizeof();
        assert!(memory < 64 << 20, "{memory}");
    }

    #[test]
    fn a_bomb_is_an_error_before_it_goes_off() {
        let mut codec = Codec::new(Compression::Auto);
        let (mut frame, mut out) = (Vec::new(), Vec::new());
        codec.compress_metadata(&vec![0; 64 << 20], &mut frame);
        assert!(codec.decompress_bounded(&frame, 1 << 20).is_err());
        assert!(codec.decompress(&frame, 1 << 20, &mut out).is_err());
        assert!(codec.decompress(b"tiny", usize::MAX, &mut out).is_err());
        let unsized_frame = zstd::stream::encode_all(&vec![0; 64 << 20][..], 1).unwrap();
        assert!(matches!(zstd_safe::get_frame_content_size(&unsized_frame), Ok(None)));
        assert!(codec.decompress_bounded(&unsized_frame, 1 << 20).is_err());
        assert_eq!(codec.decompress_bounded(&unsized_frame, 64 << 20).unwrap().len(), 64 << 20);
    }

    #[test]
    fn a_wrong_length_or_a_cut_frame_is_an_error() {
        let (mut codec, mut frame, mut out) = (Codec::new(Compression::Auto), Vec::new(), Vec::new());
        assert!(codec.compress_data(&text(1000), &mut frame));
        for length in [0, 999, 1001] {
            assert!(codec.decompress(&frame, length, &mut out).is_err());
        }
        for length in 0..frame.len() {
            assert!(codec.decompress(&frame[..length], 1000, &mut out).is_err(), "cut to {length}");
            assert!(codec.decompress_bounded(&frame[..length], 1000).is_err(), "cut to {length}");
        }
    }
}
