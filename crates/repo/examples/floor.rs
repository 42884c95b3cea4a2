//! How fast one core does what the engine does to every byte: GB/s (10^9) as JSON, for `cargo xtask bench`.
#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use aes::Aes256Enc;
use cipher::{InnerIvInit, KeyInit, StreamCipher};
use poly1305::Poly1305;
use poly1305::universal_hash::UniversalHash;
use stead_repo::chunk::{ChunkerSpec, Cutter};
use stead_repo::compress::{Codec, Compression};
use stead_repo::crypto::MasterKey;

const MIB: usize = 1 << 20;

fn main() {
    let noise = noise(16 * MIB);
    let text = text(MIB);
    let speeds = serde_json::json!({
        "sha256": rate(MIB, || _ = black_box(backend::Id::of(&noise[..MIB]))),
        "aes-256-ctr": aes(&noise[..MIB]),
        "poly1305": poly1305(&noise[..MIB]),
        "seal (aes-256-ctr and poly1305)": seal(&noise[..MIB]),
        "zstd, source text": compress(&text),
        "zstd, decompress source text": decompress(&text),
        "zstd, noise": compress(&noise[..MIB]),
        "chunker gear-1": cut(&ChunkerSpec::Gear { seed: [7; 32] }, &noise),
        "chunker rabin": cut(&ChunkerSpec::restic(0x3DA3358B4DC173), &noise),
    });
    println!("{speeds}");
}

/// The best of eight stretches of 50 ms, because others use the machine too.
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    work();
    let stretch = || {
        let start = Instant::now();
        let mut done = 0;
        while start.elapsed() < Duration::from_millis(50) {
            work();
            done += bytes;
        }
        done as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    std::iter::repeat_with(stretch).take(8).fold(0.0, f64::max)
}

fn aes(data: &[u8]) -> f64 {
    let mut buffer = data.to_vec();
    let key = Aes256Enc::new(&[7; 32].into());
    rate(data.len(), || {
        let core = ctr::CtrCore::inner_iv_init(&key, &[9; 16].into());
        ctr::Ctr128BE::from_core(core).apply_keystream(&mut buffer);
    })
}

fn poly1305(data: &[u8]) -> f64 {
    rate(data.len(), || {
        let mut mac = Poly1305::new(&[3; 32].into());
        mac.update_padded(black_box(data));
        black_box(mac.finalize());
    })
}

fn seal(data: &[u8]) -> f64 {
    let key = MasterKey::random();
    let mut envelope = Vec::new();
    rate(data.len(), || {
        envelope.clear();
        key.seal(data, &mut envelope);
    })
}

fn compress(data: &[u8]) -> f64 {
    let mut codec = Codec::new(Compression::Auto);
    let mut frame = Vec::new();
    rate(data.len(), || _ = black_box(codec.compress_data(data, &mut frame)))
}

fn decompress(data: &[u8]) -> f64 {
    let mut codec = Codec::new(Compression::Auto);
    let (mut frame, mut plain) = (Vec::new(), Vec::new());
    assert!(codec.compress_data(data, &mut frame), "text shrinks");
    rate(data.len(), || {
        plain.clear();
        codec.decompress(&frame, data.len(), &mut plain).expect("our own frame");
    })
}

fn cut(spec: &ChunkerSpec, data: &[u8]) -> f64 {
    let cutter = Cutter::new(spec);
    rate(data.len(), || {
        let mut rest = data;
        while !rest.is_empty() {
            rest = &rest[cutter.cut(rest)..];
        }
    })
}

/// xorshift64*, which nothing compresses.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 23_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes()
    });
    words.take(length / 8).flatten().collect()
}

/// This crate's chunker, again and again with other numbers: shrinks as source text does.
fn text(length: usize) -> Vec<u8> {
    let sources =
        [include_str!("../src/chunk.rs"), include_str!("../src/crypto.rs"), include_str!("../src/compress.rs")];
    let lines: Vec<&str> = sources.iter().flat_map(|source| source.lines()).collect();
    let mut text = Vec::new();
    for (number, pick) in noise(length).chunks_exact(8).enumerate() {
        if text.len() >= length {
            break;
        }
        let pick = u64::from_le_bytes(pick.try_into().expect("eight bytes")) as usize;
        text.extend_from_slice(format!("{} // {number}\n", lines[pick % lines.len()]).as_bytes());
    }
    text.truncate(length);
    text
}
