//! Cut points against restic's, against the plain definition of each chunker, and against frozen values.

use super::*;

const MIB: usize = 1024 * 1024;

/// xorshift64* as bytes: the same data on every machine.
fn data(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut words = Vec::with_capacity(length + 8);
    while words.len() < length {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        words.extend(state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    words.truncate(length);
    words
}

fn lengths(cutter: &Cutter, mut data: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while !data.is_empty() {
        lengths.push(cutter.cut(data));
        data = &data[lengths[lengths.len() - 1]..];
    }
    lengths
}

fn example_gear() -> Cutter {
    let id = backend::Id::of(b"a repository");
    Cutter::new(&ChunkerSpec::Gear { seed: gear::seed(&id, 0x3DA3358B4DC173) })
}

fn all_kinds() -> [Cutter; 3] {
    [
        Cutter::new(&ChunkerSpec::restic(0x3DA3358B4DC173)),
        example_gear(),
        Cutter::new(&ChunkerSpec::Fixed { size: MIB }),
    ]
}

#[test]
fn rabin_cuts_where_restic_0_19_cut_the_same_data() {
    // `restic backup` of this data, polynomial and chunk lengths read back with `restic cat config` and `restic cat index`.
    let restic = [
        1597524, 1882215, 1498436, 1661444, 2194839, 3117423, 2124706, 1109642, 1276000, 696856, 2373676, 2362238,
        668784, 1693449, 2712758, 615564, 527342, 1173099, 3063657, 754913, 6209672, 1507849, 3594955, 1438765,
        5189276, 3819420, 1704268, 810581, 2108664, 2432408, 1226536, 2615596, 792436, 553873,
    ];
    let cutter = Cutter::new(&ChunkerSpec::restic(0x284eff97db8dd7));
    assert_eq!(lengths(&cutter, &data(23, 64 * MIB)), restic);
}

#[test]
fn rabin_cuts_zeros_at_the_smallest_size_as_restic_does() {
    let cutter = Cutter::new(&ChunkerSpec::restic(0x3DA3358B4DC173));
    assert_eq!(lengths(&cutter, &vec![0; 2 * MIB]), [MIB / 2; 4]);
    let restic_name = "07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541";
    assert_eq!(backend::Id::of(&vec![0; MIB / 2]).to_string(), restic_name);
}

#[test]
fn gear_1_is_frozen() {
    let cutter = example_gear();
    let frozen = [
        1339310, 1735017, 1061624, 975703, 1123260, 1264026, 1147926, 1542217, 1077465, 1275022, 1331569, 1313670,
        781307, 1130074, 1150476, 1143992, 1363304, 762225, 1178899, 1147628, 1058858, 1224069, 604918, 1167713,
        1138450, 1060295, 1745432, 1337832, 372151,
    ];
    assert_eq!(lengths(&cutter, &data(23, 32 * MIB)), frozen);
}

#[test]
fn gear_1_depends_on_id_and_polynomial() {
    let (one, other) = (backend::Id::of(b"one"), backend::Id::of(b"other"));
    let data = data(5, 12 * MIB);
    let cuts = |id, polynomial| lengths(&Cutter::new(&ChunkerSpec::Gear { seed: gear::seed(id, polynomial) }), &data);
    assert_ne!(cuts(&one, 0x3DA3358B4DC173), cuts(&other, 0x3DA3358B4DC173));
    assert_ne!(cuts(&one, 0x3DA3358B4DC173), cuts(&one, 0x284eff97db8dd7));
}

#[test]
fn gear_1_follows_its_description() {
    let cutter = example_gear();
    let Tables::Gear(gear) = &cutter.tables else { unreachable!("made as gear") };
    for seed in 1..8 {
        let data = data(seed, 10 * MIB);
        let ends = |n: &usize| {
            let hash = gear.hash(&data[n - 64..*n]);
            (*n < MIB && hash < 1 << 42) || (*n >= MIB && hash < 1 << 46) || *n == 8 * MIB
        };
        assert_eq!(Some(cutter.cut(&data)), (MIB / 2..=8 * MIB).find(ends), "seed {seed}");
    }
}

#[test]
fn chunks_of_random_data_have_the_promised_average() {
    let lengths = lengths(&example_gear(), &data(7, 256 * MIB));
    let average = 256 * MIB / lengths.len();
    assert!((MIB..MIB * 3 / 2).contains(&average), "{average} bytes in {} chunks", lengths.len());
}

#[test]
fn long_runs_are_cut_at_the_largest_size_by_gear_1() {
    for value in [0, b' ', 255] {
        assert_eq!(lengths(&example_gear(), &vec![value; 20 * MIB]), [8 * MIB, 8 * MIB, 4 * MIB], "value {value}");
    }
}

#[test]
fn what_lies_beyond_the_largest_chunk_changes_nothing() {
    for cutter in all_kinds() {
        let (_, max) = cutter.limits();
        for seed in 1..6 {
            let data = data(seed, max + 3 * MIB);
            let cut = cutter.cut(&data);
            assert_eq!(cutter.cut(&data[..max]), cut);
            assert_eq!(cutter.cut(&data[..cut]), cut, "nor does an end of the stream there");
        }
    }
}

#[test]
fn every_chunk_is_within_the_limits_and_only_the_last_may_be_smaller() {
    for cutter in all_kinds() {
        let (min, max) = cutter.limits();
        for length in [0, 1, 63, 64, min - 1, min, min + 1, 3 * max + 17] {
            let data = data(9, length);
            let lengths = lengths(&cutter, &data);
            assert_eq!(lengths.iter().sum::<usize>(), length);
            assert!(lengths.iter().rev().skip(1).all(|length| (min..=max).contains(length)));
            assert!(lengths.last().is_none_or(|length| *length <= max));
        }
        assert_eq!(cutter.cut(b""), 0);
    }
}

#[test]
fn after_an_inserted_byte_the_cuts_are_soon_the_same_again() {
    for cutter in &all_kinds()[..2] {
        let before = data(11, 32 * MIB);
        let mut after = before.clone();
        after.insert(5 * MIB + 1, b'!');
        let (before, after) = (lengths(cutter, &before), lengths(cutter, &after));
        let same_end = before.iter().rev().zip(after.iter().rev()).take_while(|(one, other)| one == other).count();
        let same_start = before.iter().zip(&after).take_while(|(one, other)| one == other).count();
        assert!(same_start + same_end + 4 >= before.len(), "{same_start} and {same_end} of {}", before.len());
    }
}

#[test]
fn sizes_that_cannot_work_are_refused() {
    let rabin = |min, average, max| ChunkerSpec::Rabin { polynomial: 0x3DA3358B4DC173, min, average, max }.check();
    assert_eq!(rabin(MIB / 2, MIB, 8 * MIB), Ok(()));
    assert_eq!(rabin(MIB / 2, MIB + 1, 8 * MIB), Err(SpecError::Average(MIB + 1)));
    assert_eq!(rabin(MIB / 2, 0, 8 * MIB), Err(SpecError::Average(0)));
    assert_eq!(rabin(63, MIB, 8 * MIB), Err(SpecError::Limits { min: 63, max: 8 * MIB }));
    assert_eq!(rabin(MIB, MIB, MIB - 1), Err(SpecError::Limits { min: MIB, max: MIB - 1 }));
    assert_eq!(rabin(MIB, MIB, usize::MAX), Err(SpecError::Limits { min: MIB, max: usize::MAX }));
    assert_eq!(ChunkerSpec::Fixed { size: 0 }.check(), Err(SpecError::Limits { min: 0, max: 0 }));
}

/// restic's way, word for word of the format's description: a ring, a byte 1 slid in first, `min - 64` bytes skipped.
fn cut_with_a_ring(polynomial: u64, min: usize, mask: u64, max: usize, data: &[u8]) -> usize {
    let append = |hash: u64, byte: u8| polynomial::reduce(hash << 8 | u64::from(byte), polynomial);
    let contribution = |byte: u8| (0..63).fold(append(0, byte), |hash, _| append(hash, 0));
    let (mut ring, mut at, mut hash) = ([0_u8; 64], 0, 0);
    let mut slide = |byte: u8| {
        hash = append(hash ^ contribution(ring[at % 64]), byte);
        ring[at % 64] = byte;
        at += 1;
        hash
    };
    slide(1);
    let mut counted = min - 64;
    for byte in data.get(counted..).unwrap_or_default() {
        let hash = slide(*byte);
        counted += 1;
        if counted >= min && (hash & mask == 0 || counted >= max) {
            return counted;
        }
    }
    data.len()
}

/// Data with structure: noise, with runs of one value written over it.
#[derive(Debug, bolero::TypeGenerator)]
struct Content {
    seed: u64,
    length: u16,
    runs: Vec<(u16, u8, u8)>,
}

impl Content {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = data(self.seed | 1, self.length.into());
        for (start, length, value) in &self.runs {
            let run = bytes.iter_mut().skip((*start).into()).take(16 * usize::from(*length));
            run.for_each(|byte| *byte = *value);
        }
        bytes
    }
}

#[test]
fn rabin_cuts_small_chunks_of_any_data_as_a_ring_does() {
    let sizes = bolero::generator::produce::<(u8, u8, u16)>();
    bolero::check!().with_generator((bolero::generator::produce::<Content>(), sizes)).with_iterations(300).for_each(
        |(content, (min, bits, max))| {
            let (min, average) = (64 + usize::from(*min), 1 << (bits % 15));
            let max = min + usize::from(*max);
            let (polynomial, bytes) = (0x3DA3358B4DC173, content.bytes());
            let cutter = Cutter::new(&ChunkerSpec::Rabin { polynomial, min, average, max });
            assert_eq!(cutter.cut(&bytes), cut_with_a_ring(polynomial, min, average as u64 - 1, max, &bytes));
        },
    );
}

#[test]
fn searching_in_lanes_finds_what_searching_from_left_to_right_finds() {
    bolero::check!().with_type::<(Content, u8, u8)>().with_iterations(500).for_each(|(content, seed, zero_bits)| {
        let (gear, bytes) = (Gear::new(&[*seed; 32]), content.bytes());
        let limit = u64::MAX >> (1 + zero_bits % 24);
        let plain = (64..=bytes.len()).find(|n| gear.hash(&bytes[n - 64..*n]) < limit);
        assert_eq!(gear.find(limit, &bytes, 64, bytes.len()), plain);
    });
}
