//! Instructions of the hot loops, counted by valgrind: the same on every run, whatever else the machine is doing.
//!
//! `cargo xtask bench --instructions` runs them. Valgrind's processor knows neither SHA nor the widest vectors, so hashes and
//! ciphers are counted in slower forms than run in earnest: compare a count with an earlier one, not with a clock.
#![allow(missing_docs, reason = "the macros make public items")]

use std::hint::black_box;
use std::num::NonZeroU32;

use backend::Id;
use gungraun::{library_benchmark, library_benchmark_group, main};
use repo::chunk::{ChunkerSpec, Cutter};
use repo::compress::{Codec, Compression};
use repo::crypto::MasterKey;
use repo::node::{Node, NodeKind};
use repo::pack::{self, PackedBlob};
use repo::tree::{Tree, TreeBuilder};
use repo::{BlobHandle, BlobKind};
use stead_repo as repo;

const MIB: usize = 1 << 20;

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

/// Lines of this crate, numbered: shrinks as source text does.
fn text() -> Vec<u8> {
    let lines = include_str!("../src/chunk.rs").lines().cycle().enumerate();
    let mut text: Vec<u8> =
        lines.take(MIB / 24).flat_map(|(at, line)| format!("{line} // {at}\n").into_bytes()).collect();
    text.truncate(MIB);
    text
}

fn cutter_and_noise(spec: ChunkerSpec) -> (Cutter, Vec<u8>) {
    (Cutter::new(&spec), noise(8 * MIB))
}

#[library_benchmark]
#[bench::gear(args = (ChunkerSpec::Gear { seed: [7; 32] }), setup = cutter_and_noise)]
#[bench::rabin(args = (ChunkerSpec::restic(0x3DA3358B4DC173)), setup = cutter_and_noise)]
fn cut_8_mib((cutter, data): (Cutter, Vec<u8>)) -> usize {
    let (mut rest, mut cuts) = (&data[..], 0);
    while !rest.is_empty() {
        rest = &rest[cutter.cut(black_box(rest))..];
        cuts += 1;
    }
    cuts
}

fn key_and_noise() -> (MasterKey, Vec<u8>) {
    (MasterKey::random(), noise(MIB))
}

#[library_benchmark(setup = key_and_noise)]
fn seal_1_mib((key, plain): (MasterKey, Vec<u8>)) -> Vec<u8> {
    let mut envelope = Vec::with_capacity(MIB + 64);
    key.seal(black_box(&plain), &mut envelope);
    envelope
}

fn key_and_envelope() -> (MasterKey, Vec<u8>) {
    let (key, plain) = key_and_noise();
    let mut envelope = Vec::new();
    key.seal(&plain, &mut envelope);
    (key, envelope)
}

#[library_benchmark(setup = key_and_envelope)]
fn open_1_mib((key, mut envelope): (MasterKey, Vec<u8>)) -> usize {
    key.open(black_box(&mut envelope)).expect("our own envelope").len()
}

#[library_benchmark(setup = noise)]
#[bench::mib(MIB)]
fn hash_1_mib(plain: Vec<u8>) -> Id {
    Id::of(black_box(&plain))
}

#[library_benchmark]
#[bench::text(text())]
#[bench::noise(noise(MIB))]
fn compress_1_mib(plain: Vec<u8>) -> Vec<u8> {
    let mut frame = Vec::new();
    Codec::new(Compression::Auto).compress_data(black_box(&plain), &mut frame);
    frame
}

fn frame_of_text() -> Vec<u8> {
    let mut frame = Vec::new();
    Codec::new(Compression::Auto).compress_data(&text(), &mut frame);
    frame
}

#[library_benchmark(setup = frame_of_text)]
fn decompress_1_mib_of_text(frame: Vec<u8>) -> Vec<u8> {
    let mut plain = Vec::new();
    Codec::new(Compression::Auto).decompress(black_box(&frame), MIB, &mut plain).expect("our own frame");
    plain
}

/// A thousand blobs of a thousand bytes, one after the other.
fn key_blobs_and_pack() -> (MasterKey, Vec<PackedBlob>, Vec<u8>) {
    let blob = |at: u32| PackedBlob {
        blob: BlobHandle { kind: BlobKind::Data, id: Id::of(&at.to_le_bytes()) },
        offset: at * 1000,
        length: 1000,
        uncompressed_length: NonZeroU32::new(2000),
    };
    (MasterKey::random(), (0..1000).map(blob).collect(), vec![0; 1_000_000])
}

#[library_benchmark(setup = key_blobs_and_pack)]
fn header_of_1000_blobs((key, blobs, mut pack): (MasterKey, Vec<PackedBlob>, Vec<u8>)) -> Vec<u8> {
    pack::append_header(&key, black_box(&blobs), &mut pack).expect("a header");
    pack
}

fn nodes() -> Vec<Node> {
    let node = |at: u64| {
        let mut node = Node::new(format!("file-{at:04}.txt"), NodeKind::File);
        (node.inode, node.size, node.links) = (at, at * 77, 1);
        node.content = Some(vec![Id::of(&at.to_le_bytes())]);
        node
    };
    (0..1000).map(node).collect()
}

fn tree_json() -> Vec<u8> {
    tree_of(&nodes())
}

fn tree_of(nodes: &[Node]) -> Vec<u8> {
    let mut tree = TreeBuilder::default();
    nodes.iter().for_each(|node| tree.push(node).expect("names in order"));
    tree.finish()
}

#[library_benchmark(setup = nodes)]
fn write_tree_of_1000_nodes(nodes: Vec<Node>) -> Vec<u8> {
    tree_of(black_box(&nodes))
}

#[library_benchmark(setup = tree_json)]
fn read_tree_of_1000_nodes(json: Vec<u8>) -> Tree {
    Tree::parse(black_box(&json)).expect("our own tree")
}

library_benchmark_group!(
    name = hot_loops,
    benchmarks = [
        cut_8_mib,
        hash_1_mib,
        seal_1_mib,
        open_1_mib,
        compress_1_mib,
        decompress_1_mib_of_text,
        header_of_1000_blobs,
        write_tree_of_1000_nodes,
        read_tree_of_1000_nodes
    ]
);

main!(library_benchmark_groups = hot_loops);
